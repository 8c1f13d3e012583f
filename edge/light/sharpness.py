"""How sharp a field is: the width of its edges, whatever lies in it and however bright it is.

The gate refuses by it in µm, the stage watch and the page's focus bar compare pictures of one place by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.pyramid import shrunk
from edge.structures import UInt8Image

#: Pixels are averaged up to this size: coarser than the sensor's noise, finer than half the blur that is
#: refused.
_WORK_UM_PER_PX = 0.3
#: Widths of the two derivatives that an edge is looked at with, px.
_FINE, _COARSE = 1.0, 2.0
#: Share of the steepest pixels that are looked at: rims of cells, in a crowded field and in a sparse one.
_STEEPEST = 0.97
#: ... which are at least this steep against the steepest of all, so that an empty field's noise is left out.
_OF_THE_STEEPEST = 0.35
#: The steepest of all without single pixels of dust: a thousandth is steeper.
_TOP = 0.999
#: Steepness in levels a px below which there is no edge at all.
_LEAST_STEEP = 1.2
_LEAST_PX = 50
#: Of the steepest pixels the sharpest quarter decides: a smear is not flat, and nuclei have soft edges
#: within.
_SHARPEST = 75
#: Least ratio of squared slopes: an edge 55 px wide, where noise of the coarse derivative decides.
_LEAST_RATIO = 1.0005
#: Bands of the field that are looked at, the height of each and the most px of it at the working scale, a
#: cell's height; a low picture is looked at as a whole.
_BANDS, _BAND, _MOST_BAND_PX = 4, 0.05, 32
#: Directions that edges are told apart by, and the fewest px of one.
_DIRECTIONS, _LEAST_PX_OF_DIRECTION = 4, 30
#: Parts of each band, and rows of parts where the whole of a low picture is one; the fewest px of one, and
#: how steep its edges are at least against the steepest of all: four times as soft as those that are refused.
_COLUMNS, _ROWS, _LEAST_PX_OF_PART, _LEAST_OF_TOP = 4, 3, 20, 0.05
#: What is wider is no edge but shade: blank slide has that. Light 5.5 µm out of focus leaves no narrower one.
_SHADE_UM = 4.0
_LEAST_ROWS = 250
#: Px that a quantile is taken of, about. Those beside each other have nearly the same slope.
_SAMPLE_PX = 6000


@dataclass(frozen=True, slots=True)
class Blur:
    """How wide a field's edges are, as standard deviations in µm.

    Attributes
    ----------
    um : of its sharpest edges
    parts_um : of those of each part of the field that has any, the widest first
    directions_um : of those that run in each of four directions, of which there are enough
    """

    um: float
    parts_um: tuple[float, ...]
    directions_um: tuple[float, ...]


def measure_blur(image: UInt8Image, um_per_px: float) -> Blur | None:
    """Measure the blur of a field, of its parts, and along its directions.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    um_per_px : scale

    Returns
    -------
    Blur, see :func:`edge_width_px`; None where the field has no edge
    """
    shrink = max(1.0, _WORK_UM_PER_PX / um_per_px)
    bands, unit = _bands(image, shrink), um_per_px * shrink
    across, down = _derivatives(bands, _COARSE)
    coarse = np.asarray(cv2.magnitude(across, down), np.float32)
    steepest, edges = _steepest(coarse, _LEAST_PX)
    if edges is None:
        return None
    fine = _slopes(bands, _FINE)
    slopes = fine.ravel()[edges] / coarse.ravel()[edges]
    angle = np.arctan2(down.ravel()[edges], across.ravel()[edges])
    direction = np.rint(angle * (_DIRECTIONS / np.pi)) % _DIRECTIONS
    along = [slopes[direction == number] for number in range(_DIRECTIONS)]
    least = max(_LEAST_STEEP, _LEAST_OF_TOP * steepest)
    rows = np.cumsum([0, *map(len, bands)]) if len(bands) > 1 else np.linspace(0, len(coarse), _ROWS + 1)
    columns = np.linspace(0, coarse.shape[1], _COLUMNS + 1).astype(int)
    parts = [
        _part_width_px(fine[top:bottom, left:right], coarse[top:bottom, left:right], least)
        for top, bottom in pairwise(rows.astype(int).tolist())
        for left, right in pairwise(columns.tolist())
    ]
    return Blur(
        unit * _width_px(slopes),
        tuple(sorted((unit * width for width in parts if width and unit * width < _SHADE_UM), reverse=True)),
        tuple(unit * _width_px(some) for some in along if len(some) >= _LEAST_PX_OF_DIRECTION),
    )


def sharpness(image: UInt8Image) -> float:
    """Measure how sharp a picture is, for comparison with others of the same size and scale.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, or (H, W) uint8

    Returns
    -------
    slope of its edges, of height 1, under a derivative of 1 px: 1 for a perfect step, 0 without any edge

    Examples
    --------
    >>> step = np.full((40, 60), 40, np.uint8)
    >>> step[:, 30:] = 200
    >>> sharpness(step) > 0.9, sharpness(step[:, :30])
    (True, 0.0)
    """
    width_px = edge_width_px(_bands(image, 1.0))
    return 0.0 if width_px is None else _FINE / math.hypot(width_px, _FINE)


def edge_width_px(bands: Sequence[NDArray[np.uint8]]) -> float | None:
    """Measure the width of the sharpest edges in one channel.

    An edge of width s (the standard deviation of its derivative) has the slope 1 / sqrt(s² + a²) after a blur
    by a. The ratio of two such slopes gives s, and the edge's height falls out [1]_.

    Parameters
    ----------
    bands : parts of the picture, each (h, w) uint8 of one width

    Returns
    -------
    standard deviation in px, or None where nothing has an edge

    References
    ----------
    .. [1] S. Zhuo, T. Sim, "Defocus map estimation from a single image", Pattern Recognition 44, 2011.
    """
    coarse = _slopes(bands, _COARSE)
    _, edges = _steepest(coarse, _LEAST_PX)
    return None if edges is None else _width_px(_slopes(bands, _FINE).ravel()[edges] / coarse.ravel()[edges])


def _steepest(
    coarse: NDArray[np.float32], least_px: int, least_steep: float = _LEAST_STEEP
) -> tuple[float, NDArray[np.intp] | None]:
    """How steep the steepest is, and flat indices of such px; None where it is not steep, or too few are."""
    steep, steepest = quantiles(coarse, (_STEEPEST, _TOP))
    if steepest < least_steep:
        return steepest, None
    edges = np.flatnonzero(coarse >= max(steep, _OF_THE_STEEPEST * steepest))
    return steepest, edges if len(edges) >= least_px else None


def _part_width_px(
    fine: NDArray[np.float32], coarse: NDArray[np.float32], least_steep: float
) -> float | None:
    """Width of a part's own steepest edges; None where it has none that are as steep as that."""
    if coarse.size < _LEAST_PX_OF_PART:
        return None
    _, edges = _steepest(coarse, _LEAST_PX_OF_PART, least_steep)
    return None if edges is None else _width_px(fine.ravel()[edges] / coarse.ravel()[edges])


def _width_px(slopes: NDArray[np.float32]) -> float:
    """Width of edges whose slopes under the two derivatives have these ratios."""
    # The percentile as NumPy has it, in a fifth of the time that it takes for a part's few hundred px.
    place = _SHARPEST / 100 * (len(slopes) - 1)
    low = int(place)
    below, above = np.partition(slopes, (low, min(low + 1, len(slopes) - 1)))[low : low + 2][[0, -1]].tolist()
    ratio = (below + (place - low) * (above - below)) ** 2
    # Up to that of a perfect step.
    ratio = min(max(ratio, _LEAST_RATIO), (_COARSE / _FINE) ** 2)
    return math.sqrt((_COARSE**2 - _FINE**2 * ratio) / (ratio - 1))


def _bands(image: UInt8Image, shrink: float) -> list[NDArray[np.uint8]]:
    """Green channel of a few bands over the whole width, at the working scale."""
    height = image.shape[0]
    if height / shrink < _LEAST_ROWS:
        return [_green(shrunk(image, shrink))]
    rows = round(min(height * _BAND, _MOST_BAND_PX * shrink))
    starts = (round(height * (n + 0.5) / _BANDS - rows / 2) for n in range(_BANDS))
    # Taking one channel out of three is much slower as a view that is copied.
    return [shrunk(_green(image[start : start + rows]), shrink) for start in starts]


def _green(image: UInt8Image) -> NDArray[np.uint8]:
    return image if image.ndim == 2 else np.asarray(cv2.extractChannel(image, 1), np.uint8)


def _slopes(bands: Sequence[NDArray[np.uint8]], sigma: float) -> NDArray[np.float32]:
    """Length of the gradient of bands blurred by sigma, one below the other."""
    return np.asarray(cv2.magnitude(*_derivatives(bands, sigma)), np.float32)


def _derivatives(
    bands: Sequence[NDArray[np.uint8]], sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the derivatives in x and in y of bands blurred by sigma, one below the other."""
    blur, derivative = _kernels(sigma)
    across, down = np.empty((2, sum(len(band) for band in bands), bands[0].shape[1]), np.float32)
    row = 0
    for band in bands:
        here = np.s_[row : row + len(band)]
        cv2.sepFilter2D(band, cv2.CV_32F, derivative, blur, dst=across[here])
        cv2.sepFilter2D(band, cv2.CV_32F, blur, derivative, dst=down[here])
        row += len(band)
    return across, down


def quantiles(values: NDArray[np.float32], shares: Sequence[float]) -> list[float]:
    """Quantiles of a plane, (h, w), each one of its values: of every n-th row and column, two at least."""
    every = max(2, round(math.sqrt(values.size / _SAMPLE_PX)))
    sample = values[::every, ::every].ravel()
    places = [round(share * (len(sample) - 1)) for share in shares]
    ordered = np.partition(sample, places)
    return [float(ordered[place]) for place in places]


@lru_cache(maxsize=4)
def _kernels(sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gaussian and its derivative, out to three standard deviations."""
    reach = math.ceil(3 * sigma)
    x = np.arange(-reach, reach + 1, dtype=np.float32)
    blur = np.exp(-x * x / np.float32(2 * sigma**2))
    blur /= blur.sum()
    return blur, -x / np.float32(sigma**2) * blur
