"""``[calibration]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class CalibrationConfig(Section):
    """``[calibration]``: where the measured optics of this microscope are.

    Attributes
    ----------
    path : the file that ``blastcount calibrate`` writes; None for ``calibration.json`` in the state folder,
        used where it is there
    """

    NAME: ClassVar[str] = "calibration"
    path: Path | None = None
