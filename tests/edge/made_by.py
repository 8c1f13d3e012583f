"""What tests put down as having produced a row."""

from edge.counting.provenance import Provenance

PROVENANCE = Provenance(
    config_sha256="c" * 64,
    calibration_sha256=None,
    card_sha256="d" * 64,
    model_name="m",
    model_sha256="a" * 64,
    code_sha256="e" * 64,
    software_version="0.1.0",
    runtime="ai_edge_litert 2.3.0",
    python="CPython 3.11.2",
    numpy="1.26.4",
    opencv="4.11.0",
    architecture="aarch64",
)
