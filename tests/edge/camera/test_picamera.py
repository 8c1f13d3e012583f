"""The Pi camera through a picamera2 that behaves, and misbehaves, like the real one."""

from __future__ import annotations

import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.camera.picamera import PiCameraSource, import_picamera2
from edge.errors import CameraError, RuntimeMissingError
from tests.edge.camera.devices import FINAL, ORANGE, Clock, camera
from tests.waiting import wait_for


def source_of(module: Any, **options: Any) -> PiCameraSource:
    clock = module.Picamera2.behaviour.setdefault("clock", Clock())
    return PiCameraSource(module=module, clock=clock, **options)


def refusal(module: Any, **options: Any) -> str:
    """Why the camera does not open; whatever was opened is closed again."""
    with pytest.raises(CameraError) as caught:
        source_of(module, **options).__enter__()
    opened = getattr(module.Picamera2, "last", None)
    assert opened is None or opened.closed or opened.open_error
    return str(caught.value)


@pytest.mark.parametrize(("adjusted", "colour"), [(None, ORANGE), ("RGB888", ORANGE), ("NV12", (255, 0, 0))])
def test_frames_are_rgb_despite_the_names_of_the_formats(
    adjusted: str | None, colour: tuple[int, int, int]
) -> None:
    """A pipeline without an ISP gives NV12, whose rows have padding."""
    module = camera(adjusted_format=adjusted)
    with source_of(module, um_per_px=0.1) as source:
        frame = source.read(60.0)
        # Frames from before the call are dropped.
        assert module.Picamera2.last.flushes[-1] is True
        assert module.Picamera2.last.config["queue"] is False
    assert frame is not None
    np.testing.assert_allclose(frame.image[240, 320].astype(int), colour, atol=3)
    assert (frame.width, frame.height, frame.um_per_px, frame.source) == (640, 480, 0.1, "picamera:0")
    assert frame.image.flags.c_contiguous


def test_exposure_and_colour_are_locked_once_settled(caplog: pytest.LogCaptureFixture) -> None:
    module = camera()
    with source_of(module):
        assert module.Picamera2.last.set == {
            "AeEnable": False,
            "AwbEnable": False,
            "ExposureTime": FINAL,
            "AnalogueGain": 1.5,
            "ColourGains": (2.0, 1.6),
        }
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_cannot_be_locked_is_said(caplog: pytest.LogCaptureFixture) -> None:
    module = camera(camera_controls={"ExposureTime": (0, 1, 0)}, metadata_keys={"ExposureTime"})
    with source_of(module) as source:
        assert module.Picamera2.last.set == {"ExposureTime": FINAL}
        assert source.read(60.0) is not None
        # Without a timestamp nothing can be compared with the time of the call.
        assert module.Picamera2.last.flushes[-1] is None
    assert "cannot be locked: AeEnable, AnalogueGain, AwbEnable, ColourGains" in caplog.text


def test_the_size_is_asked_for() -> None:
    with source_of(camera(), width=320, height=240) as source:
        frame = source.read(60.0)
    assert frame is not None
    assert (frame.width, frame.height) == (320, 240)


def test_a_missing_picamera2_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(RuntimeMissingError, match="apt install python3-picamera2"):
        PiCameraSource().__enter__()
    stand_in = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "picamera2", stand_in)  # type: ignore[arg-type]  # any object will do
    assert import_picamera2() is stand_in


@pytest.mark.parametrize(
    ("module", "options", "named"),
    [
        (camera(cameras=0), {}, "picamera:0: no such camera (found none)"),
        (camera(), {"number": 1}, "picamera:1: no such camera (found 0: imx477)"),
        (camera(open_error=RuntimeError("resource busy")), {}, "may use it: RuntimeError: resource busy"),
        (
            camera(configure_error=RuntimeError("Invalid configuration")),
            {},
            "refuses 640x480 px: RuntimeError: Invalid configuration",
        ),
        *(
            (camera(configure_error=error), {}, "set camera.width and camera.height to less")
            for error in (
                OSError(12, "Cannot allocate memory"),
                RuntimeError("Failed to start camera: Cannot allocate memory"),
                MemoryError(),
            )
        ),
        (camera(adjusted_format="MJPEG"), {}, "MJPEG, expected one of BGR888, RGB888, NV12"),
        (
            camera(adjusted_size=(322, 240)),
            {"width": 320, "height": 240},
            "asked for 320x240 px, the camera gives 322x240",
        ),
        (camera(hangs=True), {}, "no frame within 3 s"),
    ],
)
def test_a_camera_that_does_not_open_says_why(module: Any, options: dict[str, int], named: str) -> None:
    assert named in refusal(module, **options)


def test_a_camera_that_hangs_while_opening_is_closed_should_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.camera.picamera.OPEN_TIMEOUT_S", 0.05)
    go_on = threading.Event()
    opened: list[Any] = []

    def slow(camera_class: Any, number: int) -> Any:
        go_on.wait(60.0)
        opened.append(camera_class(number))
        return opened[0]

    with pytest.raises(CameraError, match=r"did not start within 0\.05 s; check the ribbon cable"):
        source_of(camera(), open_camera=slow).__enter__()
    go_on.set()
    wait_for(lambda: bool(opened) and opened[0].closed)


@pytest.mark.parametrize(
    ("behaviour", "named"),
    [
        ({"hangs": True}, r"no frame within 0\.5 s; the camera hangs"),
        ({"capture_error": RuntimeError("has timed out!")}, "gave no frame: RuntimeError: has timed out!"),
        ({"array": np.zeros((240, 640, 3), np.uint8)}, r"shape \(240, 640, 3\) came, expected 640x480"),
    ],
)
def test_a_camera_that_fails_is_closed_and_can_be_opened_again(behaviour: dict[str, Any], named: str) -> None:
    module = camera()
    source = source_of(module)
    with source:
        vars(module.Picamera2.last).update(behaviour)
        with pytest.raises(CameraError, match=named):
            source.read(0.5)
    assert module.Picamera2.last.closed
    with source:
        assert source.read(60.0) is not None


def test_closing_never_stops_the_daemon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with source_of(camera(close_error=RuntimeError("Could not release camera"))):
        pass
    assert "did not close cleanly: RuntimeError: Could not release camera" in caplog.text
    monkeypatch.setattr("edge.camera.picamera.CLOSE_TIMEOUT_S", 0.05)
    hang = threading.Event()
    with source_of(camera(close_hangs=hang)):
        pass
    hang.set()
    assert "did not close within 0.05 s" in caplog.text
