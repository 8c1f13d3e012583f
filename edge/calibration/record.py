"""The calibration file: checked when read, whole or not there when written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge.device.records import read_record, write_record
from edge.structures import COARSEST_UM_PER_PX, FINEST_UM_PER_PX

ScaleMethod = Literal["micrometer", "red_cells"]
_ADVICE = "make it anew with `blastcount calibrate`, or remove it"
_MAX_NODES = 10_000
_Side = Annotated[int, Meta(ge=30, le=100_000, description="px")]
_Number = Annotated[int, Meta(ge=1, le=1_000_000)]


@dataclass(frozen=True, eq=False)
class Blank:
    """How the blank slide looks: the flat field and the white point.

    Attributes
    ----------
    grid : (rows, columns, 3) float32 RGB, 1 to 255; node (r, c) is the colour at the centre of that tile when
        the picture is cut into rows x columns equal tiles
    frames : number of frames it is the median of
    """

    grid: NDArray[np.float32]
    frames: int

    @property
    def white_point(self) -> tuple[float, float, float]:
        """Median R, G and B."""
        red, green, blue = (float(value) for value in np.median(self.grid, axis=(0, 1)))
        return red, green, blue

    @property
    def unevenness(self) -> float:
        """Share of light that the darkest node lacks against the brightest, in the worst channel."""
        return float((1 - self.grid.min(axis=(0, 1)) / self.grid.max(axis=(0, 1))).max())


class MeasuredScale(Struct, frozen=True, forbid_unknown_fields=True):
    """Size of a pixel.

    Attributes
    ----------
    um_per_px : µm per px
    low, high : 95 % interval
    method : what it was measured on
    n : number of strips of the micrometer, or of fields with red cells
    """

    #: The range of [scale] um_per_px in the configuration.
    um_per_px: Annotated[float, Meta(ge=FINEST_UM_PER_PX, le=COARSEST_UM_PER_PX)]
    low: Annotated[float, Meta(gt=0.0)]
    high: float
    method: ScaleMethod
    n: _Number

    def __post_init__(self) -> None:
        """Refuse an interval that does not hold the scale."""
        if not self.low <= self.um_per_px <= self.high:
            raise ValueError(
                f"low and high must lie around um_per_px {self.um_per_px}, got {self.low} and {self.high}"
            )


class _BlankPart(Struct, frozen=True, forbid_unknown_fields=True):
    """The blank slide as the file has it."""

    frames: _Number
    rows: Annotated[int, Meta(ge=1, le=1000)]
    columns: Annotated[int, Meta(ge=1, le=1000)]
    rgb: Annotated[list[Annotated[float, Meta(ge=1, le=255)]], Meta(max_length=3 * _MAX_NODES)]

    def __post_init__(self) -> None:
        """Refuse a grid with holes."""
        if len(self.rgb) != self.rows * self.columns * 3:
            raise ValueError(f"rgb must be {self.rows} x {self.columns} x 3 numbers, got {len(self.rgb)}")

    def blank(self) -> Blank:
        """Give it as the correction takes it."""
        grid = np.array(self.rgb, np.float32).reshape(self.rows, self.columns, 3)
        return Blank(grid, self.frames)


class _File(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The calibration as its file has it."""

    made_at: Annotated[datetime, Meta(tz=True)]
    width: _Side
    height: _Side
    schema: Literal["blastcount.calibration/1"]
    scale: MeasuredScale | None = None
    blank: _BlankPart | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured about a microscope and its camera.

    Attributes
    ----------
    width, height : of the camera's frames, px; for other sizes nothing of it holds
    made_at : aware UTC time
    blank : the blank slide, or None
    scale : the size of a pixel, or None
    sha256 : of the file that it was read from; None for what has just been measured
    """

    width: int
    height: int
    made_at: datetime
    blank: Blank | None = None
    scale: MeasuredScale | None = None
    sha256: str | None = None

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a calibration file.

        Raises
        ------
        ConfigError
            It is missing, cannot be read, or holds anything that no calibration does.
        """
        absent = "no such calibration; make one with `blastcount calibrate`"
        file, sha256 = read_record(path, _File, absent=absent, advice=_ADVICE)
        blank = None if file.blank is None else file.blank.blank()
        return cls(file.width, file.height, file.made_at, blank, file.scale, sha256)

    def save(self, path: Path) -> None:
        """Write the file; a power cut leaves the old one or the new one.

        Raises
        ------
        OutputError
            It cannot be written; a file of that name is as it was.
        """
        blank = None
        if self.blank is not None:
            rows, columns = self.blank.grid.shape[:2]
            rgb = [round(float(value), 2) for value in self.blank.grid.ravel()]
            blank = _BlankPart(self.blank.frames, rows, columns, rgb)
        file = _File(self.made_at, self.width, self.height, "blastcount.calibration/1", self.scale, blank)
        write_record(path, file)


def merged(old: Calibration | None, new: Calibration) -> Calibration:
    """Return the new calibration with what only the old one has, if both are for frames of one size."""
    if old is None or (old.width, old.height) != (new.width, new.height):
        return new
    parts: Mapping[str, Any] = {"blank": new.blank or old.blank, "scale": new.scale or old.scale}
    return Calibration(new.width, new.height, new.made_at, **parts)
