"""Automatic exposures as users report them, on V4L2 and on the Pi camera: fixed where they end, or marked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from edge.camera.picamera import PiCameraSource
from edge.camera.settling import DEADLINE_S
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.errors import CameraError
from tests.edge.camera.devices import (
    AUTO_EXPOSURE,
    AUTO_WB,
    AUTOMATICS,
    DEFAULT,
    EXPOSURE,
    FINAL,
    RESTLESS,
    WB_TEMPERATURE,
    Clock,
    Device,
    camera,
)

SMALL = {"formats": {"YUYV": {(160, 120)}}, "size": (160, 120)}
MARK = ("exposure_unsettled",)
Automatic = Callable[[float], float]


@pytest.fixture(autouse=True)
def only_frames_take_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the devices' own clock: a busy machine may take long to make their frames."""
    for name in ("v4l2.OPEN_TIMEOUT_S", "v4l2.DEADLINE_S", "picamera.OPEN_TIMEOUT_S"):
        monkeypatch.setattr(f"edge.camera.{name}", 60.0)


def usb(node: str, **behaviour: Any) -> tuple[V4L2Source, Device]:
    device = Device(**SMALL, **behaviour)
    return V4L2Source(node, open_capture=device, clock=device.clock), device


def pi(**behaviour: Any) -> tuple[PiCameraSource, Any]:
    clock = Clock()
    module = camera(clock=clock, sensor_resolution=(160, 120), **behaviour)
    return PiCameraSource(module=module, clock=clock), module.Picamera2


def warnings_of(source: FrameSource) -> tuple[str, ...]:
    frame = source.read(60.0)
    assert frame is not None
    return frame.warnings


@pytest.mark.parametrize("frame_s", [1 / 15, 0.2])
@pytest.mark.parametrize("automatic", AUTOMATICS.values(), ids=AUTOMATICS)
def test_exposure_is_fixed_where_it_ends(node: str, automatic: Automatic, frame_s: float) -> None:
    source, device = usb(node, automatic=automatic, frame_s=frame_s)
    with source:
        assert device.controls[AUTO_EXPOSURE] == 1.0
        assert device.exposure == pytest.approx(FINAL, rel=0.1)
        assert warnings_of(source) == ()
        assert device.clock.now_s < DEADLINE_S
    source_of_pi, picamera2 = pi(automatic=automatic, frame_s=frame_s / 2)
    with source_of_pi:
        assert picamera2.last.set["AeEnable"] is False
        assert picamera2.last.set["ExposureTime"] == pytest.approx(FINAL, rel=0.1)
        assert warnings_of(source_of_pi) == ()


@pytest.mark.parametrize("gamma", [1.0, 2.2])
@pytest.mark.parametrize("says", [DEFAULT, 3.0, 4000.0, math.nan, -1.0, 0.0], ids=lambda says: f"{says:g}")
def test_a_driver_that_tells_its_default_or_nothing_is_believed_less_than_the_picture(
    node: str, says: float, gamma: float
) -> None:
    source, device = usb(node, automatic=AUTOMATICS["quick"], says=says, gamma=gamma)
    with source:
        assert device.controls[AUTO_EXPOSURE] == 1.0
        assert device.exposure == pytest.approx(FINAL, rel=0.1)
        assert device.controls[AUTO_WB] == 0.0


def test_an_exposure_that_is_never_told_and_jumps_stays_automatic(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, device = usb(node, automatic=AUTOMATICS["black, then quick"], never_tells=True)
    with source:
        assert device.controls[AUTO_EXPOSURE] == 3.0
        assert device.exposure == FINAL
        assert warnings_of(source) == ()
    assert "cannot be locked: exposure" in caplog.text


def test_a_colour_that_jumps_stays_automatic(node: str, caplog: pytest.LogCaptureFixture) -> None:
    source, device = usb(node)
    plain = device.read

    def read() -> tuple[bool, Any]:
        ok, image = plain()
        if device.controls[AUTO_WB] == 0.0:
            image[..., 0] //= 2
        return ok, image

    device.read = read  # type: ignore[method-assign]  # a camera that goes to its default
    with source:
        assert device.controls[AUTO_WB] == 1.0
    assert "cannot be locked: white balance" in caplog.text


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"controls": {AUTO_EXPOSURE: 3.0, EXPOSURE: DEFAULT}}, "cannot be locked: white balance"),
        ({"controls": {AUTO_WB: 1.0, WB_TEMPERATURE: 4600.0}}, "cannot be locked: exposure"),
        ({"controls": {}}, "cannot be locked: exposure, white balance"),
        ({"obeys": False}, "cannot be locked: exposure, white balance"),
    ],
)
def test_what_a_camera_lacks_is_said(
    node: str, behaviour: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, _ = usb(node, automatic=AUTOMATICS["quick"], **behaviour)
    with source:
        assert warnings_of(source) == ()
    assert said in caplog.text


@pytest.mark.parametrize("automatic", RESTLESS.values(), ids=RESTLESS)
def test_what_never_rests_is_left_automatic_and_its_frames_are_marked(
    node: str, automatic: Automatic, caplog: pytest.LogCaptureFixture
) -> None:
    source, device = usb(node, automatic=automatic)
    source_of_pi, picamera2 = pi(automatic=automatic)
    with source, source_of_pi:
        assert DEADLINE_S <= device.clock.now_s < DEADLINE_S + 1.0
        assert device.controls[AUTO_EXPOSURE] == 3.0
        assert picamera2.last.set == {}
        assert warnings_of(source) == warnings_of(source_of_pi) == MARK
    assert caplog.text.count("still changing after 10 s, or there is no light") == 2


def test_a_lamp_that_is_turned_on_later_is_exposed_for_then(node: str) -> None:
    def late(t_s: float) -> float:
        return 0.0 if t_s < 15.0 else min(1.0, 0.1 + (t_s - 15.0))

    source, device = usb(node, automatic=late, frame_s=0.25)
    source_of_pi, picamera2 = pi(automatic=late, frame_s=0.12)
    with source, source_of_pi:
        seen = [(warnings_of(source), warnings_of(source_of_pi)) for _ in range(40)]
        assert seen[0] == (MARK, MARK)
        assert seen[-1] == ((), ())
        assert device.exposure == pytest.approx(FINAL, rel=0.1)
        assert picamera2.last.set["ExposureTime"] == pytest.approx(FINAL, rel=0.1)


def test_a_pi_camera_that_tells_little_is_judged_by_its_picture() -> None:
    source, picamera2 = pi(
        automatic=AUTOMATICS["black, then quick"],
        says={"ExposureTime": math.nan, "AnalogueGain": None},
        metadata_keys={"ExposureTime", "AnalogueGain"},
    )
    with source:
        assert picamera2.last.set["AeEnable"] is False
        assert picamera2.last.clock.now_s > 2.5 + 0.9
        assert "ExposureTime" not in picamera2.last.set


def test_a_driver_that_fails_while_exposure_settles_is_closed(node: str) -> None:
    source, device = usb(node, automatic=RESTLESS["in the dark"])
    device.error = MemoryError("no")
    with pytest.raises(CameraError, match=r"set camera\.width and camera\.height to less") as caught:
        source.__enter__()
    assert caught.value.reason == "no_memory"
    assert device.releases == 1
