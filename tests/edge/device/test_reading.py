"""Settings are read from files alone, and no file fills the memory."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.calibration.record import Calibration
from edge.classification.card import load_bundle
from edge.commands.printing import known_counts
from edge.config import load_config
from edge.device.reading import read_bounded
from edge.errors import ConfigError, EdgeError, ModelError, SourceError


def test_what_is_read_is_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(OSError, match="is larger than 0 MB") as raised:
        read_bounded(path, 4)
    assert raised.value.errno == errno.EFBIG
    assert read_bounded(Path("/dev/null")) == b""


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


#: What may lie where settings are looked for.
PLACED: dict[str, Callable[[Path], object]] = {
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": pipe,
    "a socket": listening,
    "a folder": lambda path: path.mkdir(),
    "itself": lambda path: path.symlink_to(path),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "deep keys": lambda path: path.write_text('{"schema":' * 50_000),
    "a long integer": lambda path: path.write_text('{"schema": ' + "9" * 4000 + "}"),
    "a longer integer": lambda path: path.write_text('{"width": ' + "9" * 5000 + "}"),
    "no UTF-8": lambda path: path.write_bytes(b'{"schema": "\xff"}'),
    "too much": lambda path: path.write_bytes(b" " * 4_000_001),
}
READERS: dict[str, tuple[Callable[[Path], object], type[EdgeError], int]] = {
    "blastcount.toml": (load_config, ConfigError, 3),
    "calibration.json": (Calibration.load, ConfigError, 3),
    "model.json": (load_bundle, ModelError, 3),
    "f.truth.json": (lambda path: known_counts(path.with_name("f.jpg")), SourceError, 1),
}


@pytest.mark.parametrize("what", PLACED)
@pytest.mark.parametrize("name", READERS)
def test_whatever_lies_there_is_one_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    read, error, code = READERS[name]
    PLACED[what](tmp_path / name)
    if (name, what) == ("f.truth.json", "itself"):
        assert read(tmp_path / name) is None  # no file beside the picture
        return
    with pytest.raises(error) as raised:
        read(tmp_path / name)
    assert raised.value.exit_code == code
    message = str(raised.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(tmp_path))
