"""Exposure and white balance of a V4L2 camera, fixed where they have come to; the picture tells whether."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np

from edge.camera.settling import mean_colour
from edge.structures import UInt8Image

#: V4L2_EXPOSURE_MANUAL; OpenCV hands the kernel's own numbers through [1]_.
#:
#: .. [1] https://www.kernel.org/doc/html/latest/userspace-api/media/v4l/ext-ctrls-camera.html
MANUAL_EXPOSURE = 1.0
#: Change of the mean level by which a fixed exposure is as the automatic one was: 9 % of exposure on a camera
#: with the usual gamma of 2.2, 4 % on one without.
_SAME_LEVEL = 0.04
#: What is accepted where finer steps than the camera has would be needed, and for ratios of colours.
_NEAR = 0.15
#: Looks at the picture until that is reached, and how far one of them may move the exposure.
_LOOKS = 6
_LONGEST_STEP = math.log(8.0)
#: How exposure follows level, in logarithms: 1 on a camera without gamma, 2.2 on one with. The first step
#: goes between them, the others by what the one before has done.
_FIRST_GAIN, _LEAST_GAIN, _MOST_GAIN = 1.5, 0.8, 3.0


class Controls(Protocol):
    """The part of :class:`cv2.VideoCapture` that is used."""

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803  # OpenCV's name
        """Ask for a setting."""

    def get(self, propId: int, /) -> float:  # noqa: N803  # OpenCV's name
        """Read a setting; -1 or 0 where there is none."""

    def read(self) -> tuple[bool, Any]:
        """Take and decode the next frame, BGR."""


def lock(capture: Controls, before: UInt8Image, look: Callable[[], UInt8Image]) -> tuple[str, ...]:
    """Fix exposure and white balance at what they have come to, and look whether the picture stays as it was.

    Colours must not change with the field: a dense one would otherwise be shown brighter than an empty one.
    Many cameras tell their default for the exposure while it is automatic, or begin with it when it is
    fixed. The picture tells: its exposure is then moved until its level is as before. What cannot be fixed
    where it was stays automatic, which is better than a wrong exposure.

    Parameters
    ----------
    capture : the camera
    before : a frame with settled exposure
    look : gives a frame on which the last setting has taken effect

    Returns
    -------
    what the camera still does by itself: any of ``exposure`` and ``white balance``
    """
    levels = np.maximum(mean_colour(before), 1.0)
    fixed = {
        "exposure": _fix_exposure(capture, levels, look),
        "white balance": _fix_colour(capture, levels, look),
    }
    return tuple(name for name, is_fixed in fixed.items() if not is_fixed)


def _fix_exposure(capture: Controls, wanted: Any, look: Callable[[], UInt8Image]) -> bool:  # noqa: ANN401
    automatic, exposure = capture.get(cv2.CAP_PROP_AUTO_EXPOSURE), capture.get(cv2.CAP_PROP_EXPOSURE)
    if not _switched_off(capture, cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE, cv2.CAP_PROP_EXPOSURE):
        return False
    if not (math.isfinite(exposure) and exposure > 0):
        exposure = capture.get(cv2.CAP_PROP_EXPOSURE)  # some tell it only where they do not make it
    gain, step, missing_before, missing = _FIRST_GAIN, 0.0, 0.0, 0.0
    for looks in range(_LOOKS):
        missing = float(np.log(wanted.mean() / max(1.0, np.mean(mean_colour(look())))))
        if abs(missing) <= _SAME_LEVEL:
            return True
        if not (math.isfinite(exposure) and exposure > 0):
            break  # nothing to move
        if looks and (did := missing_before - missing) * step > 0:
            gain = float(np.clip(step / did, _LEAST_GAIN, _MOST_GAIN))
        step = float(np.clip(gain * missing, -_LONGEST_STEP, _LONGEST_STEP))
        exposure, missing_before = max(1.0, exposure * math.exp(step)), missing
        capture.set(cv2.CAP_PROP_EXPOSURE, float(round(exposure)))
    if abs(missing) <= _NEAR:
        return True
    capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, automatic)
    return False


def _fix_colour(capture: Controls, wanted: Any, look: Callable[[], UInt8Image]) -> bool:  # noqa: ANN401
    automatic = capture.get(cv2.CAP_PROP_AUTO_WB)
    if not _switched_off(capture, cv2.CAP_PROP_AUTO_WB, 0.0, cv2.CAP_PROP_WB_TEMPERATURE):
        return False
    ratios = np.log(np.maximum(mean_colour(look()), 1.0) / wanted)
    if float(np.ptp(ratios)) <= _NEAR:
        return True
    capture.set(cv2.CAP_PROP_AUTO_WB, automatic)
    return False


def _switched_off(capture: Controls, automatic: int, off: float, value: int) -> bool:
    came_to = capture.get(value)
    # Drivers that lack a control refuse it, and read as 0, which would look like "off".
    if not capture.set(automatic, off) or capture.get(automatic) != off:
        return False
    if came_to > 0:
        capture.set(value, came_to)  # a camera that goes to its default instead would jump
    return True
