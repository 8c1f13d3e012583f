"""What the tests of the gate alter: one drawn field of a smear, and the colours of one."""

from __future__ import annotations

import numpy as np

from edge.light.colour import Colour
from edge.rendered import RenderSettings, Slide

SLIDE = Slide(4, RenderSettings(width=640, height=480, um_per_px=0.2))
#: Drawn once for all of them; a test that changes it works on a copy.
FIELD = SLIDE.view().image
COLOUR = Colour(
    usual=np.array([0.2, 0.43, 0.37], np.float32),
    density=0.2,
    angle_deg=40.0,
    strength=0.3,
    variety=0.1,
    cut_off=(0.0, 0.0, 0.0),
    black=0.0,
)
