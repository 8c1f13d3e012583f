"""What the tests of the device package share: a tiny model and a small rendered field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge import config, selfcheck
from edge.counting import golden
from edge.device import passwords
from edge.rendered import RenderedField, RenderSettings, render_field


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No daemon of this machine answers the tests, and nothing of theirs lies where a person's own does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Stem of a complete bundle of a network of a few kB."""
    return Path(__file__).parent / "data" / "tiny"


_agreed: dict[tuple[object, ...], golden.Agreement] = {}


@pytest.fixture(autouse=True)
def golden_field_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands count a network's golden field once a session; its own tests override this."""
    honest = golden.check_golden_field

    def check(classifier: Any, field: golden.GoldenField) -> golden.Agreement:
        card = classifier.card
        asked = (card.sha256, card.decision, field.jpeg, field.cells.tobytes(), field.p_blast.tobytes())
        if asked not in _agreed:
            _agreed[asked] = honest(classifier, field)
        return _agreed[asked]

    monkeypatch.setattr(selfcheck, "check_golden_field", honest)  # it reports what it found just now
    monkeypatch.setattr(golden, "check_golden_field", check)


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
def set_umask() -> Iterator[Callable[[int], int]]:
    """Give ``os.umask``, and the test after this one the umask that was before it."""
    before = os.umask(0o077)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time; what they really cost is tested where they are made."""
    monkeypatch.setattr(passwords, "COST", 4)
    monkeypatch.setattr(passwords, "LEAST_COST", 128 * passwords.BLOCK * 4)


@pytest.fixture
def no_system_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built-in defaults, whatever is configured on the machine that runs the tests."""
    monkeypatch.delenv(config.CONFIG_VARIABLE, raising=False)
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "no-such.toml")
