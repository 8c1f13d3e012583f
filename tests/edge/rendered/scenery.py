"""Settings and single objects that the tests of rendered smears share."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.rendered import (
    Lamp,
    Placement,
    Population,
    RenderedField,
    RenderSettings,
    Sensor,
    Slide,
)

SMALL = RenderSettings(width=600, height=480, um_per_px=0.2)
#: No noise and even light, for tests that measure levels.
EVEN = Lamp(vignetting=0.0, tilt=0.0)
QUIET = Sensor(full_well_e=1e7, read_noise_e=0.0)
BLANK = RenderSettings(width=200, height=160, population=Population.only(), lamp=EVEN, sensor=QUIET)


def alone(kind: Any, seed: int = 3, **changes: Any) -> RenderedField:
    """One object in the middle of an otherwise empty, quiet field."""
    settings = dataclasses.replace(BLANK, width=260, height=260, **changes)
    return Slide(seed, settings, [Placement(kind, 0.0, 0.0)]).view()


def sharpness(image: NDArray[np.uint8]) -> float:
    return float(cv2.Laplacian(image[..., 1].astype(np.float32), cv2.CV_32F).var())
