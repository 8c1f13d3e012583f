"""``[scale]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section, within


@dataclass(frozen=True, slots=True)
class ScaleConfig(Section):
    """``[scale]``: physical size of a pixel.

    Attributes
    ----------
    um_per_px : µm per pixel of the camera's frame; None to measure it on each field's red cells. A 100x
        objective on a 1.2 µm sensor gives 0.012, and beyond 0.4 a white cell is under 30 px wide
    """

    NAME: ClassVar[str] = "scale"
    um_per_px: float | None = within(None, 0.01, 0.4)
