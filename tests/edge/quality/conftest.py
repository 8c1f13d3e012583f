"""Real fields for the tests of the gate."""

from __future__ import annotations

from pathlib import Path


def spread_over(folder: Path, n: int) -> list[Path]:
    """Give about so many fields of a source, evenly spread; a source that has none fails the test."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")]
    assert files, f"{folder}: no fields"
    return files[:: max(1, len(files) // n)]
