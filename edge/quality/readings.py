"""What a counted field tells of the microscope and the stain, of what was measured anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.light.colour import LEAST_STAINED_PX, stained_outside
from edge.light.field import Field
from edge.light.median import median
from edge.quality.smear import nucleus_densities
from edge.structures import Cell, Readings, Scale

#: Digits behind the point that a reading keeps: a thousandth of the light is 0.0004 in log10, and no reading
#: is steadier. The row holds what the record holds, so that a field counted again has the same.
_DIGITS = 5
#: Pixels that a median is taken of, about.
_MEDIAN_PX = 5000


def readings_of(field: Field, cells: Sequence[Cell], scale: Scale) -> Readings:
    """Read a field that was counted.

    Parameters
    ----------
    field : with what the gate and segmentation have computed of it
    cells : all that were found, smudges too
    scale : that they were found at
    """
    light = np.log10(field.background.grid)
    level = light.mean(axis=2)
    blur = None if scale.source == "assumed" else field.blur(scale.um_per_px)
    return Readings(
        blank=_triple(light.mean(axis=(0, 1))),
        unevenness=round(float(level.max() - level.min()), _DIGITS),
        blur_um=None if blur is None else round(blur.um, _DIGITS),
        red_cells=_red_cells(field, cells),
        nuclei=_nuclei(field, cells),
    )


def _red_cells(field: Field, cells: Sequence[Cell]) -> tuple[float, float, float] | None:
    at = np.flatnonzero(stained_outside(field.total, cells, field.sampling_px))
    if len(at) < LEAST_STAINED_PX:
        return None
    chosen = at[:: max(1, len(at) // _MEDIAN_PX)]
    return _triple(median(np.ascontiguousarray(field.density.reshape(-1, 3)[chosen].T)))


def _nuclei(field: Field, cells: Sequence[Cell]) -> tuple[float, float, float] | None:
    dyes = nucleus_densities(field, [cell for cell in cells if cell.kind == "wbc"])
    return _triple(median(np.ascontiguousarray(dyes.T))) if len(dyes) else None


def _triple(values: NDArray[np.float32]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), _DIGITS) for value in values)
    return red, green, blue
