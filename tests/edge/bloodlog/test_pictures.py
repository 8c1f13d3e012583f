"""Pictures are named by their content, whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import ImageError, OutputError


@pytest.fixture
def store(tmp_path: Path) -> ThumbnailStore:
    return ThumbnailStore.beside(tmp_path / "blood.db")


def smooth(level: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((24, 32, 3), (level, 200, 40), np.uint8)


def test_what_is_put_comes_back_by_its_hash(store: ThumbnailStore) -> None:
    sha256 = store.put(smooth(100))
    data = store.path(sha256).read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256
    assert store.read(sha256) == data
    image = store.get(sha256)
    assert image is not None
    # Red, green and blue in this order: JPEG changes a level or two.
    assert np.abs(image.astype(int) - smooth(100).astype(int)).max() <= 3
    assert [path.stem for path in store.files()] == [sha256]


def test_the_same_picture_is_one_file(store: ThumbnailStore) -> None:
    first = store.put(smooth(100))
    written = store.path(first).stat().st_mtime_ns
    assert store.put(smooth(100)) == first
    assert store.path(first).stat().st_mtime_ns == written
    assert store.put(smooth(10)) != first
    assert len(list(store.files())) == 2


def test_a_picture_that_is_gone_or_damaged_is_none(store: ThumbnailStore) -> None:
    sha256 = store.put(smooth(100))
    path = store.path(sha256)
    path.write_bytes(path.read_bytes()[:-5])
    assert store.read(sha256) is None
    assert store.get(sha256) is None
    assert store.size(sha256) > 0
    path.unlink()
    assert store.size(sha256) == 0
    assert store.get(sha256) is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_names_from_elsewhere_never_become_paths(store: ThumbnailStore, name: str) -> None:
    with pytest.raises(ImageError, match="64 hexadecimal digits"):
        store.path(name)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="pictures cannot be stored: File exists"):
        ThumbnailStore(tmp_path / "pictures").put(smooth(1))
