"""Auto exposure and white balance of a V4L2 camera: settled, switched off, and looked at whether they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np

#: V4L2_EXPOSURE_MANUAL; OpenCV hands the kernel's own numbers through [1]_.
#:
#: .. [1] https://www.kernel.org/doc/html/latest/userspace-api/media/v4l/ext-ctrls-camera.html
MANUAL_EXPOSURE = 1.0
#: Longest wait for the automatic controls to settle, as for the Pi camera.
SETTLE_S = 2.0
#: Change of the picture's mean colour from frame to frame below which they have: one grey level of 100.
_SETTLED = 0.01
_SETTLED_FRAMES = 5
#: Every n-th pixel is enough for a mean.
_STEP = 16


class Controls(Protocol):
    """The part of :class:`cv2.VideoCapture` that is used."""

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803  # OpenCV's name
        """Ask for a setting."""

    def get(self, propId: int, /) -> float:  # noqa: N803  # OpenCV's name
        """Read a setting; -1 or 0 where there is none."""

    def read(self) -> tuple[bool, Any]:
        """Take and decode the next frame, BGR."""


def settle(
    capture: Controls, longest_s: float = SETTLE_S, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Read frames until their colour holds still; return whether it does."""
    deadline_s, still = clock() + longest_s, 0
    before: Any = None
    while still < _SETTLED_FRAMES and clock() < deadline_s:
        ok, bgr = capture.read()
        if not ok or not isinstance(bgr, np.ndarray) or bgr.ndim != 3:
            return False  # the read that is to be counted says what is wrong
        now = bgr[::_STEP, ::_STEP].mean(axis=(0, 1))
        is_close = before is not None and np.allclose(now, before, rtol=_SETTLED, atol=0.5)
        still, before = still + 1 if is_close else 0, now
    return still >= _SETTLED_FRAMES


def lock(capture: Controls) -> tuple[str, ...]:
    """Fix exposure and white balance at what they have come to, and read back whether they are.

    Colours must not change with the field: a dense one would otherwise be shown brighter than an empty one.

    Returns
    -------
    what the camera still does by itself: any of ``exposure`` and ``white balance``
    """
    return tuple(
        name
        for name, automatic, off, value in (
            ("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE, cv2.CAP_PROP_EXPOSURE),
            ("white balance", cv2.CAP_PROP_AUTO_WB, 0.0, cv2.CAP_PROP_WB_TEMPERATURE),
        )
        if not _switched_off(capture, automatic, off, value)
    )


def _switched_off(capture: Controls, automatic: int, off: float, value: int) -> bool:
    came_to = capture.get(value)
    # Drivers that lack a control refuse it, and read as 0, which would look like "off".
    if not capture.set(automatic, off) or capture.get(automatic) != off:
        return False
    if came_to > 0:
        capture.set(value, came_to)  # a camera that goes to its default instead would jump
    return True
