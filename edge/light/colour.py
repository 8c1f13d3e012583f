"""The colours of what lies on the slide, in optical density: what is usual, and what stands out of it.

By Beer and Lambert's law the shares that R, G and B have in a dye's density do not depend on its amount. A
smear's red cells therefore have one colour, its nuclei another, and what is equally dark still differs in
colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.median import median
from edge.structures import Cell, UInt8Image

#: Summed density from which a pixel is stained, and how many of them say something about colour.
STAINED = 0.12
LEAST_STAINED_PX = 100
#: ... and from which it counts for the density of what is there.
_HARDLY_STAINED = 0.08
#: Pixels that a median is taken of, about.
_MEDIAN_PX = 5000
#: Pixels that stand out most, whose middle colour is taken: a nucleus of 6 µm in a field 230 µm wide.
_STANDING_OUT_PX = 30
#: Levels from which a channel is cut off above, and up to which it is cut off below.
_CUT_OFF, _BLACK = 254, 3
#: Widths of the bins of summed density within which colour is compared.
_BIN, _BINS = 0.05, 40
#: Pixels from a white cell's box on that may still be its own.
_MARGIN_PX = 1
#: Axes of the plane of colours: more red than blue density, and more green than both.
PLANE = np.array([[1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]], np.float32) / np.sqrt(
    np.array([[2.0], [6.0]], np.float32)
)


@dataclass(frozen=True, slots=True)
class Colour:
    """The colours of what is stained in a field.

    Attributes
    ----------
    usual : (3,) shares of R, G and B in the density that is commonest
    density : the middle one, R + G + B
    angle_deg : direction in which something stands out of it in the plane of colours: 0 more red than blue
        density, 90 more green than both
    strength : how far, density
    variety : spread of colour among what is equally dark, as a share of the density; a grey picture has none
    cut_off : share of the stained pixels whose R, G, B is at the camera's upper end
    black : share of all pixels that have a channel at its lower end
    """

    usual: NDArray[np.float32]
    density: float
    angle_deg: float
    strength: float
    variety: float
    cut_off: tuple[float, float, float]
    black: float


def measure_colour(
    density: NDArray[np.float32], total: NDArray[np.float32], sampled: UInt8Image
) -> Colour | None:
    """Measure the colours of what is stained; None where hardly anything is.

    Parameters
    ----------
    density : (h, w, 3) R, G and B, see :attr:`edge.light.field.Field.density`
    total : (h, w) their sum
    sampled : (h, w, 3) the pixels that it was made of
    """
    stained = total > STAINED
    at = np.flatnonzero(stained)
    n = len(at)
    if n < LEAST_STAINED_PX:
        return None
    step = max(1, n // _MEDIAN_PX)
    amount = total.ravel()[at[::step]]
    # Plane by plane: NumPy sorts and adds contiguous numbers several times as fast.
    shares = np.ascontiguousarray(density.reshape(-1, 3)[at[::step]].T) / amount
    usual = median(shares)
    # Colour less that of the same amount of what is usual: linear in R, G and B.
    away = cv2.transform(density, PLANE - (PLANE @ usual)[:, None])
    # What is far out on one side in all of 3 x 3 px: a single one is noise.
    lowest, highest = (way(away, np.ones((3, 3), np.uint8)) for way in (cv2.erode, cv2.dilate))
    away = np.maximum(lowest, 0) + np.minimum(highest, 0)
    far = cv2.magnitude(*cv2.split(away)).ravel()
    at = np.argpartition(far, -_STANDING_OUT_PX)[-_STANDING_OUT_PX:]
    x, y = median(away.reshape(-1, 2)[at].T).tolist()
    at_ends = [((plane >= _CUT_OFF) & stained, plane <= _BLACK) for plane in cv2.split(sampled)]
    red, green, blue = (np.count_nonzero(burnt_out) / n for burnt_out, _ in at_ends)
    return Colour(
        usual=usual,
        density=float(median(total.ravel()[np.flatnonzero(total > _HARDLY_STAINED)[::step]])),
        angle_deg=math.degrees(math.atan2(y, x)),
        strength=math.hypot(x, y),
        variety=_variety(amount, shares),
        cut_off=(red, green, blue),
        black=np.count_nonzero(at_ends[0][1] | at_ends[1][1] | at_ends[2][1]) / total.size,
    )


def stained_outside(total: NDArray[np.float32], cells: Sequence[Cell], step: int) -> NDArray[np.bool_]:
    """Find what is stained outside a field's white cells: its red cells.

    Parameters
    ----------
    total : (h, w) summed density of every ``step``-th px, see :attr:`edge.light.field.Field.total`
    cells : all that segmentation found, smudges too
    step : px of the image from one of these to the next
    """
    stained = total > STAINED
    for cell in cells:
        x, y, width, height = (value // step for value in cell.bbox)
        rows = slice(max(0, y - _MARGIN_PX), y + height + 1 + _MARGIN_PX)
        stained[rows, max(0, x - _MARGIN_PX) : x + width + 1 + _MARGIN_PX] = False
    return stained


def _variety(amount: NDArray[Any], shares: NDArray[Any]) -> float:
    """Root mean square of the colours' spread within bins of equal density."""
    bins = np.minimum((amount / _BIN).astype(np.intp), _BINS - 1)
    count = np.maximum(np.bincount(bins, minlength=_BINS), 1)
    squared = 0.0
    for colour in PLANE @ shares:
        mean = np.bincount(bins, colour, _BINS) / count
        squared += float(((colour - mean[bins]) ** 2).mean())
    return math.sqrt(squared)
