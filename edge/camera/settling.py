"""When a camera's automatic exposure and white balance have come to rest, so that they can be fixed there."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

import numpy as np

from edge.structures import UInt8Image

_log = logging.getLogger(__name__)

#: Longest wait for that when a camera is opened. What users report ends within six seconds (``VIDIOC_S_CTRL``
#: of cheap webcams, sensors that step twice a second); a lamp that is off never does.
DEADLINE_S = 10.0
#: What its frames are marked with until it is over; see :data:`edge.quality.WARNINGS`.
UNSETTLED = "exposure_unsettled"
#: Time without change that counts as rest: twice the second for which slow loops rest between their steps.
_STILL_S = 2.0
#: Frames that this time must have, for cameras of two frames a second.
_STILL_FRAMES = 4
#: Change within that time that is none: an exponential approach with a time constant of 4 s is within 6 % of
#: its end then. Lamps on the mains flicker by 1 to 3 %.
_STILL = 0.04
#: Grey levels that the mean of a dark channel may jump by rounding.
_ONE_LEVEL = 1.5
#: Mean grey level of the brightest channel below which there is no light to expose for: an automatic that is
#: not at the end of its range holds the mean at 90 to 130.
_DARK = 25.0
#: Every n-th pixel is enough for a mean.
_STEP = 16


def mean_colour(image: UInt8Image) -> list[float]:
    """Mean of each channel, of some of the pixels."""
    return [float(level) for level in image[::_STEP, ::_STEP].mean(axis=(0, 1))]


class Settling:
    """Follows the frames of a camera whose automatic controls are on.

    What is compared is not one frame with the next, in which a slow change hides, but with where the rest
    began.

    Parameters
    ----------
    clock : monotonic seconds

    Examples
    --------
    >>> seconds = iter([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    >>> settling = Settling(lambda: next(seconds))
    >>> grey = np.full((480, 640, 3), 120, np.uint8)
    >>> [settling.sees(grey, [exposure]) for exposure in (100, 156, 156, 156, 156, 156)]
    [False, False, False, False, False, True]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rest: list[float] = []
        self._since_s = 0.0
        self._frames = 0

    def sees(self, image: UInt8Image, settings: Iterable[float] = ()) -> bool:
        """Take the next frame, and what the camera says of its exposure and gains; return whether all rests.

        Parameters
        ----------
        image : (H, W, 3) uint8
        settings : as the driver tells them; what is not a positive number is not known
        """
        levels = mean_colour(image)
        known = [setting if math.isfinite(setting) and setting > 0 else 0.0 for setting in settings]
        now, now_s = [*levels, *known], self._clock()
        if max(levels) < _DARK:
            self._rest = []
        elif len(now) == len(self._rest) and (
            _are_close(levels, self._rest[:3], _ONE_LEVEL) and _are_close(known, self._rest[3:], 0.0)
        ):
            self._frames += 1
            return self._frames >= _STILL_FRAMES and now_s - self._since_s >= _STILL_S
        else:
            self._rest, self._since_s, self._frames = now, now_s, 0
        return False

    def wait(self, name: str, has_settled: Callable[[], bool]) -> None:
        """Take frames of a camera that is being opened until all rests, or for ``DEADLINE_S``.

        Parameters
        ----------
        name : of the camera
        has_settled : takes a frame, and says whether it was the last that was needed
        """
        deadline_s = self._clock() + DEADLINE_S
        while not has_settled():
            if self._clock() >= deadline_s:
                _log.warning(
                    "%s: exposure and colour were still changing after %g s, or there is no light; "
                    "its fields are marked until they rest", name, DEADLINE_S,
                )  # fmt: skip
                return


def _are_close(now: list[float], before: list[float], absolute: float) -> bool:
    return bool(np.allclose(now, before, rtol=_STILL, atol=absolute))
