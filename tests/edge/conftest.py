"""What the tests of the device package share: a tiny model and a small rendered field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from edge import config
from edge.rendered import RenderedField, RenderSettings, render_field


@pytest.fixture
def tiny_model() -> Path:
    """Stem of a complete bundle of a network of a few kB."""
    return Path(__file__).parent / "data" / "tiny"


@pytest.fixture(scope="session")
def small_field() -> RenderedField:
    """A rendered field with white cells inside and at its border."""
    return render_field(1, RenderSettings(width=640, height=480, um_per_px=0.2))


@pytest.fixture
def field_folder(tmp_path: Path, small_field: RenderedField) -> Path:
    """A folder with that field as a JPEG and its truth."""
    folder = tmp_path / "fields"
    folder.mkdir()
    Image.fromarray(small_field.image).save(folder / "rendered_0001.jpg", quality=92)
    (folder / "rendered_0001.truth.json").write_text(json.dumps(small_field.truth_json()))
    return folder


@pytest.fixture
def no_system_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built-in defaults, whatever is configured on the machine that runs the tests."""
    monkeypatch.delenv(config.CONFIG_VARIABLE, raising=False)
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "no-such.toml")
