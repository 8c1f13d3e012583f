"""The parity gate: crops, interpreters, figures, limits, verdict."""
