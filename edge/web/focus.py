"""Bars beside the live picture: how sharp it is, and how bright its brightest part."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

#: Sharpness has no unit: it is shown against the best one of so many pictures, a minute of looking.
_REMEMBERED = 80
#: Level, as a share of full scale, that the blank slide should have. Below, noise grows; above, it clips. The
#: quality gate's own limits are wider; these are for the hand at the lamp.
EXPOSURE_LOW, EXPOSURE_HIGH = 0.55, 0.96
#: Share of the best sharpness below which the fine focus is worth a turn: 0.7 µm of defocus in a field that
#: is 170 µm wide, which the gate still passes.
SHARP_ENOUGH = 0.7


@dataclass(frozen=True, slots=True)
class Meters:
    """What the bars show, each 0 to 1.

    Attributes
    ----------
    sharpness : share of the best one seen lately
    exposure : level of the brightest part, the blank slide
    """

    sharpness: float
    exposure: float

    @property
    def sharpness_word(self) -> str:
        """Key of what to do about it."""
        return "live.sharp_good" if self.sharpness >= SHARP_ENOUGH else "live.sharp_low"

    @property
    def exposure_word(self) -> str:
        """Key of what to do about it."""
        if self.exposure < EXPOSURE_LOW:
            return "live.exposure_low"
        return "live.exposure_good" if self.exposure <= EXPOSURE_HIGH else "live.exposure_high"


class FocusMeter:
    """Remembers how sharp pictures were, one after the other, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)

    def measure(self, sharpness: float, exposure: float) -> Meters:
        """Hold a picture against the best of late.

        Parameters
        ----------
        sharpness, exposure : as the daemon measured them
        """
        with self._lock:
            self._seen.append(sharpness)
            best = max(self._seen)
        return Meters(sharpness / best if best > 0 else 0.0, exposure)
