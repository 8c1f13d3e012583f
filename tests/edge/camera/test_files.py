"""What a path given by a person stands for, and videos frame by frame."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.camera import files as files_module
from edge.camera.files import OUTPUT_SUFFIXES, find_files, read_frames, read_image
from edge.errors import ImageError, SourceError


def image(path: Path, size: tuple[int, int] = (60, 40)) -> Path:
    Image.new("RGB", size, (200, 190, 180)).save(path)
    return path


def video(path: Path, frames: int = 12, code: str = "MJPG") -> Path:
    """Frames whose grey level is ten times their number, counted from 1."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 5, (64, 48))
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def test_an_image_becomes_a_frame(tmp_path: Path) -> None:
    path = image(tmp_path / "f.png")
    frame = read_image(path, um_per_px=0.2)
    assert (frame.width, frame.height, frame.source, frame.um_per_px) == (60, 40, str(path), 0.2)
    assert frame.image[0, 0].tolist() == [200, 190, 180]
    assert frame.captured_at is None


def test_a_single_pixel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="1x1 px is smaller than the 30 px that a white cell needs"):
        read_image(image(tmp_path / "dot.png", (1, 1)))


def test_a_folder_is_listed_as_people_count(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.JPG", "F1.tif", "f2.png", "f.bmp"):
        image(tmp_path / name)
    assert [p.name for p in find_files(tmp_path)] == ["F1.tif", "f2.JPG", "f2.png", "f10.png", "f.bmp"]


def test_a_folder_gives_images_and_videos_only(tmp_path: Path) -> None:
    image(tmp_path / "f1.png")
    video(tmp_path / "v.avi")
    (tmp_path / "notes.txt").write_text("n")
    (tmp_path / "f1.truth.json").write_text("{}")
    image(tmp_path / ".hidden.png")
    (tmp_path / "folder.png").mkdir()
    image(tmp_path / "folder.png" / "deep.png")
    for suffix in OUTPUT_SUFFIXES:
        image(tmp_path / f"f1{suffix}")
    assert [p.name for p in find_files(tmp_path)] == ["f1.png", "v.avi"]


def test_a_file_is_itself_whatever_its_folder_would_leave_out(tmp_path: Path) -> None:
    hidden = image(tmp_path / ".hidden.png")
    assert find_files(hidden) == [hidden]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no images or videos in this folder$"):
        find_files(tmp_path)


def test_a_folder_of_folders_says_so(tmp_path: Path) -> None:
    (tmp_path / "day1").mkdir()
    (tmp_path / "day2").mkdir()
    with pytest.raises(SourceError, match="its 2 subfolders are not searched, give them by name"):
        find_files(tmp_path)


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="absent: no such file or folder"):
        find_files(tmp_path / "absent")


def test_another_type_of_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("n")
    with pytest.raises(SourceError, match=r"not an image or video by its name; expected one of \.avi, "):
        find_files(path)


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        find_files(tmp_path)


def test_an_image_gives_one_frame(tmp_path: Path) -> None:
    path = image(tmp_path / "f.png")
    assert [frame.source for frame in read_frames(path)] == [str(path)]


def test_a_video_gives_numbered_frames_in_rgb(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    writer.write(np.full((48, 64, 3), (200, 40, 20), np.uint8))  # blue, in OpenCV's order
    writer.release()
    (frame,) = read_frames(path, um_per_px=0.3)
    assert frame.source == f"{path}#1"
    assert frame.um_per_px == 0.3
    np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(axis=0), (20, 40, 200), atol=6)


@pytest.mark.parametrize(
    ("name", "code"), [("v.avi", "MJPG"), ("v.mp4", "mp4v"), ("v.mkv", "MJPG"), ("v.avi", "XVID")]
)
def test_every_nth_frame(tmp_path: Path, name: str, code: str) -> None:
    path = video(tmp_path / name, code=code)
    assert len(list(read_frames(path))) == 12
    frames = list(read_frames(path, every=5))
    assert [frame.source for frame in frames] == [f"{path}#{n}" for n in (1, 6, 11)]
    for frame, number in zip(frames, (1, 6, 11), strict=True):
        assert abs(int(frame.image.mean()) - 10 * number) <= 4


def test_a_truncated_video_gives_its_frames_and_an_error(tmp_path: Path) -> None:
    path = video(tmp_path / "v.avi", frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames = read_frames(path)
    assert next(frames).source == f"{path}#1"
    with pytest.raises(SourceError, match=r"truncated: ended after frame \d+ of 40; copy it again"):
        list(frames)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty; copy it again from the camera"),
        (b"I am no video" * 50, "not a video that OpenCV can read; convert it to MP4 or AVI"),
    ],
)
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=expected):
        list(read_frames(path))


def test_a_missing_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file or directory"):
        list(read_frames(tmp_path / "v.mp4"))


def test_a_name_that_is_no_utf_8_is_refused_before_opencv_sees_it(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/v\xff.avi"))
    path.write_bytes(b"RIFF")
    with pytest.raises(SourceError, match="names of videos must be UTF-8; rename the file"):
        list(read_frames(path))


class FakeCapture:
    """A video that OpenCV opens and then has trouble with."""

    def __init__(self, *, width: int = 64, promised: int = 0, frames: int = 0) -> None:
        self.properties = {
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: 8000,
            cv2.CAP_PROP_FRAME_COUNT: promised,
        }
        self.frames = frames
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return True

    def get(self, key: int) -> float:
        return float(self.properties[key])

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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capture: FakeCapture,
    error: type[Exception],
    expected: str,
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
