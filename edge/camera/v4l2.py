"""USB and other Video4Linux2 cameras, through OpenCV."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import cv2
import numpy as np
import simplejpeg

from edge.camera.deadline import in_time
from edge.camera.failure import DRIVER_ERRORS, driver_failure
from edge.camera.files import without_metadata
from edge.camera.settling import DEADLINE_S, UNSETTLED, Settling
from edge.camera.v4l2_controls import Controls, lock
from edge.device.clock import utc_now
from edge.errors import CameraError, DamagedFrameError
from edge.structures import MIN_SIDE_PX, Frame, UInt8Image

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Opening sets the format and starts the stream, which a USB camera answers within a second or two.
OPEN_TIMEOUT_S = 5.0

#: Buffers that OpenCV asks the driver for unless told otherwise (DEFAULT_V4L_BUFFERS in its
#: cap_v4l.cpp). Each may hold a frame from before the call.
_DEFAULT_BUFFERS = 4
#: Motion JPEG: the only format in which most USB microscopes give their larger sizes. OpenCV takes an
#: uncompressed one first.
_MJPG = "MJPG"
#: Sizes of the cameras in use, asked for where the configured one is not had, to name those that are.
_COMMON_SIZES = ((640, 480), (800, 600), (1024, 768), (1280, 720), (1280, 960), (1280, 1024),
                 (1600, 1200), (1920, 1080), (2048, 1536), (2560, 1440), (2592, 1944), (3264, 2448),
                 (3840, 2160))  # fmt: skip
_AXES = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
#: Until a setting has reached the picture, which on USB takes two frames and more.
_EFFECT_S, _EFFECT_FRAMES = 0.25, 3
#: Damaged frames in a row at the opening after which OpenCV decodes the camera's JPEGs, unchecked: of
#: some cameras every frame has bytes too many, which harm nothing. The first one after a start often is bad.
_ALL_DAMAGED = 10


#: Marker of the tables that motion JPEG may leave out, and files must have.
_HUFFMAN_TABLES = b"\xff\xc4"


class _Seen(NamedTuple):
    """A frame, what the camera says of its exposure (NaN where it does not), and the JPEG that it came as."""

    image: UInt8Image
    exposure: float
    jpeg: bytes | None


class Capture(Controls, Protocol):
    """The part of :class:`cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        """Whether the device was opened."""

    def grab(self) -> bool:
        """Take the next frame from the driver without decoding it."""

    def release(self) -> None:
        """Close the device."""


class V4L2Source:
    """Frames from a Video4Linux2 camera.

    Parameters
    ----------
    device : number N for ``/dev/videoN``, or a device file
    width, height : size to ask for in px; None for OpenCV's own, mostly 640x480
    pixel_format : FourCC to ask for; None for an uncompressed one, and ``MJPG`` where the camera has
        the size in no other or does not start in another
    um_per_px : scale of the frames in µm per px, or None to find it in the fields
    open_capture : makes the capture; None for OpenCV's
    clock : monotonic seconds, by which exposure settles
    """

    def __init__(
        self,
        device: str = "0",
        *,
        width: int | None = None,
        height: int | None = None,
        pixel_format: str | None = None,
        um_per_px: float | None = None,
        open_capture: Callable[[str, int], Capture] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(f"/dev/video{device}") if device.isdecimal() else Path(device)
        self._size = None if width is None or height is None else (width, height)
        self._pixel_format = pixel_format
        self._um_per_px = um_per_px
        self._open_capture = open_capture or cv2.VideoCapture
        self._clock = clock
        self._capture: Capture | None = None
        self._settling: Settling | None = None
        self._tells_exposure = True
        self._stale_frames = 0
        self._frame_size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The device file."""
        return str(self._path)

    def __enter__(self) -> Self:
        """Open the device, ask for format and size, and let exposure and colour settle.

        Raises
        ------
        CameraError
            The device is missing, forbidden, in use, hangs, or does not have the size or format.
        """
        if not self._path.exists():
            raise CameraError(f"{self.name}: no such camera; {_cameras_found()}", "missing")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise CameraError(
                f"{self.name}: no permission; add the user to the group that owns it (video)", "no_permission"
            )
        try:
            # By name rather than number, so that /dev/v4l/by-id/... works alike.
            self._capture = in_time(
                lambda: self._open_capture(self.name, cv2.CAP_V4L2), OPEN_TIMEOUT_S, release=_release
            )
        except TimeoutError as error:
            raise CameraError(
                f"{self.name}: did not open within {OPEN_TIMEOUT_S:g} s; replug it", "hung"
            ) from error
        except DRIVER_ERRORS as error:
            raise driver_failure(self.name, error) from error
        self._settling, self._tells_exposure = Settling(self._clock), True
        try:
            self._called(self._start, OPEN_TIMEOUT_S)
            self._settling.wait(
                self.name, lambda: self._has_settled(self._called(self._next_whole, OPEN_TIMEOUT_S))
            )
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the device."""
        self._close()

    def read(self, timeout_s: float) -> Frame | None:
        """Take the frame that is there now; see :class:`edge.camera.source.FrameSource`.

        A frame whose exposure has not come to rest says so in its ``warnings``.

        Raises
        ------
        CameraError
            The source is not open, no frame came in time (the device is then closed as soon as the driver
            lets go of it), or the frame is damaged or not a colour image of the size the stream began with.
        """
        # OpenCV's own timeout for V4L2 is 10 s and cannot be set per capture.
        seen = self._called(self._newest, timeout_s)
        captured_at = utc_now()
        warnings = () if self._has_settled(seen) else (UNSETTLED,)
        return Frame(seen.image, self.name, captured_at, self._um_per_px, seen.jpeg, warnings)

    def _called(self, function: Callable[[Capture], _T], timeout_s: float) -> _T:
        """Do something with the device, for so long; what the driver raises is the camera's failure."""
        capture = self._capture
        if capture is None:
            raise CameraError(f"{self.name}: the camera is not open; open it again")
        try:
            return in_time(lambda: function(capture), timeout_s, release=lambda _: capture.release())
        except TimeoutError as error:
            self._capture = None  # the hanging call owns it now, and releases it if it ever returns
            raise CameraError(
                f"{self.name}: no frame within {timeout_s:g} s; the camera hangs, check its cable",
                "hung",
            ) from error
        except DRIVER_ERRORS as error:
            raise driver_failure(self.name, error) from error

    def _start(self, capture: Capture) -> None:
        """Find a format in which the camera has the size and gives a frame."""
        if not capture.isOpened():
            raise CameraError(
                f"{self.name}: is there but does not open as a camera; another program may use it "
                f"(`fuser -v {self.name}` shows which), or it is not the device that gives images",
                "busy",
            )
        own = _fourcc(capture)
        formats = (own, _MJPG) if self._pixel_format is None else (self._pixel_format,)
        for pixel_format in formats:
            got = self._ask_for(capture, pixel_format, self._size)
            if self._size is not None and got != self._size:
                continue
            self._frame_size = got
            # One buffer, so that at most one frame is older than the call. Not every driver obeys.
            has_one = capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            self._stale_frames = 1 if has_one else _DEFAULT_BUFFERS
            if _fourcc(capture) == _MJPG:
                # As it comes over the cable: only there can be told whether it is damaged.
                capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
            # With too little bandwidth on the bus, an uncompressed stream does not start.
            # Some give nothing the first time that they are asked.
            if capture.read()[0] or capture.read()[0]:
                _log.info("%s: open, %s px, pixels as %s", self.name, _as_text(got), _fourcc(capture))
                return
        if self._size is not None and got != self._size:
            raise CameraError(
                f"{self.name}: asked for {_as_text(self._size)} px, the camera gives {_as_text(got)}; "
                f"it can give {self._sizes(capture, formats)}: set camera.width and camera.height",
                "wrong_size",
            )
        raise self._no_frame(
            'is it in use, or its bus too slow? Try camera.pixel_format = "MJPG" or a smaller camera.width'
        )

    def _ask_for(
        self, capture: Capture, pixel_format: str | None, size: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Ask for a format and a size; return the size that the camera gives."""
        if pixel_format is not None:
            confirmed = capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format))
            given = _fourcc(capture)
            # OpenCV confirms a format that the camera lacks, and takes another.
            if self._pixel_format is not None and (not confirmed or given not in (pixel_format, None)):
                raise CameraError(
                    f"{self.name}: does not give pixels as {pixel_format}, but {given}; "
                    "set camera.pixel_format to that, or leave it out",
                    "wrong_format",
                )
        for axis, side in zip(_AXES, size or (), strict=False):
            capture.set(axis, side)  # confirmed whatever it is; what it has become tells
        sides = [capture.get(axis) for axis in _AXES]
        if not all(math.isfinite(side) and side >= MIN_SIDE_PX for side in sides):
            raise CameraError(f"{self.name}: its driver tells a size of {_as_text(sides)} px")
        return int(sides[0]), int(sides[1])

    def _sizes(self, capture: Capture, formats: Iterable[str | None]) -> str:
        """List sizes that can be asked for: those that the camera gives when they are."""
        found: set[tuple[int, int]] = set()
        for pixel_format in formats:
            near = {self._ask_for(capture, pixel_format, size) for size in _COMMON_SIZES}
            found |= {size for size in near if self._ask_for(capture, pixel_format, size) == size}
        return ", ".join(_as_text(size) for size in sorted(found)) or "none of the usual sizes"

    def _newest(self, capture: Capture) -> _Seen:
        """Take a frame from after the call, and what the camera says of its exposure."""
        for _ in range(self._stale_frames):
            if not capture.grab():
                raise self._no_frame()
        return self._next(capture)

    def _next(self, capture: Capture) -> _Seen:
        ok, raw = capture.read()
        if not ok or raw is None:
            raise self._no_frame()
        exposure = math.nan
        if self._settling is not None and self._tells_exposure:
            exposure = capture.get(cv2.CAP_PROP_EXPOSURE)
            # OpenCV complains on stderr each time that it is asked in vain.
            self._tells_exposure = exposure > 0
        image, jpeg = self._checked_rgb(raw)
        return _Seen(image, exposure, jpeg)

    def _next_whole(self, capture: Capture) -> _Seen:
        """Take the next frame that is not damaged, while the camera is opened."""
        for _ in range(_ALL_DAMAGED):
            try:
                return self._next(capture)
            except DamagedFrameError as error:
                problem = error
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)
        _log.warning("%s; all are so, and OpenCV decodes them from now on, damaged or not", problem)
        return self._next(capture)

    def _has_settled(self, seen: _Seen) -> bool:
        """Whether exposure and colour rest; as soon as they do, they are fixed."""
        if self._settling is None:
            return True
        if not self._settling.sees(seen.image, [seen.exposure]):
            return False
        self._settling = None

        def look(capture: Capture) -> UInt8Image:
            """Take a frame on which the last setting has taken effect."""
            until_s, frames = self._clock() + _EFFECT_S, 1
            newest = self._next_whole(capture)
            while frames < _EFFECT_FRAMES or self._clock() < until_s:
                newest = self._next_whole(capture)
                frames += 1
            return newest.image

        unlocked = self._called(lambda capture: lock(capture, seen.image, lambda: look(capture)), DEADLINE_S)
        if unlocked:
            _log.warning("%s: cannot be locked: %s", self.name, ", ".join(unlocked))
        return True

    def _no_frame(self, advice: str = "was it unplugged?") -> CameraError:
        if not self._path.exists():
            return CameraError(f"{self.name}: was unplugged; plug it in again", "unplugged")
        return CameraError(f"{self.name}: gave no frame; {advice}", "no_frame")

    def _checked_rgb(self, raw: Any) -> tuple[UInt8Image, bytes | None]:  # noqa: ANN401  # a driver's
        """Make colours of what a driver gives, which can be anything; keep a JPEG that can be kept."""
        known = isinstance(raw, np.ndarray) and raw.dtype == np.uint8
        if known and raw.size == max(raw.shape, default=0):  # a row of bytes
            return self._decoded(raw.tobytes())
        if known and raw.ndim == 3 and raw.shape[2] == 3:
            self._check_size(raw.shape[1], raw.shape[0])
            return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BGR2RGB), dtype=np.uint8), None
        raise CameraError(
            f"{self.name}: expected an 8-bit colour frame, "
            f"got shape {getattr(raw, 'shape', None)}, dtype {getattr(raw, 'dtype', type(raw).__name__)}",
            "wrong_format",
        )

    def _decoded(self, content: bytes) -> tuple[UInt8Image, bytes | None]:
        bare = without_metadata(content)
        jpeg = bare if bare is not None and _HUFFMAN_TABLES in bare else None
        problem = None
        for data in (jpeg, content):  # what is kept is what is decoded
            if data is None:
                continue
            try:
                height, width, *_ = simplejpeg.decode_jpeg_header(data)
                self._check_size(width, height)  # before there is room for what the header says
                image = simplejpeg.decode_jpeg(data, "RGB", strict=True)
            except ValueError as error:
                problem = error
            else:
                return np.asarray(image, dtype=np.uint8), jpeg if data is jpeg else None
        raise DamagedFrameError(f"{self.name}: damaged frames came ({problem}); check its cable", "damaged")

    def _check_size(self, width: int, height: int) -> None:
        if (width, height) != self._frame_size:
            raise CameraError(
                f"{self.name}: a frame of {width}x{height} px came, expected {self._frame_size}", "wrong_size"
            )

    def _close(self) -> None:
        capture, self._capture = self._capture, None
        try:
            _release(capture)
        except DRIVER_ERRORS as error:
            _log.warning("%s", driver_failure(self.name, error, "did not close"))


def _release(capture: Capture | None) -> None:
    if capture is not None:
        capture.release()


def _fourcc(capture: Capture) -> str | None:
    """Name of the pixel format, None where the driver does not tell."""
    number = capture.get(cv2.CAP_PROP_FOURCC)
    if not (math.isfinite(number) and number > 0):
        return None
    return int(number).to_bytes(8, "little")[:4].decode("latin-1").rstrip()


def _as_text(size: Sequence[float]) -> str:
    return f"{size[0]:g}x{size[1]:g}"


def _cameras_found() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not found:
        return "there is no /dev/video*: plug the camera in and look again with `ls /dev/video*`"
    return f"found {', '.join(found)}: set camera.device to one of them, or plug the camera in"
