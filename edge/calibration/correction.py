"""A calibration put to use on every frame; without a usable one they pass as they are, loudly."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from edge.calibration.record import Calibration
from edge.errors import ConfigError
from edge.light.flatfield import FlatField
from edge.structures import Frame

_log = logging.getLogger(__name__)

#: Warning of a frame that was not corrected although a calibration is there or was asked for.
UNUSED = "calibration_unused"


class Correction:
    """Corrects frames by a calibration, or leaves them.

    Parameters
    ----------
    calibration : None leaves every frame as it is

    Attributes
    ----------
    problem : why nothing is corrected, for STATUS and ``blastcount check``; None where all is well
    """

    def __init__(self, calibration: Calibration | None, problem: str | None = None) -> None:
        self._calibration = calibration
        self._flat: FlatField | None = None
        self.problem = problem

    @classmethod
    def from_file(cls, path: Path, *, required: bool) -> Correction:
        """Read a calibration; one that is missing or bad is warned about and never stops the camera.

        Parameters
        ----------
        path : of the file
        required : it was asked for by name, so that a missing one is warned about, too
        """
        if not required and not path.exists():
            _log.info("no calibration at %s: light and scale are taken from each field", path)
            return cls(None)
        try:
            calibration = Calibration.load(path)
        except ConfigError as error:
            _log.warning("calibration not used, light and scale are taken from each field: %s", error)
            return cls(None, str(error))
        return cls(calibration)

    @property
    def sha256(self) -> str | None:
        """Hash of the calibration file's content; None where nothing is corrected."""
        return None if self._calibration is None else self._calibration.sha256

    @property
    def white_point(self) -> tuple[float, float, float] | None:
        """R, G and B of the blank slide as calibrated, for :meth:`edge.quality.Reference.start`."""
        if self._calibration is None or self._calibration.blank is None:
            return None
        return self._calibration.blank.white_point

    def applied(self, frame: Frame) -> Frame:
        """Return the frame with even light and, unless it has one already, its scale.

        A frame that is not corrected although a calibration is there, or was asked for, has the warning
        ``calibration_unused``.
        """
        calibration = self._calibration
        if calibration is None:
            return frame if self.problem is None else _doubted(frame)
        if (frame.width, frame.height) != (calibration.width, calibration.height):
            if self.problem is None:
                self.problem = (
                    f"the calibration is for frames of {calibration.width}x{calibration.height} px and "
                    f"{frame.source} has {frame.width}x{frame.height}; for this camera make one with "
                    "`blastcount calibrate`"
                )
                _log.warning("calibration not used for frames of another size: %s", self.problem)
            return _doubted(frame)
        if calibration.blank is not None:
            if self._flat is None:
                self._flat = FlatField(calibration.blank.grid, frame.width, frame.height)
            frame = replace(frame, image=self._flat.applied(frame.image), jpeg=None)
        scale = calibration.scale
        if frame.um_per_px is not None or scale is None:
            return frame
        return replace(frame, um_per_px=scale.um_per_px, um_per_px_interval=(scale.low, scale.high))


def _doubted(frame: Frame) -> Frame:
    return replace(frame, warnings=(*frame.warnings, UNUSED))
