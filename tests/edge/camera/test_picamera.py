"""The Pi camera through a picamera2 that behaves, and misbehaves, like the real one (0.3.38)."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.camera.picamera import PiCameraSource, import_picamera2
from edge.errors import CameraError, RuntimeMissingError

ORANGE = (220, 120, 20)
CONTROLS = ("AeEnable", "AwbEnable", "ExposureTime", "AnalogueGain", "ColourGains")
#: Memory order of picamera2's formats: named as DRM does, so that "RGB888" is B, G, R.
MEMORY = {"BGR888": (0, 1, 2), "RGB888": (2, 1, 0)}


class FakePicamera2:
    """The part of picamera2.Picamera2 that is used, with its traps."""

    #: Set by a test before it opens the source.
    cameras: list[dict[str, Any]] = [{"Model": "imx477", "Num": 0}]  # noqa: RUF012  # replaced by tests
    behaviour: dict[str, Any] = {}  # noqa: RUF012  # replaced by tests
    last: FakePicamera2

    def __init__(self, camera_num: int = 0) -> None:
        type(self).last = self
        self.sensor_resolution = (640, 480)
        self.camera_controls = dict.fromkeys(CONTROLS, (0, 1, 0))
        self.adjusted_format: str | None = None
        self.adjusted_size: tuple[int, int] | None = None
        self.exposures = iter([100, 500, 900, *[1000] * 99])
        self.metadata_keys = {"ExposureTime", "AnalogueGain", "ColourGains", "SensorTimestamp"}
        self.open_error: Exception | None = None
        self.configure_error: Exception | None = None
        self.capture_error: Exception | None = None
        self.close_error: Exception | None = None
        self.close_hangs: threading.Event | None = None
        self.hangs = False
        self.array: Any = None
        self.set: dict[str, Any] = {}
        self.running = self.closed = False
        self.jobs: list[str] = []
        self.config: dict[str, Any] = {}
        self.flushes: list[object] = []
        vars(self).update(self.behaviour)
        if self.open_error is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.open_error

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.cameras

    def create_video_configuration(
        self, *, main: dict[str, Any], buffer_count: int, queue: bool
    ) -> dict[str, Any]:
        assert buffer_count >= 2
        return {"main": dict(main), "queue": queue}

    def configure(self, config: dict[str, Any]) -> None:
        if self.configure_error is not None:
            raise self.configure_error
        config["main"]["format"] = self.adjusted_format or config["main"]["format"]
        config["main"]["size"] = self.adjusted_size or config["main"]["size"]
        self.config = config

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        self.running = True

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self.set = controls

    def _wait(self, job: str, wait: float) -> None:
        assert self.running
        if self.capture_error is not None:
            raise self.capture_error
        if self.hangs:
            self.jobs.append(job)  # a job that timed out stays in picamera2's queue
            raise TimeoutError
        assert wait

    def capture_metadata(self, wait: float) -> dict[str, Any]:
        self._wait("metadata", wait)
        values = {
            "ExposureTime": next(self.exposures),
            "AnalogueGain": 1.5,
            "ColourGains": (2.0, 1.6),
            "SensorTimestamp": time.monotonic_ns(),
        }
        return {key: value for key, value in values.items() if key in self.metadata_keys}

    @contextmanager
    def captured_request(self, wait: float, flush: bool | None) -> Iterator[Any]:
        self._wait("request", wait)
        if flush and "ExposureTime" not in self.metadata_keys:
            raise KeyError("ExposureTime")
        self.flushes.append(flush)
        yield SimpleNamespace(make_array=self._array)

    def _array(self, name: str) -> Any:
        assert name == "main"
        if self.array is not None:
            return self.array
        width, height = self.config["main"]["size"]
        if self.config["main"]["format"] == "NV12":
            stride = width + 64
            array = np.full((height * 3 // 2, stride), 128, np.uint8)
            array[:height] = 81  # Y, U, V of pure red in BT.601
            array[height:, 0::2], array[height:, 1::2] = 90, 240
            return array
        image = np.empty((height, width, 3), np.uint8)
        image[:] = ORANGE
        return image[..., MEMORY[self.config["main"]["format"]]]

    def cancel_all_and_flush(self) -> None:
        self.jobs.clear()

    def close(self) -> None:
        assert not self.jobs, "the real one would wait behind the queued job for ever"
        if self.close_hangs is not None:
            self.close_hangs.wait(10.0)
        if self.close_error is not None:
            raise self.close_error
        self.running, self.closed = False, True


def camera(number: int = 0, cameras: int = 1, **behaviour: Any) -> Any:
    """Make a picamera2 module whose camera behaves as told."""
    found = [{"Model": f"imx{477 + i}", "Num": i} for i in range(cameras)]
    return SimpleNamespace(
        Picamera2=type("Picamera2", (FakePicamera2,), {"cameras": found, "behaviour": behaviour})
    )


def source_of(module: Any, **options: Any) -> PiCameraSource:
    return PiCameraSource(module=module, settle_s=options.pop("settle_s", 5.0), **options)


@pytest.mark.parametrize("adjusted", [None, "RGB888"])
def test_frames_are_rgb_despite_the_names_of_the_formats(adjusted: str | None) -> None:
    with source_of(camera(adjusted_format=adjusted), um_per_px=0.1) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert tuple(frame.image[0, 0]) == ORANGE
    assert (frame.width, frame.height, frame.um_per_px, frame.source) == (640, 480, 0.1, "picamera:0")
    assert frame.image.flags.c_contiguous


def test_a_pipeline_without_an_isp_gives_rows_with_padding() -> None:
    with source_of(camera(adjusted_format="NV12")) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert (frame.width, frame.height) == (640, 480)
    np.testing.assert_allclose(frame.image[240, 320].astype(int), (255, 0, 0), atol=3)


def test_exposure_and_colour_are_locked_once_settled(caplog: pytest.LogCaptureFixture) -> None:
    module = camera()
    with caplog.at_level(logging.INFO), source_of(module):
        assert module.Picamera2.last.set == {
            "AeEnable": False,
            "AwbEnable": False,
            "ExposureTime": 1000,
            "AnalogueGain": 1.5,
            "ColourGains": (2.0, 1.6),
        }
    assert "picamera:0: open, 640x480 px, locked at" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_cannot_be_locked_is_said(caplog: pytest.LogCaptureFixture) -> None:
    module = camera(camera_controls={"ExposureTime": (0, 1, 0)}, metadata_keys={"ExposureTime"})
    with source_of(module) as source:
        assert module.Picamera2.last.set == {"ExposureTime": 1000}
        assert source.read(1.0) is not None
        # Without a timestamp nothing can be compared with the time of the call.
        assert module.Picamera2.last.flushes == [None]
    assert "cannot be locked: AeEnable, AnalogueGain, AwbEnable, ColourGains" in caplog.text


def test_an_exposure_that_never_settles_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def never_still() -> Iterator[int]:
        exposure = 1
        while True:
            exposure += exposure
            time.sleep(0.001)
            yield exposure

    with source_of(camera(exposures=never_still()), settle_s=0.05):
        pass
    assert "exposure and colour were still changing after 0.05 s" in caplog.text


def test_frames_from_before_the_call_are_dropped() -> None:
    module = camera()
    with source_of(module) as source:
        source.read(1.0)
        assert module.Picamera2.last.flushes == [True]
        assert module.Picamera2.last.config["queue"] is False


def test_the_size_is_asked_for_and_verified() -> None:
    with source_of(camera(), width=320, height=240) as source:
        frame = source.read(1.0)
    assert frame is not None
    assert (frame.width, frame.height) == (320, 240)
    module = camera(adjusted_size=(322, 240))
    with pytest.raises(
        CameraError, match=r"asked for 320x240 px, the camera gives 322x240; set camera.width"
    ):
        source_of(module, width=320, height=240).__enter__()
    assert module.Picamera2.last.closed


def test_a_missing_picamera2_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(RuntimeMissingError, match=r"apt install python3-picamera2.*--system-site-packages"):
        PiCameraSource().__enter__()
    stand_in = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "picamera2", stand_in)  # type: ignore[arg-type]  # any object will do
    assert import_picamera2() is stand_in


@pytest.mark.parametrize(("cameras", "found"), [(0, "none"), (1, "0: imx477")])
def test_a_missing_camera_says_what_to_do(cameras: int, found: str) -> None:
    with pytest.raises(
        CameraError, match=rf"picamera:1: no such camera \(found {found}\); check the ribbon cable"
    ):
        source_of(camera(cameras=cameras), number=1).__enter__()


def test_a_camera_in_use_is_named() -> None:
    module = camera(open_error=RuntimeError("Failed to acquire camera: Device or resource busy"))
    with pytest.raises(
        CameraError, match=r"does not open \(Failed to acquire camera.*busy\); another program"
    ):
        source_of(module).__enter__()


def test_a_refused_configuration_is_named() -> None:
    module = camera(configure_error=RuntimeError("Invalid configuration"))
    with pytest.raises(CameraError, match="picamera:0: refuses 640x480 px: Invalid configuration"):
        source_of(module).__enter__()
    assert module.Picamera2.last.closed
    module = camera(adjusted_format="MJPEG")
    with pytest.raises(CameraError, match="gives pixels as MJPEG, expected one of BGR888, RGB888, NV12"):
        source_of(module).__enter__()
    assert module.Picamera2.last.closed


def test_a_camera_that_hangs_while_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.camera.picamera.OPEN_TIMEOUT_S", 0.05)
    go_on = threading.Event()
    opened: list[Any] = []

    def slow(camera_class: Any, number: int) -> Any:
        go_on.wait(10.0)
        opened.append(camera_class(number))
        return opened[0]

    with pytest.raises(CameraError, match=r"did not start within 0\.05 s; check the ribbon cable"):
        source_of(camera(), open_camera=slow).__enter__()
    go_on.set()
    deadline = time.monotonic() + 60.0
    while not (opened and opened[0].closed):
        assert time.monotonic() < deadline, "the late camera was not closed"
        time.sleep(0.005)


def test_a_camera_that_hangs_is_closed_and_can_be_opened_again() -> None:
    module = camera()
    source = source_of(module)
    with source:
        module.Picamera2.last.hangs = True
        with pytest.raises(
            CameraError, match=r"no frame within 0\.5 s; the camera hangs, check the ribbon cable"
        ):
            source.read(0.5)
    assert module.Picamera2.last.closed
    with source:
        assert source.read(1.0) is not None


def test_a_camera_that_hangs_while_settling_is_closed() -> None:
    module = camera(hangs=True)
    with pytest.raises(CameraError, match="no frame within 3 s"):
        source_of(module).__enter__()
    assert module.Picamera2.last.closed


def test_a_camera_that_fails_is_named() -> None:
    module = camera()
    with source_of(module) as source:
        module.Picamera2.last.capture_error = RuntimeError("Camera frontend has timed out!")
        with pytest.raises(CameraError, match="gave no frame: Camera frontend has timed out!"):
            source.read(1.0)


def test_torn_frames_are_refused() -> None:
    with (
        source_of(camera(array=np.zeros((240, 640, 3), np.uint8))) as source,
        pytest.raises(CameraError, match=r"a frame of shape \(240, 640, 3\) came, expected 640x480 px"),
    ):
        source.read(1.0)


def test_closing_never_stops_the_daemon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.camera.picamera.CLOSE_TIMEOUT_S", 0.05)
    hang = threading.Event()
    with source_of(camera(close_hangs=hang)):
        pass
    hang.set()
    assert "did not close within 0.05 s" in caplog.text
    with source_of(camera(close_error=RuntimeError("Could not release camera"))):
        pass
    assert "did not close cleanly: Could not release camera" in caplog.text
