"""V4L2 through a scripted device at the cv2 border: settings, stale frames, hanging and unplugging."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.v4l2 import V4L2Source
from edge.camera.v4l2_lock import settle
from edge.errors import CameraError

AUTO_EXPOSURE, EXPOSURE = cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_EXPOSURE
AUTO_WB, WB_TEMPERATURE = cv2.CAP_PROP_AUTO_WB, cv2.CAP_PROP_WB_TEMPERATURE
WIDTH, HEIGHT, BUFFERS = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_BUFFERSIZE


class Device:
    """A V4L2 camera behind OpenCV: a queue of old frames, settings it may refuse, and faults to order."""

    def __init__(self, **behaviour: Any) -> None:
        self.size = {WIDTH: 640.0, HEIGHT: 480.0}
        self.sizes = {(640.0, 480.0), (1280.0, 960.0)}
        self.buffers = 4
        self.takes_buffers = True
        self.opens = True
        self.open_delay: threading.Event | None = None
        self.hang: threading.Event | None = None
        self.unplugged = False
        self.frame: Any = None
        self.queue: list[int] = []
        self.releases = 0
        self.calls: list[tuple[Any, ...]] = []
        #: Automatic exposure (3) and white balance, and what they have come to.
        self.controls = {AUTO_EXPOSURE: 3.0, EXPOSURE: 157.0, AUTO_WB: 1.0, WB_TEMPERATURE: 4600.0}
        self.brightness: Any = None
        vars(self).update(behaviour)

    def __call__(self, path: str, backend: int) -> Device:
        self.calls.append((path, backend))
        if self.open_delay is not None:
            self.open_delay.wait(10.0)
        self.queue = [1] * self.buffers  # frames from the time before the call have the value 1
        return self

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        if prop == BUFFERS:
            if self.takes_buffers:
                self.buffers = int(value)
                self.queue = [1] * self.buffers
            return self.takes_buffers
        if prop in self.controls:
            self.controls[prop] = value
            if prop == AUTO_EXPOSURE:
                self.controls[EXPOSURE] = 3.0  # as many cameras do: manual begins at a default
            return True
        before = dict(self.size)
        self.size[prop] = value
        if not any(value in size for size in self.sizes):
            self.size = before
            return False
        return True

    def get(self, prop: int) -> float:
        return self.controls.get(prop, self.size.get(prop, 0.0))

    def _next(self) -> int:
        if self.hang is not None:
            self.hang.wait(10.0)
        return self.queue.pop(0) if self.queue else 99  # 99: exposed after the call

    def grab(self) -> bool:
        self._next()
        return not self.unplugged

    def read(self) -> tuple[bool, Any]:
        value = self._next()
        if self.unplugged:
            return False, None
        if self.brightness is not None:
            value = next(self.brightness)
        if self.frame is not None:
            return True, self.frame
        return True, np.full((int(self.size[HEIGHT]), int(self.size[WIDTH]), 3), value, np.uint8)

    def release(self) -> None:
        self.releases += 1


@pytest.fixture
def node(tmp_path: Path) -> str:
    path = tmp_path / "video0"
    path.touch()
    return str(path)


def test_numbers_name_device_files(node: str) -> None:
    assert V4L2Source("3").name == "/dev/video3"
    assert V4L2Source(node).name == node


def test_the_device_is_opened_by_its_file_with_v4l2(node: str) -> None:
    device = Device()
    with V4L2Source(node, open_capture=device):
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
    with (
        caplog.at_level(logging.INFO),
        V4L2Source(node, width=1280, height=960, open_capture=Device()) as source,
    ):
        frame = source.read(5.0)
    assert frame is not None
    assert (frame.width, frame.height) == (1280, 960)
    assert "open, 1280x960 px" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_size_that_the_camera_lacks_is_an_error(node: str, caplog: pytest.LogCaptureFixture) -> None:
    device = Device()
    with (
        pytest.raises(
            CameraError, match=r"asked for 999x777 px, the camera gives 640x480; `v4l2-ctl -d .*video0 --list"
        ),
        V4L2Source(node, width=999, height=777, open_capture=device),
    ):
        pass
    assert device.releases == 1
    assert "the driver did not confirm width 999 px" in caplog.text
    assert "the driver did not confirm height 777 px" in caplog.text


def test_exposure_and_white_balance_are_locked_where_they_have_settled(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(brightness=iter([50, 90, 120, 130, 134, 134, 134, 134, 134, 134, *[135] * 9]))
    with V4L2Source(node, open_capture=device):
        assert device.controls == {AUTO_EXPOSURE: 1.0, EXPOSURE: 157.0, AUTO_WB: 0.0, WB_TEMPERATURE: 4600.0}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ((AUTO_WB, WB_TEMPERATURE), "cannot be locked: white balance"),
        ((AUTO_EXPOSURE, EXPOSURE, AUTO_WB, WB_TEMPERATURE), "cannot be locked: exposure, white balance"),
    ],
)
def test_what_cannot_be_locked_is_said(
    node: str, lacks: tuple[int, ...], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device()
    device.controls = {key: value for key, value in device.controls.items() if key not in lacks}
    with V4L2Source(node, open_capture=device) as source:
        assert source.read(5.0) is not None
    assert words in caplog.text


def test_a_camera_that_takes_the_setting_and_does_not_obey_is_seen(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device()
    device.set = lambda prop, value: True  # type: ignore[method-assign]
    with V4L2Source(node, open_capture=device):
        pass
    assert "cannot be locked: exposure, white balance" in caplog.text


def test_a_camera_that_never_settles_is_said(
    node: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.camera.v4l2.settle", lambda capture: settle(capture, 0.05))
    device = Device(brightness=itertools.cycle([50, 200]))
    with V4L2Source(node, open_capture=device):
        pass
    assert "exposure and colour were still changing" in caplog.text


def test_a_camera_that_hangs_at_its_first_frame(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.camera.v4l2.OPEN_TIMEOUT_S", 0.05)
    device = Device(hang=threading.Event())
    with pytest.raises(CameraError, match=r"gave no frame within 0\.05 s of its opening") as error:
        V4L2Source(node, open_capture=device).__enter__()
    assert error.value.reason == "hung"
    assert device.releases == 0
    device.hang.set()
    wait_for(lambda: device.releases == 1)


def test_missing_cameras_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"absent: no such camera; (there is no /dev/video\*|found )"):
        V4L2Source(str(tmp_path / "absent")).__enter__()


def test_the_cameras_that_are_there_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [Path("/dev/video2"), Path("/dev/video1")])
    with pytest.raises(
        CameraError, match=r"found /dev/video1, /dev/video2: set camera.device to one of them"
    ):
        V4L2Source(str(tmp_path / "absent")).__enter__()


def test_forbidden_cameras_say_what_to_do(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CameraError, match=r"no permission; add the user to the group that owns it \(video\)"):
        V4L2Source(node, open_capture=Device()).__enter__()


def test_what_is_no_camera_or_in_use_is_an_error(node: str) -> None:
    device = Device(opens=False)
    with pytest.raises(CameraError, match=r"does not open as a camera; another program may use it .*fuser"):
        V4L2Source(node, open_capture=device).__enter__()
    assert device.releases == 1
    # The real OpenCV on a plain file.
    with pytest.raises(CameraError, match="does not open as a camera"):
        V4L2Source(node).__enter__()


def test_a_device_that_hangs_while_opening(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.camera.v4l2.OPEN_TIMEOUT_S", 0.05)
    device = Device(open_delay=threading.Event())
    with pytest.raises(CameraError, match=r"did not open within 0\.05 s; replug it"):
        V4L2Source(node, open_capture=device).__enter__()
    assert device.open_delay is not None
    device.open_delay.set()
    wait_for(lambda: device.releases == 1)


def test_a_hung_camera_is_given_up_and_released_when_it_returns(node: str) -> None:
    device = Device()
    source = V4L2Source(node, open_capture=device)
    with source:
        device.hang = threading.Event()
        with pytest.raises(CameraError, match=r"no frame within 0\.1 s; the camera hangs"):
            source.read(0.1)
        with pytest.raises(CameraError, match="is not open"):
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
    ("frame", "message"),
    [
        (
            np.zeros((480, 640), np.uint8),
            r"expected an 8-bit colour frame, got shape \(480, 640\), dtype uint8",
        ),
        (np.zeros((480, 640, 4), np.uint8), r"got shape \(480, 640, 4\)"),
        (np.zeros((480, 640, 3), np.uint16), r"dtype uint16"),
        ("torn", r"got shape None, dtype str"),
        (np.zeros((240, 640, 3), np.uint8), r"a frame of 640x240 px came, expected \(640, 480\)"),
    ],
)
def test_unusable_frames_are_refused(node: str, frame: object, message: str) -> None:
    with (
        V4L2Source(node, open_capture=Device(frame=frame)) as source,
        pytest.raises(CameraError, match=message),
    ):
        source.read(5.0)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)
