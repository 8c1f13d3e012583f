"""Files and folders appear whole or not at all, and leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.device.durable import write_whole, written_whole


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_replaces_the_one_of_its_name(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / ("n" * 250 + ".json")  # nearly as long as a name may be
    for content in (b"before", b"after"):
        write_whole(path, content, durable=durable)
        assert path.read_bytes() == content
    with written_whole(path, durable=durable) as new:
        new.write_bytes(b"last")
        (new.parent / "journal").write_bytes(b"beside it")
    assert path.read_bytes() == b"last"
    assert list(tmp_path.iterdir()) == [path]
    other = tmp_path / "other"
    other.write_bytes(b"last")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize(("umask", "left"), [(0o000, 0o640), (0o022, 0o640), (0o077, 0o600)])
def test_rights_are_the_umask_s_unless_they_are_exact(
    tmp_path: Path, set_umask: Callable[[int], int], umask: int, left: int
) -> None:
    set_umask(umask)
    write_whole(tmp_path / "private", b"", mode=0o640)
    write_whole(tmp_path / "public", b"", mode=0o644, exactly=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"private": left, "public": 0o644}


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_on_its_way_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "state"
    write_whole(path, b"before")

    def fail(descriptor: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(failure)):
        write_whole(path, b"after", durable=True)
    with pytest.raises(type(failure)), written_whole(path, durable=True) as new:
        new.write_bytes(b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "results"
    for name in ("first", "second"):
        with written_whole(path) as new:
            new.mkdir()
            (new / name).touch()
        assert [file.name for file in path.iterdir()] == [name]
    with pytest.raises(FileNotFoundError), written_whole(path) as new:
        (new / "third").touch()  # whatever goes wrong half way
    with pytest.raises(FileNotFoundError), written_whole(path):
        pass  # nothing was written
    assert [file.name for file in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def _by_name(path: Path) -> None:
    with written_whole(path) as new:
        new.write_bytes(b"content")


@pytest.mark.parametrize("write", [lambda path: write_whole(path, b"content"), _by_name])
def test_a_pipe_or_a_device_is_written_to_and_stays_what_it_is(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe)
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
