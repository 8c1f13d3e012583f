"""What the tests of commands share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.edge.commands.invoking import CountCommand


@pytest.fixture
def count(
    tiny_model: Path,
    field_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_system_config: None,
) -> CountCommand:
    return CountCommand(tiny_model, field_folder, tmp_path / "blastcount.toml", monkeypatch)


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path) -> Path:
    """Stem of a copy of the tiny bundle that a test may break."""
    for suffix in (".tflite", ".json", ".golden.npz", ".field.npz"):
        shutil.copy(f"{tiny_model}{suffix}", tmp_path / f"own{suffix}")
    return tmp_path / "own"
