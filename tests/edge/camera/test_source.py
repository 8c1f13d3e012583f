"""What every source promises, asked of every source: files, the rendered smear, V4L2 and the Pi camera."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.picamera import PiCameraSource
from edge.camera.replay import ReplaySource
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.errors import CameraError, SourceError
from edge.rendered import RenderedSource, RenderSettings
from edge.structures import Frame

#: A frame in which a swap of channels shows: red on the left, blue on the right.
RED_LEFT = np.zeros((120, 160, 3), np.uint8)
RED_LEFT[:, :80, 0] = 200
RED_LEFT[:, 80:, 2] = 200


class WorkingCapture:
    """A well-behaved V4L2 camera as OpenCV shows it."""

    def __init__(self, device: str, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        self.open = True

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.open

    def set(self, prop: int, value: float) -> bool:
        return True

    def get(self, prop: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 160.0, cv2.CAP_PROP_FRAME_HEIGHT: 120.0}.get(prop, -1.0)

    def grab(self) -> bool:
        return self.open

    def read(self) -> tuple[bool, Any]:
        return self.open, np.ascontiguousarray(RED_LEFT[..., ::-1])

    def release(self) -> None:
        self.open = False


class WorkingPicamera2:
    """A well-behaved Pi camera; picamera2's "BGR888" is R, G, B in memory."""

    sensor_resolution = (160, 120)
    camera_controls: dict[str, object] = {}  # noqa: RUF012  # as in picamera2

    def __init__(self, number: int = 0) -> None:
        self.configuration: dict[str, Any] = {}

    @staticmethod
    def global_camera_info() -> list[dict[str, object]]:
        return [{"Model": "imx477", "Num": 0}]

    def create_video_configuration(self, **configuration: Any) -> dict[str, Any]:
        return configuration

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None: ...

    def set_controls(self, controls: dict[str, object]) -> None:
        assert not controls

    def capture_metadata(self, wait: float) -> dict[str, object]:
        return {}

    def captured_request(self, wait: float, flush: bool | None) -> Any:
        from contextlib import nullcontext

        assert self.configuration["main"]["format"] == "BGR888"
        return nullcontext(SimpleNamespace(make_array=lambda name: RED_LEFT.copy()))

    def cancel_all_and_flush(self) -> None: ...

    def close(self) -> None:
        self.configuration = {}


def write_image(path: Path) -> Path:
    assert cv2.imwrite(str(path), RED_LEFT[..., ::-1])
    return path


def make_replay(folder: Path) -> FrameSource:
    for number in range(3):
        write_image(folder / f"f{number}.png")
    return ReplaySource(folder)


def make_video(folder: Path) -> FrameSource:
    path = folder / "field.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(3):
        writer.write(np.ascontiguousarray(RED_LEFT[..., ::-1]))
    writer.release()
    return ReplaySource(path, loop=True)


def make_rendered(folder: Path) -> FrameSource:
    return RenderedSource(7, RenderSettings(width=160, height=120, um_per_px=0.2))


def make_v4l2(folder: Path) -> FrameSource:
    (folder / "video0").touch()
    return V4L2Source(str(folder / "video0"), open_capture=WorkingCapture)


def make_picamera(folder: Path) -> FrameSource:
    return PiCameraSource(0, module=SimpleNamespace(Picamera2=WorkingPicamera2))


MAKERS: list[Callable[[Path], FrameSource]] = [
    make_replay,
    make_video,
    make_rendered,
    make_v4l2,
    make_picamera,
]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__.removeprefix("make_"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrameSource]:
    before = set(threading.enumerate())
    made: FrameSource = request.param(tmp_path)
    yield made
    assert set(threading.enumerate()) <= before, "a thread was left behind"


def test_it_is_a_source_with_a_name(source: FrameSource) -> None:
    assert isinstance(source, FrameSource)
    assert source.name


def test_frames_are_frames(source: FrameSource) -> None:
    with source as opened:
        assert opened is source
        first, second = source.read(5.0), source.read(5.0)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.width, first.height) == (160, 120)
    assert first.image.flags.c_contiguous
    assert source.name in first.source
    assert first.image is not second.image


def test_colours_are_red_green_blue(source: FrameSource) -> None:
    if isinstance(source, RenderedSource):
        pytest.skip("has no red side; its colours are tested with the renderer")
    with source:
        frame = source.read(5.0)
    assert frame is not None
    np.testing.assert_allclose(frame.image[60, 40].astype(int), (200, 0, 0), atol=12)  # JPEG in the video
    np.testing.assert_allclose(frame.image[60, 120].astype(int), (0, 0, 200), atol=12)


def test_times_of_capture_are_aware(source: FrameSource) -> None:
    with source:
        frame = source.read(5.0)
    assert frame is not None
    is_camera = isinstance(source, V4L2Source | PiCameraSource)
    assert (frame.captured_at is not None) == is_camera
    assert frame.captured_at is None or frame.captured_at.tzinfo is not None


def test_reading_a_source_that_is_not_open_is_an_error(source: FrameSource) -> None:
    with pytest.raises((CameraError, SourceError), match="open"):
        source.read(1.0)
    with source:
        assert source.read(5.0) is not None
    with pytest.raises((CameraError, SourceError), match="open"):
        source.read(1.0)


def test_it_can_be_opened_again(source: FrameSource) -> None:
    for _ in range(3):
        with source:
            assert source.read(5.0) is not None


def test_it_is_closed_after_an_error_in_the_body(source: FrameSource) -> None:
    def fail_inside() -> None:
        with source:
            source.read(5.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    with source:
        assert source.read(5.0) is not None


def test_it_ends_or_goes_on(source: FrameSource) -> None:
    with source:
        frames = [source.read(5.0) for _ in range(5)]
        ends = None in frames
        assert ends == (isinstance(source, ReplaySource) and not source._loop)
        if ends:
            assert frames.index(None) == 3
            assert source.read(5.0) is None
