"""Replay: order, looping, and files that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import replay
from edge.camera.replay import ReplaySource
from edge.errors import SourceError
from edge.structures import Frame


def write_image(path: Path, grey: int = 90) -> None:
    assert cv2.imwrite(str(path), np.full((40, 50, 3), grey, np.uint8))


def greys(source: ReplaySource, frames: int) -> list[int | None]:
    read = [source.read(60.0) for _ in range(frames)]
    return [None if frame is None else int(frame.image[0, 0, 0]) for frame in read]


def test_files_are_played_in_order_and_again(tmp_path: Path) -> None:
    for number in (2, 1, 3):
        write_image(tmp_path / f"f{number}.png", 10 * number)
    with ReplaySource(tmp_path) as source:
        assert greys(source, 5) == [10, 20, 30, None, None]
    with ReplaySource(tmp_path, loop=True) as source:
        assert greys(source, 7) == [10, 20, 30, 10, 20, 30, 10]
    with ReplaySource(tmp_path / "f2.png") as source:
        assert greys(source, 2) == [20, None]


def test_the_configured_scale_is_passed_on(tmp_path: Path) -> None:
    write_image(tmp_path / "f.png")
    with ReplaySource(tmp_path, um_per_px=0.2) as source:
        frame = source.read(60.0)
    assert frame is not None
    assert frame.um_per_px == 0.2
    assert frame.source == str(tmp_path / "f.png")


def test_a_picture_with_a_truth_beside_it_is_drawn(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "a.truth.json").touch()
    with ReplaySource(tmp_path) as source:
        frames = [source.read(60.0), source.read(60.0)]
    assert [frame is not None and frame.is_drawn for frame in frames] == [True, False]


def test_unreadable_files_are_skipped_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", 10)
    (tmp_path / "b.png").write_text("not a picture")
    write_image(tmp_path / "c.png", 30)
    with caplog.at_level(logging.WARNING), ReplaySource(tmp_path, loop=True) as source:
        assert greys(source, 5) == [10, 30, 10, 30, 10]
    (record,) = caplog.records
    assert "skipped: " in record.message
    assert "b.png" in record.message


def test_a_file_on_which_a_library_fails_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", 10 * number)
    read = replay.read_frames

    def fails(path: Path, **given: float | None) -> Iterator[Frame]:
        if path.stem == "1":
            raise MemoryError("no room for it")
        return read(path, **given)  # type: ignore[arg-type]  # keyword arguments pass through

    monkeypatch.setattr(replay, "read_frames", fails)
    with ReplaySource(tmp_path, loop=True) as source:
        assert greys(source, 4) == [0, 20, 0, 20]
    assert "1.png: a library failed on it: MemoryError: no room for it" in caplog.text


def test_a_folder_of_bad_files_is_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "b.avi"):
        (tmp_path / name).write_text("not a picture")
    with (
        ReplaySource(tmp_path, loop=True) as source,
        pytest.raises(SourceError, match="none of the 2 files gave a frame in round 1"),
    ):
        source.read(60.0)


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SourceError, match=str(path)), ReplaySource(path):
            pass


def test_files_that_vanish_end_a_looping_replay_with_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    with ReplaySource(tmp_path / "a.png", loop=True) as source:
        assert source.read(60.0) is not None
        (tmp_path / "a.png").unlink()
        with pytest.raises(SourceError, match="in round 2"):
            source.read(60.0)
