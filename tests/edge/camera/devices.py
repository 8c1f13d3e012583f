"""Cameras at the borders to OpenCV and picamera2 (0.3.38) that behave, and misbehave, like the real ones."""

from __future__ import annotations

import math
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
FOURCC, CONVERT_RGB = cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CONVERT_RGB
#: What an automatic exposure comes to, and the mean level that it gives.
FINAL, LEVEL = 400.0, 120.0
#: What a driver tells while the picture is black still.
STARTING = 20.0
#: Where cameras begin when their exposure is no longer automatic.
DEFAULT = 157.0


class Clock:
    """Seconds that pass with frames."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def steps(times_s: float, *shares: float) -> Callable[[float], float]:
    """Exposure that goes through shares of the final one, so long at each."""
    return lambda t_s: shares[min(int(t_s / times_s), len(shares) - 1)]


#: Automatic exposures, as shares of the final one by seconds since the stream began; 0 is a black picture.
AUTOMATICS: dict[str, Callable[[float], float]] = {
    "at rest": lambda t_s: 1.0,
    "quick": lambda t_s: min(1.0, 0.1 + t_s),
    "black, then quick": lambda t_s: 0.0 if t_s < 2.5 else min(1.0, 0.1 + (t_s - 2.5)),
    "black, then at once": lambda t_s: 0.0 if t_s < 4.0 else 1.0,
    "in steps with rests between": steps(0.6, 0.05, 0.12, 0.3, 0.6, 0.85, 1.0),
    "in long steps": steps(1.8, 0.1, 0.4, 1.0),
    "slow": lambda t_s: 1.0 - 0.9 * math.exp(-t_s / 2.2),
    "by less than a percent a frame": lambda t_s: min(1.0, 0.3 * 1.009 ** (30 * t_s)),
    "creeping": lambda t_s: min(1.0, 0.7 * 1.09**t_s),
    "overshooting": lambda t_s: 1.0 - math.exp(-t_s / 0.8) * math.cos(5.0 * t_s),
    "from above": lambda t_s: 1.0 + 5.0 * math.exp(-t_s / 0.5),
    "flickering": lambda t_s: 1.0 + 0.02 * math.sin(40.0 * t_s),
}
#: Those that never come to rest, and a lamp that is off.
RESTLESS: dict[str, Callable[[float], float]] = {
    "hunting": lambda t_s: 1.0 + 0.4 * math.sin(2.0 * t_s),
    "two values in turn": lambda t_s: 1.0 if t_s % 0.4 < 0.2 else 0.6,
    "in the dark": lambda t_s: 0.0,
}


def level_of(exposure: float, gamma: float = 2.2) -> float:
    """Mean level of a picture."""
    return float(min(255.0, LEVEL * (exposure / FINAL) ** (1.0 / gamma)))


class Device:
    """A V4L2 camera behind OpenCV 4.11: formats with sizes, stale frames, automatics, faults to order."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = Clock()
        self.frame_s = 1.0 / 30.0
        #: The first format is the one that OpenCV takes by itself.
        self.formats: dict[str, set[tuple[int, int]]] = {"YUYV": {(640, 480), (1280, 960)}}
        self.format = "YUYV"
        self.size: tuple[float, float] = (640, 480)
        self.tells_format = True
        self.too_slow: set[str] = set()  # formats whose stream does not start
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
        self.error: Exception | None = None
        self.converts = True
        self.jpeg: Callable[[bytes], bytes] = lambda jpeg: jpeg
        self.queue = 0
        self.releases = 0
        self.reads = 0
        self.calls: list[tuple[Any, ...]] = []
        self.automatic = AUTOMATICS["at rest"]
        self.gamma = 2.2
        #: What the driver says of an automatic exposure; None for the truth.
        self.says: float | None = None
        self.never_tells = False
        #: Automatic exposure (3) and white balance, and what they are when they are fixed.
        self.controls = {AUTO_EXPOSURE: 3.0, EXPOSURE: DEFAULT, AUTO_WB: 1.0, WB_TEMPERATURE: 4600.0}
        self.asked_for: tuple[float, ...] = ()
        vars(self).update(behaviour)

    def __call__(self, path: str, backend: int) -> Device:
        self.calls.append((path, backend))
        if self.open_delay is not None:
            self.open_delay.wait(60.0)
        self.opened()
        self.queue = self.buffers  # frames from the time before the call
        return self

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.opens

    @property
    def exposure(self) -> float:
        """The one in force."""
        is_automatic = self.controls.get(AUTO_EXPOSURE, 3.0) != 1.0
        return FINAL * self.automatic(self.clock.now_s) if is_automatic else self.controls[EXPOSURE]

    def set(self, prop: int, value: float) -> bool:
        if not self.obeys:
            return True
        if prop == BUFFERS:
            if self.takes_buffers:
                self.buffers = self.queue = int(value)
            return self.takes_buffers
        if prop == CONVERT_RGB:
            self.converts = bool(value)
        elif prop == FOURCC:
            asked = int(value).to_bytes(4, "little").decode()
            if asked != self.format:
                self.format = asked if asked in self.formats else next(iter(self.formats))
                self._resize(*self.size)
        elif prop == WIDTH:
            self.asked_for = (value,)  # OpenCV waits for the height
        elif prop == HEIGHT:
            self._resize(*self.asked_for, value)
        elif prop in self.controls:
            self.controls[prop] = value
        else:
            return False
        return True

    def _resize(self, width: float, height: float) -> None:
        self.size = min(self.formats[self.format], key=lambda has: abs(has[0] - width) + abs(has[1] - height))

    def get(self, prop: int) -> float:
        if prop in (WIDTH, HEIGHT):
            return self.size[prop == HEIGHT]
        if prop == FOURCC:
            return float(cv2.VideoWriter.fourcc(*self.format)) if self.tells_format else -1.0
        if prop == EXPOSURE and self.never_tells:
            return math.nan
        if prop == EXPOSURE and prop in self.controls and self.controls.get(AUTO_EXPOSURE) != 1.0:
            return (self.exposure or STARTING) if self.says is None else self.says
        return self.controls.get(prop, -1.0)

    def grab(self) -> bool:
        if self.hang is not None:
            self.hang.wait(60.0)
        self.clock.now_s += self.frame_s
        self.queue = max(0, self.queue - 1)
        return not self.unplugged

    def read(self) -> tuple[bool, Any]:
        is_stale = self.queue > 0
        self.reads += 1
        if not self.grab() or self.format in self.too_slow:
            return False, None
        if self.error is not None:
            raise self.error
        if self.frame is not None:
            return True, self.frame
        level = 0 if is_stale else round(level_of(self.exposure, self.gamma))
        image = np.full((int(self.size[1]), int(self.size[0]), 3), level, np.uint8)
        if self.format == "MJPG" and not self.converts:
            encoded = cv2.imencode(".jpg", image)[1].tobytes()
            return True, np.frombuffer(self.jpeg(encoded), np.uint8)[None]
        return True, image

    def release(self) -> None:
        self.releases += 1
        if self.error is not None:
            raise self.error


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
        self.clock = Clock()
        self.frame_s = 1.0 / 30.0
        self.automatic = AUTOMATICS["at rest"]
        self.metadata_keys = {"ExposureTime", "AnalogueGain", "ColourGains", "SensorTimestamp"}
        self.open_error: Exception | None = None
        self.configure_error: Exception | None = None
        self.capture_error: Exception | None = None
        self.close_error: Exception | None = None
        self.close_hangs: threading.Event | None = None
        self.hangs = False
        self.array: Any = None
        self.set: dict[str, Any] = {}
        self.says: dict[str, Any] = {}
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
        self.clock.now_s += self.frame_s
        if self.capture_error is not None:
            raise self.capture_error
        if self.hangs:
            self.jobs.append(job)  # a job that timed out stays in picamera2's queue
            raise TimeoutError
        assert wait

    def capture_metadata(self, wait: float) -> dict[str, Any]:
        self._wait("metadata", wait)
        values = {
            "ExposureTime": round(FINAL * self.automatic(self.clock.now_s) or STARTING),
            "AnalogueGain": 1.5,
            "ColourGains": (2.0, 1.6),
            "SensorTimestamp": time.monotonic_ns(),
        } | self.says
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
        image[:] = np.multiply(ORANGE, level_of(FINAL * self.automatic(self.clock.now_s)) / LEVEL).clip(
            0, 255
        )
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
