"""Files written beside the result: whole or absent, and never two under one name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.commands import outputs
from edge.commands.outputs import encode_jpeg, encode_labels, prepare_folder, unique_stems, write_atomically
from edge.errors import OutputError


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.bin"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f.bin", b"x")
    (tmp_path / "other").write_bytes(b"x")
    assert (tmp_path / "f.bin").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.bin"
    write_atomically(path, b"old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"f\.bin: cannot be written: Input/output error"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "f.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_reused(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(OutputError, match="cannot make this folder: File exists"):
        prepare_folder(tmp_path / "f")


def test_labels_survive_encoding() -> None:
    labels = np.arange(70 * 900, dtype=np.uint16).reshape(70, 900)
    decoded = cv2.imdecode(np.frombuffer(encode_labels(labels), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, labels)


def test_jpeg_keeps_the_order_of_colours() -> None:
    image = np.full((32, 32, 3), (200, 100, 20), np.uint8)
    with Image.open(io.BytesIO(encode_jpeg(image))) as decoded:
        np.testing.assert_allclose(np.asarray(decoded), np.full((32, 32, 3), (200, 100, 20)), atol=3)


def test_a_picture_that_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs.cv2, "imencode", lambda *arguments: (False, None))
    with pytest.raises(OutputError, match="OpenCV could not encode a picture"):
        encode_labels(np.zeros((4, 4), np.uint16))


@pytest.mark.parametrize(
    ("files", "stems"),
    [
        (["a/f1.jpg", "a/f2.jpg"], ["f1", "f2"]),
        (["a/f1.jpg", "b/f1.jpg"], ["f1", "b_f1"]),
        (["a/f1.jpg", "a/f1.png", "a/f1"], ["f1", "f1.png", "a_f1"]),
        (["a/x/f.jpg", "b/x/f.jpg", "c/f.jpg"], ["f", "x_f", "c_f"]),
        (["a/f.jpg", "b/f.jpg", "a_f.jpg"], None),
        (["a/f.jpg", "a/f.png", "b/f.jpg"], None),
    ],
)
def test_stems(files: list[str], stems: list[str] | None) -> None:
    found = list(unique_stems([Path(file) for file in files]).values())
    assert len(set(found)) == len(files)
    assert stems is None or found == stems


_NAME = st.text("ab_", min_size=1, max_size=3)


@given(st.lists(st.tuples(_NAME, _NAME, _NAME, st.sampled_from([".jpg", ".png"])), max_size=8, unique=True))
def test_stems_never_clash(parts: list[tuple[str, str, str, str]]) -> None:
    files = [Path("/", a, b, name + suffix) for a, b, name, suffix in parts]
    try:
        stems = unique_stems(files)
    except OutputError as error:
        assert "would be written under one name; count them in two runs" in str(error)  # noqa: PT017  # either is right
        return
    assert len(set(stems.values())) == len(files)
    assert all(os.sep not in stem for stem in stems.values())


def test_paths_that_read_alike_when_joined() -> None:
    with pytest.raises(OutputError, match="would be written under one name; count them in two runs"):
        unique_stems([Path("/c.jpg"), Path("/a_c.jpg"), Path("/_a_c.jpg"), Path("/a/c.jpg")])
