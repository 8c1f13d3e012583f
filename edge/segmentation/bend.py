"""How much a lens bends the picture, by the sizes and shapes of isolated red cells."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.diameter import LEAST_CONTOUR_PX, Contour

Values = NDArray[np.float64]

#: Contours that are looked at, evenly spread, and the fewest isolated cells that say something.
_MOST_CONTOURS, _LEAST_CELLS = 128, 10
_LEAST_AREA_PX = 30
#: Share of the ellipse of its moments that an isolated cell fills; two discs that touch fill 0.89.
_LEAST_FILL = 0.96
#: Elongation, (a² - b²) / (a² + b²) of the axes, up to which it is one cell: 0.67 for two discs that touch.
_MOST_ELONGATED = 0.45
#: Red cells differ from the median by less than that, on the logarithm of the diameter.
_SAME_SIZE = 0.35
#: Standard errors from which a bend is none of chance: up to 4.0 in 58 fields of four sources.
_LEAST_ERRORS = 4.2


def measure_bend(contours: list[Contour], shape: tuple[int, ...]) -> float:
    """Measure by how much a lens enlarges the corner less than the middle: a barrel is positive.

    Parameters
    ----------
    contours : of a mask of red cells, see :func:`edge.segmentation.diameter.outer_contours`
    shape : of the mask

    Returns
    -------
    k of Brown's model [1]_, the way of the corner as a share of its distance from the middle; 0.0 where that
    is less than chance gives, or isolated cells are few

    Notes
    -----
    What lies at the distance r of the middle, the corner having 1, comes from r (1 + k r²). Seen from the
    middle a cell there is shorter by 1 + 3 k r² and narrower by 1 + k r². To the first order the logarithm of
    its diameter and its elongation towards the middle are both -2 k r². Each gives k by least squares, and
    the two are averaged by their errors.

    References
    ----------
    .. [1] D. C. Brown, "Close-range camera calibration", Photogrammetric Engineering 37, 1971.
    """
    long = [contour for contour in contours if len(contour) >= LEAST_CONTOUR_PX]
    moments = [cv2.moments(contour) for contour in long[:: max(1, -(-len(long) // _MOST_CONTOURS))]]
    names = ("m00", "m10", "m01", "mu20", "mu11", "mu02")
    found = [[m[name] for name in names] for m in moments if m["m00"] > _LEAST_AREA_PX]
    if len(found) < _LEAST_CELLS:
        return 0.0
    area, *others = np.array(found, np.float64).T
    x, y, xx, xy, yy = (values / area for values in others)
    elongated, fills = np.hypot(xx - yy, 2 * xy) / (xx + yy), 4 * np.pi * np.sqrt(np.abs(xx * yy - xy * xy))
    height, width = shape[:2]
    # An ellipse's half axis is twice its standard deviation.
    reach_x, reach_y = 2 * np.sqrt(xx), 2 * np.sqrt(yy)
    whole = (x > reach_x + 1) & (y > reach_y + 1) & (x + reach_x < width - 2) & (y + reach_y < height - 2)
    whole &= (area > _LEAST_FILL * fills) & (elongated < _MOST_ELONGATED)
    size = np.log(area) / 2
    if whole.any():
        whole &= np.abs(size - np.median(size[whole])) < _SAME_SIZE
    n = int(np.count_nonzero(whole))
    if n < _LEAST_CELLS:
        return 0.0
    x, y, xx, xy, yy, size = (values[whole] for values in (x - width / 2, y - height / 2, xx, xy, yy, size))
    squared = x * x + y * y
    away = squared / ((width / 2) ** 2 + (height / 2) ** 2)
    # Elongation along x and along the diagonal, without what all cells have: pixels that are not square.
    along, diagonal = ((part - part.mean()) for part in ((xx - yy) / (xx + yy), 2 * xy / (xx + yy)))
    inward = (along * (x * x - y * y) + 2 * diagonal * x * y) / squared
    k, error = _averaged(_slope(away - away.mean(), size - size.mean(), n - 2), _slope(away, inward, n - 1))
    return k if abs(k) > _LEAST_ERRORS * error else 0.0


def _slope(away: Values, values: Values, freedom: int) -> tuple[float, float]:
    """Slope of values over the squared distance, and its variance."""
    power = float(away @ away)
    slope = float(away @ values) / power
    rest = values - slope * away
    return slope, max(float(rest @ rest), 1e-9) / freedom / power


def _averaged(*slopes: tuple[float, float]) -> tuple[float, float]:
    """Give k and its standard error from slopes of -2 k and their variances."""
    weight = sum(1 / variance for _, variance in slopes)
    return -sum(slope / variance for slope, variance in slopes) / weight / 2, math.sqrt(1 / weight) / 2
