"""What a path given by a person stands for, and videos frame by frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.camera import files as files_module
from edge.camera.files import OUTPUT_SUFFIXES, find_files, read_frames, read_image
from edge.errors import ImageError, SourceError


def image(path: Path) -> Path:
    Image.new("RGB", (60, 40), (200, 190, 180)).save(path)
    return path


def video(path: Path, frames: int = 12, code: str = "MJPG") -> Path:
    """Frames whose level in red is ten times their number, counted from 1."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 5, (64, 48))
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(np.full((48, 64, 3), (40, 40, 10 * number), np.uint8))
    writer.release()
    return path


def test_an_image_becomes_a_frame(tmp_path: Path) -> None:
    path = image(tmp_path / "f.png")
    frame = read_image(path, um_per_px=0.2)
    assert [frame.source for frame in read_frames(path)] == [str(path)]
    assert (frame.width, frame.height, frame.source, frame.um_per_px) == (60, 40, str(path), 0.2)
    assert frame.image[0, 0].tolist() == [200, 190, 180]
    assert frame.captured_at is None


def test_a_folder_is_listed_as_people_count(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.JPG", "F1.tif", "f2.png", "f.bmp"):
        image(tmp_path / name)
    assert [p.name for p in find_files(tmp_path)] == ["F1.tif", "f2.JPG", "f2.png", "f10.png", "f.bmp"]


def test_a_folder_gives_images_and_videos_only(tmp_path: Path) -> None:
    hidden = image(tmp_path / ".hidden.png")
    for name in ("f1.png", *(f"f1{suffix}" for suffix in OUTPUT_SUFFIXES)):
        image(tmp_path / name)
    for name in ("v.avi", "notes.txt", "f1.truth.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    image(tmp_path / "folder.png" / "deep.png")
    assert [p.name for p in find_files(tmp_path)] == ["f1.png", "v.avi"]
    # A file is itself whatever its folder would leave out.
    assert find_files(hidden) == [hidden]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("empty", r"no images or videos in this folder$"),
        (".", "its 2 subfolders are not searched"),
        ("absent", "absent: no such file or folder"),
        ("notes.txt", r"notes.txt: .*; expected one of \.avi, "),
        ("refused", "cannot be read: Permission denied"),
    ],
)
def test_a_path_that_gives_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, named: str
) -> None:
    for folder in ("empty", "refused"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notes.txt").write_text("n")

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    if name == "refused":
        monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match=named):
        find_files(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "code"), [("v.avi", "MJPG"), ("v.mp4", "mp4v"), ("v.mkv", "MJPG"), ("v.avi", "XVID")]
)
def test_every_nth_frame(tmp_path: Path, name: str, code: str) -> None:
    path = video(tmp_path / name, code=code)
    assert len(list(read_frames(path))) == 12
    frames = list(read_frames(path, um_per_px=0.3, every=5))
    assert [frame.source for frame in frames] == [f"{path}#{n}" for n in (1, 6, 11)]
    for frame, number in zip(frames, (1, 6, 11), strict=True):
        assert frame.um_per_px == 0.3
        np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), (10 * number, 40, 40), atol=6)


def test_a_truncated_video_gives_its_frames_and_an_error(tmp_path: Path) -> None:
    path = video(tmp_path / "v.avi", frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames = read_frames(path)
    assert next(frames).source == f"{path}#1"
    with pytest.raises(SourceError, match=r"truncated: ended after frame \d+ of 40; copy it again"):
        list(frames)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (b"v.mp4", b"", "the file is empty"),
        (b"v.mp4", b"I am no video" * 50, "not a video that OpenCV can read"),
        (b"v.mp4", None, "cannot be read: No such file or directory"),
        (b"v\xff.avi", b"RIFF", "names of videos must be UTF-8"),  # refused before OpenCV sees it
    ],
)
def test_a_file_that_is_no_video(tmp_path: Path, name: bytes, content: bytes | None, named: str) -> None:
    path = tmp_path / os.fsdecode(name)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=named):
        list(read_frames(path))


class FakeCapture:
    """A video that OpenCV opens and then has trouble with."""

    def __init__(self, *, width: int = 64, frames: int = 0) -> None:
        self.width, self.frames, self.released = width, frames, False

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return True

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: self.width, cv2.CAP_PROP_FRAME_HEIGHT: 8000}.get(key, 0.0)

    def grab(self) -> bool:
        self.frames -= 1
        return self.frames >= 0

    def retrieve(self) -> tuple[bool, None]:
        return False, None

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(
    ("capture", "error", "expected"),
    [
        (FakeCapture(width=8000), ImageError, "frames of 8000x8000 px; at most 40 megapixels fit"),
        (FakeCapture(), SourceError, "the video holds no readable frame"),
        (FakeCapture(frames=1), SourceError, "frame 1 is damaged; copy the video again"),
    ],
)
def test_trouble_inside_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: Any, error: type[Exception], expected: str
) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"not looked at")
    monkeypatch.setattr(files_module.cv2, "VideoCapture", lambda *arguments: capture)
    with pytest.raises(error, match=expected):
        list(read_frames(path))
    assert capture.released


def test_one_frame_of_a_video_in_memory_at_a_time(tmp_path: Path) -> None:
    frames = read_frames(video(tmp_path / "v.avi", frames=3))
    first = next(frames)
    second = next(frames)
    assert not np.shares_memory(first.image, second.image)
    frames.close()  # releases the video early, as an interrupted count does
