"""How a field looks: its light, and how much of which stain it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.field import Field

#: Summed density from which a pixel is no blank slide: 0.12 is 9 % less light in each channel.
_STAINED = 0.12
#: Density in the palest channel from which something is opaque, and how much of the densest channel that is
#: at least. Dyes are coloured: the palest channel of a nucleus has a fifth of the densest, of a red cell a
#: third.
_OPAQUE, _GREY = 0.25, 0.7
#: ... or that of so many red cells over each other, where these are dark and grey, but no more than this. Of
#: 642 pictures of single cells and small fields 2 are obstructed by that, and were 16 by 0.25.
_RED_CELLS_OVER_EACH_OTHER, _SURELY_OPAQUE = 2.0, 0.4
#: Summed densities between which the commonest is looked for, in steps of a tenth: from hardly stained to
#: black.
_FAINTEST, _DARKEST, _STEPS = 0.05, 3.0, 40
#: Weights that the histogram is smoothed with before its mode is taken.
_SMOOTHING = (1, 2, 3, 2, 1)
#: Densities over the mode between which the median is taken: the thin rim and the thick middle of a cell.
_AROUND_MODE = (0.7, 1.4)
#: Pixels that it takes; a red cell has 60 at this size.
_LEAST_PX = 60

Density = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What a field looks like.

    Attributes
    ----------
    blank : log10 of the blank slide's R, G and B
    cover : share of the field that is not blank slide
    opaque : share of it that is dark without a stain's colour
    common : density in R, G and B that is commonest of what is stained, a red cell's or, without any, a
        nucleus's; None where hardly anything is stained, or where it was not asked for
    """

    blank: Density
    cover: float
    opaque: float
    common: Density | None


def look_at(field: Field, *, common: bool = True) -> Look:
    """Measure how a field looks.

    Parameters
    ----------
    field : to be measured
    common : ask for the commonest density, which takes most of the time
    """
    density = field.density
    red, green, blue = cv2.split(density)
    palest, densest = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    opaque = (palest > _least_opaque(field)) & (palest > _GREY * densest)
    return Look(
        blank=_triple(np.log10(field.background.grid).mean(axis=(0, 1))),
        cover=cover_of(field),
        opaque=float(np.count_nonzero(opaque)) / opaque.size,
        common=_commonest(density, field.total) if common else None,
    )


def cover_of(field: Field) -> float:
    """Share of a field that is not blank slide."""
    return float(np.count_nonzero(field.total > _STAINED)) / field.total.size


def _least_opaque(field: Field) -> float:
    """Density in the palest channel that no two red cells over each other have."""
    if field.colour is None:
        return _OPAQUE
    red_cells = _RED_CELLS_OVER_EACH_OTHER * float(field.colour.usual.min()) * field.colour.density
    return min(max(_OPAQUE, red_cells), _SURELY_OPAQUE)


def _commonest(density: NDArray[Any], total: NDArray[Any]) -> Density | None:
    """Median density around the mode of the stained pixels' logarithm: a few nuclei more or less leave it."""
    logs = np.log(total[total > _FAINTEST])
    if len(logs) < _LEAST_PX:
        return None
    counts, edges = np.histogram(logs, _STEPS, (math.log(_FAINTEST), math.log(_DARKEST)))
    best = int(np.argmax(np.convolve(counts, _SMOOTHING, "same")))
    mode = math.exp((edges[best] + edges[best + 1]) / 2)
    low, high = (share * mode for share in _AROUND_MODE)
    near = density[(total > low) & (total < high)]
    return _triple(np.median(near, axis=0)) if len(near) else None


def _triple(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Density:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
