"""What the tests of cameras share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def node(tmp_path: Path) -> str:
    """A device's file."""
    path = tmp_path / "video0"
    path.touch()
    return str(path)
