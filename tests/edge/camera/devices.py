"""Cameras at the borders to OpenCV and picamera2 (0.3.38) that behave, and misbehave, like the real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

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
        #: Takes every setting and says yes, and does nothing of it, where False.
        self.obeys = True
        self.opened: Callable[[], None] = lambda: None
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
            self.open_delay.wait(60.0)
        self.opened()
        self.queue = [1] * self.buffers  # frames from the time before the call have the value 1
        return self

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        if not self.obeys:
            return True
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
            self.hang.wait(60.0)
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
            return self.array.copy()
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
            self.close_hangs.wait(60.0)
        if self.close_error is not None:
            raise self.close_error
        self.running, self.closed = False, True


def camera(number: int = 0, cameras: int = 1, **behaviour: Any) -> Any:
    """Make a picamera2 module whose camera behaves as told."""
    found = [{"Model": f"imx{477 + i}", "Num": i} for i in range(cameras)]
    return SimpleNamespace(
        Picamera2=type("Picamera2", (FakePicamera2,), {"cameras": found, "behaviour": behaviour})
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)
