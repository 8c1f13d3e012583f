"""USB and other Video4Linux2 cameras, through OpenCV."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from edge.camera.deadline import in_time
from edge.camera.v4l2_lock import SETTLE_S, Controls, lock, settle
from edge.device.clock import utc_now
from edge.errors import CameraError
from edge.structures import Frame, UInt8Image

_log = logging.getLogger(__name__)

#: Opening sets the format and starts the stream, which a USB camera answers within a second or two.
OPEN_TIMEOUT_S = 5.0

#: Buffers that OpenCV asks the driver for unless told otherwise (DEFAULT_V4L_BUFFERS in its
#: cap_v4l.cpp). Each may hold a frame from before the call.
_DEFAULT_BUFFERS = 4


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
    width, height : size to ask for in px; None for what the driver is set to
    um_per_px : scale of the frames in µm per px, or None to find it in the fields
    open_capture : makes the capture; replaced in tests
    """

    def __init__(
        self,
        device: str = "0",
        *,
        width: int | None = None,
        height: int | None = None,
        um_per_px: float | None = None,
        open_capture: Callable[[str, int], Capture] = cv2.VideoCapture,
    ) -> None:
        self._path = Path(f"/dev/video{device}") if device.isdecimal() else Path(device)
        self._size = None if width is None or height is None else (width, height)
        self._um_per_px = um_per_px
        self._open_capture = open_capture
        self._capture: Capture | None = None
        self._stale_frames = 0
        self._frame_size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The device file."""
        return str(self._path)

    def __enter__(self) -> Self:
        """Open the device and ask for the size.

        Raises
        ------
        CameraError
            The device is missing, forbidden, in use, hangs, or does not have the size.
        """
        if not self._path.exists():
            raise CameraError(f"{self.name}: no such camera; {_cameras_found()}", "missing")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise CameraError(
                f"{self.name}: no permission; add the user to the group that owns it (video)", "no_permission"
            )
        try:
            # By name rather than number, so that /dev/v4l/by-id/... works alike.
            capture = in_time(
                lambda: self._open_capture(self.name, cv2.CAP_V4L2), OPEN_TIMEOUT_S, release=_release
            )
        except TimeoutError as error:
            raise CameraError(
                f"{self.name}: did not open within {OPEN_TIMEOUT_S:g} s; replug it", "hung"
            ) from error
        self._capture = capture
        try:
            self._set_up(capture)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the device."""
        self._close()

    def read(self, timeout_s: float) -> Frame | None:
        """Take the frame that is there now; see :class:`edge.camera.source.FrameSource`.

        Raises
        ------
        CameraError
            The source is not open, no frame came in time (the device is then closed as soon as the driver
            lets go of it), or the frame is not a colour image of the size the stream began with.
        """
        capture = self._capture
        if capture is None:
            raise CameraError(f"{self.name}: the camera is not open; open it again")
        try:
            # OpenCV's own timeout for V4L2 is 10 s and cannot be set per capture.
            ok, bgr = in_time(lambda: self._newest(capture), timeout_s, release=lambda _: capture.release())
        except TimeoutError as error:
            self._capture = None  # the hanging call owns it now, and releases it if it ever returns
            raise CameraError(
                f"{self.name}: no frame within {timeout_s:g} s; the camera hangs, check its cable", "hung"
            ) from error
        captured_at = utc_now()
        if not ok or bgr is None:
            if not self._path.exists():
                raise CameraError(f"{self.name}: was unplugged; plug it in again", "unplugged")
            raise CameraError(f"{self.name}: gave no frame; was it unplugged?", "no_frame")
        return Frame(self._checked_rgb(bgr), self.name, captured_at, self._um_per_px)

    def _set_up(self, capture: Capture) -> None:
        if not capture.isOpened():
            raise CameraError(
                f"{self.name}: is there but does not open as a camera; another program may use it "
                f"(`fuser -v {self.name}` shows which), or it is not the device that gives images",
                "busy",
            )
        if self._size is not None:
            for axis, wanted in zip(
                (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), self._size, strict=True
            ):
                if not capture.set(axis, wanted):
                    side = "width" if axis == cv2.CAP_PROP_FRAME_WIDTH else "height"
                    _log.warning("%s: the driver did not confirm %s %d px", self.name, side, wanted)
        width, height = (
            int(capture.get(axis)) for axis in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if self._size is not None and (width, height) != self._size:
            raise CameraError(
                f"{self.name}: asked for {self._size[0]}x{self._size[1]} px, "
                f"the camera gives {width}x{height}; "
                f"`v4l2-ctl -d {self.name} --list-formats-ext` lists its sizes",
                "wrong_size",
            )
        self._frame_size = (width, height)
        # One buffer, so that at most one frame is older than the call. Not every driver obeys.
        if capture.set(cv2.CAP_PROP_BUFFERSIZE, 1):
            self._stale_frames = 1
        else:
            self._stale_frames = _DEFAULT_BUFFERS
            _log.info("%s: the driver keeps %d frames; they are dropped", self.name, _DEFAULT_BUFFERS)
        self._lock(capture)
        _log.info("%s: open, %dx%d px", self.name, width, height)

    def _lock(self, capture: Capture) -> None:
        """Let exposure and white balance settle, then fix them."""

        def settle_and_lock() -> tuple[bool, tuple[str, ...]]:
            return settle(capture), lock(capture)

        try:
            settled, unlocked = in_time(settle_and_lock, OPEN_TIMEOUT_S, release=lambda _: capture.release())
        except TimeoutError as error:
            self._capture = None  # the hanging call owns it now
            raise CameraError(
                f"{self.name}: gave no frame within {OPEN_TIMEOUT_S:g} s of its opening; replug it", "hung"
            ) from error
        if unlocked:
            _log.warning("%s: cannot be locked: %s", self.name, ", ".join(unlocked))
        if not settled:
            _log.warning("%s: exposure and colour were still changing after %g s", self.name, SETTLE_S)

    def _newest(self, capture: Capture) -> tuple[bool, Any]:
        for _ in range(self._stale_frames):
            if not capture.grab():
                return False, None
        return capture.read()

    def _checked_rgb(self, bgr: Any) -> UInt8Image:  # noqa: ANN401  # a driver can give anything
        if not isinstance(bgr, np.ndarray) or bgr.dtype != np.uint8 or bgr.ndim != 3 or bgr.shape[2] != 3:
            raise CameraError(
                f"{self.name}: expected an 8-bit colour frame, "
                f"got shape {getattr(bgr, 'shape', None)}, dtype {getattr(bgr, 'dtype', type(bgr).__name__)}",
                "wrong_format",
            )
        size = (bgr.shape[1], bgr.shape[0])
        if size != self._frame_size:
            raise CameraError(
                f"{self.name}: a frame of {size[0]}x{size[1]} px came, expected {self._frame_size}",
                "wrong_size",
            )
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def _close(self) -> None:
        capture, self._capture = self._capture, None
        _release(capture)


def _release(capture: Capture | None) -> None:
    if capture is not None:
        capture.release()


def _cameras_found() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not found:
        return "there is no /dev/video*: plug the camera in and look again with `ls /dev/video*`"
    return f"found {', '.join(found)}: set camera.device to one of them, or plug the camera in"
