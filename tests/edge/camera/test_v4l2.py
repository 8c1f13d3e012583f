"""V4L2 through a scripted device at the cv2 border: settings, stale frames, hanging and unplugging."""

from __future__ import annotations

import itertools
import logging
import math
import re
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

from edge.camera.v4l2 import V4L2Source
from edge.errors import CameraError, DamagedFrameError
from tests.edge.camera.devices import Clock, Device
from tests.waiting import wait_for


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def opened(device: Any, node: str, **options: Any) -> V4L2Source:
    """Make a source whose seconds are the device's frames."""
    return V4L2Source(node, open_capture=device, clock=getattr(device, "clock", Clock()), **options)


def test_the_device_is_opened_by_its_file_with_v4l2(node: str) -> None:
    assert V4L2Source("3").name == "/dev/video3"
    device = Device()
    with opened(device, node) as source:
        assert source.name == node
        assert device.calls == [(node, cv2.CAP_V4L2)]
        assert device.releases == 0
    assert device.releases == 1


@pytest.mark.parametrize("takes_buffers", [True, False])
def test_frames_from_before_the_call_are_dropped(node: str, takes_buffers: bool) -> None:
    device = Device(takes_buffers=takes_buffers)
    with opened(device, node, um_per_px=0.1) as source:
        for _ in range(2):
            frame = source.read(5.0)
            assert frame is not None
            assert (frame.image == 120).all()
            assert frame.um_per_px == 0.1
            device.queue = device.buffers


def test_the_size_is_set_and_verified(node: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(Device(), node, width=1280, height=960) as source:
        frame = source.read(5.0)
    assert frame is not None
    assert (frame.width, frame.height) == (1280, 960)
    assert not warnings(caplog)


FORMATS = {"YUYV": {(640, 480), (800, 600)}, "MJPG": {(640, 480), (1024, 768), (1280, 720)}}


@pytest.mark.parametrize("tells_format", [True, False])
@pytest.mark.parametrize(
    ("size", "asked", "got"),
    [
        ((800, 600), None, "YUYV"),
        ((1280, 720), None, "MJPG"),
        ((640, 480), "MJPG", "MJPG"),
        ((1280, 720), "MJPG", "MJPG"),
        (None, "MJPG", "MJPG"),
        (None, None, "YUYV"),
    ],
)
def test_the_pixel_format_is_the_one_that_has_the_size(
    node: str, tells_format: bool, size: tuple[int, int] | None, asked: str | None, got: str
) -> None:
    device = Device(formats=FORMATS, tells_format=tells_format)
    width, height = size or (None, None)
    with opened(device, node, width=width, height=height, pixel_format=asked) as source:
        assert device.format == got
        assert device.converts == (got != "MJPG" or not tells_format)
        frame = source.read(5.0)
    assert frame is not None
    assert (frame.width, frame.height) == (size or (640, 480))


def test_a_bus_that_is_too_slow_for_one_format_is_given_the_other(node: str) -> None:
    device = Device(formats=FORMATS, too_slow={"YUYV"})
    with opened(device, node):
        assert device.format == "MJPG"
    with pytest.raises(CameraError, match=r"gave no frame; .*MJPG.*camera\.width") as caught:
        opened(Device(formats=FORMATS, too_slow={"YUYV", "MJPG"}), node).__enter__()
    assert caught.value.reason == "no_frame"


def test_sizes_that_are_listed_can_be_asked_for(node: str) -> None:
    def refusal(**asked: Any) -> str:
        device = Device(formats=FORMATS)
        with pytest.raises(CameraError, match="asked for 999x777 px, the camera gives") as caught:
            opened(device, node, width=999, height=777, **asked).__enter__()
        assert caught.value.reason == "wrong_size"
        assert device.releases == 1
        return str(caught.value)

    def listed(text: str) -> list[tuple[int, int]]:
        sizes = re.findall(r"(\d+)x(\d+)", text.split("it can give")[1])
        return [(int(width), int(height)) for width, height in sizes]

    assert listed(refusal()) == sorted(FORMATS["YUYV"] | FORMATS["MJPG"])
    assert listed(refusal(pixel_format="YUYV")) == sorted(FORMATS["YUYV"])
    for width, height in listed(refusal()):
        with opened(Device(formats=FORMATS), node, width=width, height=height) as source:
            assert source.read(5.0) is not None


def test_a_pixel_format_that_the_camera_lacks_is_refused(node: str) -> None:
    with pytest.raises(CameraError, match="does not give pixels as NV12, but YUYV") as caught:
        opened(Device(formats=FORMATS), node, pixel_format="NV12").__enter__()
    assert caught.value.reason == "wrong_format"


def half(jpeg: bytes) -> bytes:
    return jpeg[: len(jpeg) // 2] + b"\xff\xd9"


def without_tables(jpeg: bytes) -> bytes:
    """Leave out the Huffman tables, as motion JPEG may."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        kept += b"" if jpeg[at + 1] == 0xC4 else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def test_damaged_jpegs_are_refused_and_whole_ones_kept(node: str) -> None:
    device = Device(formats=FORMATS)
    with opened(device, node, pixel_format="MJPG") as source:
        device.jpeg = half
        for _ in range(2):
            with pytest.raises(DamagedFrameError, match="damaged frames came") as caught:
                source.read(5.0)
            assert caught.value.reason == "damaged"
        comment = b"\xff\xfe\0\x0aserial 7"
        # A buffer that is longer than its picture, which tells more than that.
        device.jpeg = lambda jpeg: jpeg[:2] + comment + jpeg[2:] + b"\0" * 999
        frame = source.read(5.0)
        assert frame is not None
        assert frame.jpeg is not None
        assert b"serial" not in frame.jpeg
        assert frame.jpeg.endswith(b"\xff\xd9")
        np.testing.assert_array_equal(simplejpeg.decode_jpeg(frame.jpeg, "RGB"), frame.image)
        # Huffman tables may be left out, and markers may have bytes before them.
        for odd in (without_tables, lambda jpeg: jpeg[:2] + b"\xff\xff" + jpeg[2:]):
            device.jpeg = odd
            frame = source.read(5.0)
            assert frame is not None
            assert frame.jpeg is None
    # The first frames after a start are often bad.
    some = itertools.chain([half] * 5, itertools.repeat(lambda jpeg: jpeg))
    with opened(
        Device(formats=FORMATS, jpeg=lambda jpeg: next(some)(jpeg)), node, pixel_format="MJPG"
    ) as source:
        assert source.read(5.0) is not None


def test_a_camera_whose_every_jpeg_has_bytes_too_many_is_used(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(formats=FORMATS, jpeg=lambda jpeg: jpeg[:-2] + b"\x55" * 64 + jpeg[-2:])
    with opened(device, node, pixel_format="MJPG") as source:
        frame = source.read(5.0)
    assert frame is not None
    assert abs(int(frame.image.mean()) - 120) <= 2
    assert device.converts
    assert "all are so, and OpenCV decodes them from now on" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (cv2.error("(-215:Assertion failed) !image.empty()"), "failed"),
        (MemoryError(), "no_memory"),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 33177600 bytes"), "no_memory"),
        (OSError(12, "Cannot allocate memory"), "no_memory"),
    ],
)
def test_what_opencv_raises_is_a_failure_of_the_camera(node: str, error: Exception, reason: str) -> None:
    def broken(path: str, backend: int) -> Any:
        raise error

    with pytest.raises(CameraError) as caught:
        opened(broken, node).__enter__()
    assert caught.value.reason == reason
    assert ("camera.width" in str(caught.value)) == (reason == "no_memory")
    device = Device()
    with opened(device, node) as source:
        device.error = error
        with pytest.raises(CameraError) as caught:
            source.read(5.0)
        assert caught.value.reason == reason
    assert device.releases == 1  # which failed as well, and was only said


@pytest.mark.parametrize(
    "size", [(math.nan, math.nan), (0.0, 0.0), (-1.0, 480.0), (math.inf, 480.0), (8.0, 8.0)]
)
def test_a_size_that_is_none_is_refused(node: str, size: tuple[float, float]) -> None:
    with pytest.raises(CameraError, match="its driver tells a size of") as caught:
        opened(Device(size=size), node).__enter__()
    assert caught.value.reason == "failed"


def test_missing_and_forbidden_cameras_say_what_to_do(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, named in (([], "there is no /dev/video"), (["b", "a"], "found a, b")):
        monkeypatch.setattr(Path, "glob", lambda self, pattern, found=found: map(Path, found))
        with pytest.raises(CameraError, match=f"absent: no such camera; {named}"):
            V4L2Source(f"{node}/absent").__enter__()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CameraError, match=r"no permission; add the user to the group"):
        opened(Device(), node).__enter__()


def test_what_is_no_camera_or_in_use_is_an_error(node: str) -> None:
    device = Device(opens=False)
    for opens in (device, cv2.VideoCapture):  # OpenCV itself on a plain file
        with pytest.raises(CameraError, match=r"does not open as a camera; another program may use it"):
            opened(opens, node).__enter__()
    assert device.releases == 1


@pytest.mark.parametrize(
    ("where", "named"), [("open_delay", "did not open within"), ("hang", "no frame within")]
)
def test_a_camera_that_hangs_while_it_opens(
    node: str, monkeypatch: pytest.MonkeyPatch, where: str, named: str
) -> None:
    def impatient() -> None:
        monkeypatch.setattr("edge.camera.v4l2.OPEN_TIMEOUT_S", 0.05)

    go_on = threading.Event()
    device = Device(**{where: go_on, "opened": impatient})
    if where == "open_delay":
        impatient()
    with pytest.raises(CameraError, match=rf"{named} 0\.05 s") as error:
        opened(device, node).__enter__()
    assert error.value.reason == "hung"
    assert device.releases == 0
    go_on.set()
    wait_for(lambda: device.releases == 1)


def test_a_hung_camera_is_given_up_and_released_when_it_returns(node: str) -> None:
    device = Device()
    source = opened(device, node)
    with source:
        device.hang = threading.Event()
        for named in (r"no frame within 0\.1 s; the camera hangs", "is not open"):
            with pytest.raises(CameraError, match=named):
                source.read(0.1)
    # Releasing a device inside its hanging call would crash: that waits for the call.
    assert device.releases == 0
    device.hang.set()
    wait_for(lambda: device.releases == 1)
    device.hang = None
    with source:
        assert source.read(5.0) is not None


def test_an_unplugged_camera_is_seen_and_comes_back(node: str) -> None:
    device = Device()
    source = opened(device, node)
    with source:
        device.unplugged = True
        with pytest.raises(CameraError, match="gave no frame; was it unplugged"):
            source.read(5.0)
        device.unplugged = False
        device.read = lambda: (True, None)  # type: ignore[method-assign]  # as OpenCV does at times
        with pytest.raises(CameraError, match="gave no frame"):
            source.read(5.0)
    with opened(Device(), node) as again:
        assert again.read(5.0) is not None


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (np.zeros((480, 640), np.uint8), r"8-bit colour frame, got shape \(480, 640\), dtype uint8"),
        (np.zeros((480, 640, 4), np.uint8), r"got shape \(480, 640, 4\)"),
        (np.zeros((480, 640, 3), np.uint16), r"dtype uint16"),
        ("torn", r"got shape None, dtype str"),
        (np.zeros((240, 640, 3), np.uint8), r"640x240 px came, expected \(640, 480\)"),
    ],
)
def test_unusable_frames_are_refused(node: str, frame: object, named: str) -> None:
    device = Device()
    with opened(device, node) as source:
        device.frame = frame
        with pytest.raises(CameraError, match=named):
            source.read(5.0)
