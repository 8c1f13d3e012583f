"""What every source promises, asked of every source: files, the rendered smear, V4L2 and the Pi camera."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.picamera import PiCameraSource
from edge.camera.replay import ReplaySource
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.errors import CameraError, SourceError
from edge.rendered import Population, RenderedSource, RenderSettings
from edge.structures import Frame
from tests.edge.camera.devices import Clock, Device, camera

#: A frame in which a swap of channels shows: red on the left, blue on the right.
RED_LEFT = np.zeros((120, 160, 3), np.uint8)
RED_LEFT[:, :80, 0] = 200
RED_LEFT[:, 80:, 2] = 200
RED_LEFT_BGR = np.ascontiguousarray(RED_LEFT[..., ::-1])


def make_replay(folder: Path) -> FrameSource:
    # With the noise of a photograph: a picture without any is taken for a label image.
    grainy = RED_LEFT_BGR + np.random.default_rng(0).integers(0, 9, RED_LEFT.shape, dtype=np.uint8)
    for number in range(3):
        assert cv2.imwrite(str(folder / f"f{number}.png"), grainy)
    return ReplaySource(folder)


def make_video(folder: Path) -> FrameSource:
    path = folder / "field.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(3):
        writer.write(RED_LEFT_BGR)
    writer.release()
    return ReplaySource(path, loop=True)


def make_rendered(folder: Path) -> FrameSource:
    return RenderedSource(7, RenderSettings(160, 120, 0.2, population=Population.only(platelet=5000.0)))


def make_v4l2(folder: Path) -> FrameSource:
    (folder / "video0").touch()
    device = Device(size=(160, 120), frame=RED_LEFT_BGR)
    return V4L2Source(str(folder / "video0"), open_capture=device, clock=device.clock)


def make_picamera(folder: Path) -> FrameSource:
    clock = Clock()
    module = camera(sensor_resolution=(160, 120), array=RED_LEFT, clock=clock)
    return PiCameraSource(0, module=module, clock=clock)


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


def test_frames_are_frames_with_the_sources_name(source: FrameSource) -> None:
    assert isinstance(source, FrameSource)
    assert source.name
    with source as opened:
        assert opened is source
        first, second = source.read(5.0), source.read(5.0)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.width, first.height) == (160, 120)
    assert first.image.flags.c_contiguous
    assert source.name in first.source
    assert first.image is not second.image
    # A camera says when, and in which time zone.
    assert (first.captured_at is not None) == isinstance(source, V4L2Source | PiCameraSource)
    assert first.captured_at is None or first.captured_at.tzinfo is not None


def test_colours_are_red_green_blue(source: FrameSource) -> None:
    if isinstance(source, RenderedSource):
        pytest.skip("has no red side; its colours are tested with the renderer")
    with source:
        frame = source.read(5.0)
    assert frame is not None
    np.testing.assert_allclose(frame.image[60, 40].astype(int), (200, 0, 0), atol=12)  # JPEG in the video
    np.testing.assert_allclose(frame.image[60, 120].astype(int), (0, 0, 200), atol=12)


def test_it_is_read_while_it_is_open_and_can_be_opened_again(source: FrameSource) -> None:
    for _ in range(3):
        with pytest.raises((CameraError, SourceError), match="open"):
            source.read(60.0)
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
