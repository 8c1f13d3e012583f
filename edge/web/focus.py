"""Bars beside the live picture: how sharp it is, and how bright its brightest part."""

from __future__ import annotations

import io
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge.light.sharpness import sharpness

#: The picture is decoded at about this width, at which the bar falls out to 3 µm of defocus; JPEG gives that
#: at a fraction of the cost.
_WIDTH_PX = 320
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
    """Measures pictures one after the other, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)

    def measure(self, jpeg: bytes) -> Meters:
        """Measure one picture.

        Parameters
        ----------
        jpeg : the daemon's preview
        """
        with Image.open(io.BytesIO(jpeg)) as picture:
            picture.draft("L", (_WIDTH_PX, 1))
            grey = np.asarray(picture.convert("L"))
        value = sharpness(grey)
        with self._lock:
            self._seen.append(value)
            best = max(self._seen)
        return Meters(value / best if best > 0 else 0.0, float(np.percentile(grey, 90)) / 255.0)
