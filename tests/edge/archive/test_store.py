"""Listing and reading an archive's files: wherever they lie, by the rules of a folder."""

from __future__ import annotations

import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from edge.archive import store
from edge.archive.store import StoredFile, list_files, read_picture, read_stored
from edge.camera.files import read_frames
from edge.camera.folders import find
from edge.errors import ImageError, RuntimeMissingError, SourceError, StoreError


@pytest.fixture
def zipped(archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "fields"), "zip", archive))


@pytest.fixture
def in_memory(archive: Path) -> Iterator[str]:
    """The same archive in a store that is no disk."""
    memory = fsspec.filesystem("memory")
    memory.put(str(archive), "/stored", recursive=True)
    yield "memory://stored"
    memory.rm("/stored", recursive=True)


@pytest.fixture
def on_the_web(archive: Path) -> Iterator[str]:
    """The same archive on a web server, which tells neither sizes nor dates in its listings."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def below(files: list[StoredFile], root: str) -> list[str]:
    return [file.source.removeprefix(f"{root}/") for file in files]


def test_every_store_lists_what_a_folder_does(archive: Path, zipped: Path, in_memory: str) -> None:
    found = find(archive)
    expected = [str(path.relative_to(archive)) for path in found.files]
    assert len(expected) == 10
    for path in (str(archive), str(zipped), f"zip://::{zipped}", in_memory):
        files, listed = list_files(path)
        assert below(files, path) == expected
        assert listed.left_out == found.left_out == {".txt": 1}
        assert [file.source for file in files if file.is_drawn] == [f"{path}/S-1/f0.png"]
        assert {file.folder.removeprefix(f"{path}/") for file in files} == {"S-1", "S-2", "S-3"}
        flat, listed = list_files(path, recursive=False)
        assert (flat, dict(listed.folders)) == ([], {"subfolder": 3})


def test_every_store_gives_the_pixels_of_the_file(archive: Path, zipped: Path, in_memory: str) -> None:
    (expected,) = read_frames(archive / "S-1" / "f0.png")
    for path in (str(archive), str(zipped), in_memory):
        file = list_files(path)[0][0]
        (frame,) = read_stored(file, 0.2)
        assert (frame.source, frame.is_drawn, frame.um_per_px) == (f"{path}/S-1/f0.png", True, 0.2)
        assert np.array_equal(frame.image, expected.image)
        assert np.array_equal(read_picture(file).image, expected.image)


def test_a_web_server_is_read_as_a_folder_is(archive: Path, on_the_web: str) -> None:
    files, listed = list_files(f"{on_the_web}/")
    assert below(files, on_the_web) == below(list_files(str(archive))[0], str(archive))
    assert listed.left_out == {".txt": 1}
    (expected,) = read_frames(archive / "S-1" / "f0.png")
    (frame,) = read_stored(files[0])
    assert (frame.source, frame.is_drawn) == (f"{on_the_web}/S-1/f0.png", True)
    assert np.array_equal(frame.image, expected.image)
    (single,), _ = list_files(f"{on_the_web}/S-2/f1.png")
    assert single.source == f"{on_the_web}/S-2/f1.png"
    (archive / "S-2" / "f1.png").unlink()
    with pytest.raises(StoreError, match=r"S-2/f1\.png: cannot be fetched"):
        next(read_stored(single))
    with pytest.raises(SourceError, match=f"{on_the_web}/none: "):
        list_files(f"{on_the_web}/none")


def test_one_stored_file_can_be_named(in_memory: str) -> None:
    (file,), _ = list_files(f"{in_memory}/S-2/f1.png")
    assert file.source == f"{in_memory}/S-2/f1.png"
    assert next(read_stored(file)).width == 320


def test_nothing_fetched_is_left_behind(
    in_memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    whole, damaged = list_files(in_memory)[0][1:3]
    assert len(list(read_stored(whole))) == 1
    with pytest.raises(ImageError, match=r"^memory://stored/S-2/bad\.png: damaged"):
        next(read_stored(damaged))
    assert not list((tmp_path / "temporary").iterdir())


def test_a_file_that_is_gone_can_be_fetched_another_time(in_memory: str) -> None:
    (file,), _ = list_files(f"{in_memory}/S-2/f1.png")
    fsspec.filesystem("memory").rm("/stored/S-2/f1.png")
    with pytest.raises(StoreError, match=r"memory://stored/S-2/f1\.png: cannot be fetched"):
        next(read_stored(file))


def test_a_damaged_member_of_a_zip_is_no_failure_of_the_network(zipped: Path) -> None:
    with zipfile.ZipFile(zipped) as opened:
        member = opened.getinfo("S-1/f0.png")
    content = bytearray(zipped.read_bytes())
    content[member.header_offset + 600] ^= 0xFF
    zipped.write_bytes(content)
    store._opened.cache_clear()
    with pytest.raises(ImageError, match=r"S-1/f0\.png: damaged in its archive"):
        next(read_stored(list_files(str(zipped))[0][0]))


def test_a_changed_file_has_another_stamp(archive: Path, in_memory: str) -> None:
    for path in (str(archive), in_memory):
        first = list_files(path)[0]
        assert first == list_files(path)[0]
        with fsspec.open(f"{path}/S-1/f0.png", "ab") as file:
            file.write(b" ")
        changed = list_files(path)[0]
        assert changed[0] != first[0]
        assert changed[1:] == first[1:]


def test_no_password_reaches_a_name() -> None:
    assert store._CREDENTIALS.sub("", "sftp://anna:secret@host/fields") == "sftp://host/fields"
    assert store._CREDENTIALS.sub("", "s3://bucket/a@b/f.jpg") == "s3://bucket/a@b/f.jpg"


def test_what_cannot_be_listed_is_named(tmp_path: Path) -> None:
    for path, error in (
        (str(tmp_path / "none"), SourceError),
        ("memory://none", SourceError),
        ("nosuch://host/fields", SourceError),
        (str(tmp_path / "none.zip"), SourceError),
        ("abfs://container/fields", RuntimeMissingError),
    ):
        with pytest.raises(error, match=path.partition("://")[2] or path):
            list_files(path)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(SourceError, match=r"broken\.zip: cannot be opened"):
        list_files(str(tmp_path / "broken.zip"))
