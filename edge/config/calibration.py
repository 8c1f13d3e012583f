"""``[calibration]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class CalibrationConfig(Section):
    """``[calibration]``: where the measured optics of this microscope are."""

    NAME: ClassVar[str] = "calibration"
