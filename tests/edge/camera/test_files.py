"""Image files as frames, and videos frame by frame."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.camera import video as video_module
from edge.camera.files import read_frames, read_image
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
    said = r"not counted: frame \d+; truncated: ended after frame \d+ of 40; copy it again"
    with pytest.raises(SourceError, match=said):
        list(frames)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (b"v.mp4", b"", "the file is empty"),
        (b"v.mp4", b"I am no video" * 50, "not a video by its beginning"),
        (b"v.mp4", b"\0\0\0\x18ftypisom" + bytes(500), "not a video that OpenCV can read"),
        (b"v.mp4", None, "cannot be read: No such file or directory"),
        (b"v\xff.avi", b"RIFF", "v\udcff.avi: not a video by its beginning"),
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
    path.write_bytes(b"RIFF    AVI ")
    monkeypatch.setattr(video_module.cv2, "VideoCapture", lambda *arguments: capture)
    with pytest.raises(error, match=expected):
        list(read_frames(path))
    assert capture.released


@pytest.mark.parametrize(
    "name", [b"10:30.avi", b"http:/v.avi", b"file:v.avi", b"lat\xe4.avi", b"%03d.avi", b"-i.avi"]
)
def test_videos_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    path = Path(os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    path.parent.mkdir(exist_ok=True)
    video(tmp_path / "v.avi").rename(path)
    assert len(list(read_frames(path))) == 12


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile other.avi\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/v.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n",
    ],
)
def test_nothing_but_the_named_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """Lists of files and addresses, which FFmpeg plays whatever they are called."""
    video(tmp_path / "other.avi")
    video(tmp_path / "other.mp4", code="mp4v")
    path = tmp_path / "list.avi"
    path.write_text(content)
    with pytest.raises(SourceError, match=r"list\.avi: not a video by its beginning"):
        list(read_frames(path))
    if "ffconcat" in content:  # it would be played (OpenCV 4.11 plays the first playlist, too)
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        assert capture.isOpened()
        capture.release()
    monkeypatch.setattr(video_module, "_CONTAINER", re.compile(b""))
    # No address is opened in any case; OpenCV before and after 4.11 would read no other file either.
    if "http" in content:
        with pytest.raises(SourceError, match=r"list\.avi: not a video that OpenCV can read"):
            list(read_frames(path))


@pytest.mark.parametrize("suffix", [".avi", ".png"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"itself{suffix}").symlink_to(tmp_path / f"itself{suffix}")
    for name, said in (
        ("pipe", "not a regular file"),
        ("zero", "not a regular file"),
        ("itself", "Too many"),
    ):
        with pytest.raises((ImageError, SourceError), match=f"{name}{suffix}: .*{said}"):
            list(read_frames(tmp_path / f"{name}{suffix}"))


def test_one_frame_of_a_video_in_memory_at_a_time(tmp_path: Path) -> None:
    frames = read_frames(video(tmp_path / "v.avi", frames=3))
    first = next(frames)
    second = next(frames)
    assert not np.shares_memory(first.image, second.image)
    frames.close()  # releases the video early, as an interrupted count does
