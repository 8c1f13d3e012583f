"""V4L2 through a scripted device at the cv2 border: settings, stale frames, hanging and unplugging."""

from __future__ import annotations

import itertools
import logging
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.v4l2 import V4L2Source
from edge.errors import CameraError
from tests.edge.camera.devices import AUTO_EXPOSURE, AUTO_WB, EXPOSURE, WB_TEMPERATURE, Device, wait_for


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def node(tmp_path: Path) -> str:
    path = tmp_path / "video0"
    path.touch()
    return str(path)


def test_the_device_is_opened_by_its_file_with_v4l2(node: str) -> None:
    assert V4L2Source("3").name == "/dev/video3"
    device = Device()
    with V4L2Source(node, open_capture=device) as source:
        assert source.name == node
        assert device.calls == [(node, cv2.CAP_V4L2)]
        assert device.releases == 0
    assert device.releases == 1


@pytest.mark.parametrize("takes_buffers", [True, False])
def test_frames_from_before_the_call_are_dropped(node: str, takes_buffers: bool) -> None:
    device = Device(takes_buffers=takes_buffers)
    with V4L2Source(node, open_capture=device, um_per_px=0.1) as source:
        for _ in range(2):
            frame = source.read(5.0)
            assert frame is not None
            assert (frame.image == 99).all()
            assert frame.um_per_px == 0.1
            device.queue = [1] * device.buffers


def test_the_size_is_set_and_verified(node: str, caplog: pytest.LogCaptureFixture) -> None:
    with V4L2Source(node, width=1280, height=960, open_capture=Device()) as source:
        frame = source.read(5.0)
    assert frame is not None
    assert (frame.width, frame.height) == (1280, 960)
    assert not warnings(caplog)
    device = Device()
    with pytest.raises(CameraError, match=r"asked for 999x777 px, the camera gives 640x480"):
        V4L2Source(node, width=999, height=777, open_capture=device).__enter__()
    assert device.releases == 1
    assert [record.getMessage()[-6:] for record in warnings(caplog)] == ["999 px", "777 px"]


def test_exposure_and_white_balance_are_locked_where_they_have_settled(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(brightness=iter([50, 90, 120, 130, 134, 134, 134, 134, 134, 134, *[135] * 9]))
    with V4L2Source(node, open_capture=device):
        assert device.controls == {AUTO_EXPOSURE: 1.0, EXPOSURE: 157.0, AUTO_WB: 0.0, WB_TEMPERATURE: 4600.0}
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"controls": {AUTO_EXPOSURE: 3.0, EXPOSURE: 157.0}}, "cannot be locked: white balance"),
        ({"controls": {}}, "cannot be locked: exposure, white balance"),
        ({"obeys": False}, "cannot be locked: exposure, white balance"),
        ({"brightness": itertools.cycle([50, 200])}, "exposure and colour were still changing"),
    ],
)
def test_what_cannot_be_locked_is_said(
    node: str, behaviour: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with V4L2Source(node, open_capture=Device(**behaviour)) as source:
        assert source.read(5.0) is not None
    assert said in caplog.text


def test_missing_and_forbidden_cameras_say_what_to_do(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, named in (([], "there is no /dev/video"), (["b", "a"], "found a, b")):
        monkeypatch.setattr(Path, "glob", lambda self, pattern, found=found: map(Path, found))
        with pytest.raises(CameraError, match=f"absent: no such camera; {named}"):
            V4L2Source(f"{node}/absent").__enter__()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CameraError, match=r"no permission; add the user to the group"):
        V4L2Source(node, open_capture=Device()).__enter__()


def test_what_is_no_camera_or_in_use_is_an_error(node: str) -> None:
    device = Device(opens=False)
    for opens in (device, cv2.VideoCapture):  # OpenCV itself on a plain file
        with pytest.raises(CameraError, match=r"does not open as a camera; another program may use it"):
            V4L2Source(node, open_capture=opens).__enter__()
    assert device.releases == 1


@pytest.mark.parametrize(
    ("where", "named"), [("open_delay", "did not open within"), ("hang", "gave no frame within")]
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
    with pytest.raises(CameraError, match=rf"{named} 0\.05 s.*; replug it") as error:
        V4L2Source(node, open_capture=device).__enter__()
    assert error.value.reason == "hung"
    assert device.releases == 0
    go_on.set()
    wait_for(lambda: device.releases == 1)


def test_a_hung_camera_is_given_up_and_released_when_it_returns(node: str) -> None:
    device = Device()
    source = V4L2Source(node, open_capture=device)
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
    source = V4L2Source(node, open_capture=device)
    with source:
        device.unplugged = True
        with pytest.raises(CameraError, match="gave no frame; was it unplugged"):
            source.read(5.0)
        device.queue = []
        device.unplugged = False
        device.read = lambda: (True, None)  # type: ignore[method-assign]  # as OpenCV does at times
        with pytest.raises(CameraError, match="gave no frame"):
            source.read(5.0)
    with V4L2Source(node, open_capture=Device()) as again:
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
    source = V4L2Source(node, open_capture=Device(frame=frame))
    with source, pytest.raises(CameraError, match=named):
        source.read(5.0)
