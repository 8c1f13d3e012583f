"""The calibration file: checked when read, whole or not there when written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge.device.durable import write_durably
from edge.device.strictjson import Section, parse_object
from edge.errors import ConfigError, ModelError, OutputError

SCHEMA = "blastcount.calibration/1"
ScaleMethod = Literal["micrometer", "red_cells"]
_ADVICE = "make it anew with `blastcount calibrate`, or remove it"
_MAX_NODES = 10_000


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


@dataclass(frozen=True, slots=True)
class MeasuredScale:
    """Size of a pixel.

    Attributes
    ----------
    um_per_px : µm per px
    low, high : 95 % interval
    method : what it was measured on
    n : number of strips of the micrometer, or of fields with red cells
    """

    um_per_px: float
    low: float
    high: float
    method: ScaleMethod
    n: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured about a microscope and its camera.

    Attributes
    ----------
    width, height : of the camera's frames, px; for other sizes nothing of it holds
    made_at : aware UTC time
    blank : the blank slide, or None
    scale : the size of a pixel, or None
    """

    width: int
    height: int
    made_at: datetime
    blank: Blank | None = None
    scale: MeasuredScale | None = None

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a calibration file.

        Raises
        ------
        ConfigError
            It is missing, cannot be read, or holds anything that no calibration does.
        """
        try:
            text = path.read_bytes()
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such calibration; make one with `blastcount calibrate`") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
        try:
            return _parse(text, str(path))
        except ModelError as error:
            raise ConfigError(str(error)) from error

    def save(self, path: Path) -> None:
        """Write the file; a power cut leaves the old one or the new one.

        Raises
        ------
        OutputError
            It cannot be written; a file of that name is as it was.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, (json.dumps(self._as_dict(), indent=1) + "\n").encode())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error

    def _as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "made_at": self.made_at.isoformat(),
            "width": self.width,
            "height": self.height,
        }
        if self.scale is not None:
            document["scale"] = {
                "um_per_px": self.scale.um_per_px,
                "low": self.scale.low,
                "high": self.scale.high,
                "method": self.scale.method,
                "n": self.scale.n,
            }
        if self.blank is not None:
            document["blank"] = {
                "frames": self.blank.frames,
                "rows": int(self.blank.grid.shape[0]),
                "columns": int(self.blank.grid.shape[1]),
                "rgb": [round(float(value), 2) for value in self.blank.grid.ravel()],
            }
        return document


def _parse(text: bytes, source: str) -> Calibration:
    values = parse_object(text, source=source, advice=_ADVICE)
    top = Section(
        source, "", values, ("schema", "made_at", "width", "height"), ("blank", "scale"), advice=_ADVICE
    )
    if top.string("schema") != SCHEMA:
        raise top.wrong("schema", f'"{SCHEMA}"')
    try:
        made_at = datetime.fromisoformat(top.string("made_at"))
    except ValueError:
        raise top.wrong("made_at", "a time such as 2026-01-31T12:00:00+00:00") from None
    if made_at.tzinfo is None:
        raise top.wrong("made_at", "a time with its offset from UTC")
    return Calibration(
        width=_whole(top, "width", 30, 100_000),
        height=_whole(top, "height", 30, 100_000),
        made_at=made_at,
        blank=_blank(top.section("blank", ("frames", "rows", "columns", "rgb")))
        if "blank" in values
        else None,
        scale=_scale(top.section("scale", ("um_per_px", "low", "high", "method", "n")))
        if "scale" in values
        else None,
    )


def _blank(section: Section) -> Blank:
    rows, columns = _whole(section, "rows", 1, 1000), _whole(section, "columns", 1, 1000)
    numbers = section.values["rgb"]
    expected = f"{rows} x {columns} x 3 numbers from 1 to 255"
    if rows * columns > _MAX_NODES or not isinstance(numbers, list) or len(numbers) != rows * columns * 3:
        raise section.wrong("rgb", expected)
    if not all(_is_number(value) and 1 <= value <= 255 for value in numbers):
        raise section.wrong("rgb", expected)
    grid = np.array(numbers, np.float32).reshape(rows, columns, 3)
    return Blank(grid, _whole(section, "frames", 1, 1_000_000))


def _scale(section: Section) -> MeasuredScale:
    method = section.string("method")
    if method not in get_args(ScaleMethod):
        raise section.wrong("method", " or ".join(f'"{name}"' for name in get_args(ScaleMethod)))
    um_per_px, low, high = (section.number(key) for key in ("um_per_px", "low", "high"))
    # The range of [scale] um_per_px in the configuration.
    if not 0.01 <= um_per_px <= 0.4:
        raise section.wrong("um_per_px", "0.01 to 0.4 µm")
    if not 0 < low <= um_per_px <= high < math.inf:
        raise section.wrong("low", "the lower end of an interval around um_per_px")
    n = _whole(section, "n", 1, 1_000_000)
    return MeasuredScale(um_per_px, low, high, "micrometer" if method == "micrometer" else "red_cells", n)


def _whole(section: Section, key: str, low: int, high: int) -> int:
    value = section.integer(key)
    if not low <= value <= high:
        raise section.wrong(key, f"{low} to {high}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def merged(old: Calibration | None, new: Calibration) -> Calibration:
    """Return the new calibration with what only the old one has, if both are for frames of one size."""
    if old is None or (old.width, old.height) != (new.width, new.height):
        return new
    parts: Mapping[str, Any] = {"blank": new.blank or old.blank, "scale": new.scale or old.scale}
    return Calibration(new.width, new.height, new.made_at, **parts)
