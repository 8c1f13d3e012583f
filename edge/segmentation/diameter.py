"""Diameter of the round outlines of a mask, whether the cells lie isolated, in piles or cut by the border."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import Mask

Contour = NDArray[np.int32]

#: Contours shorter than this enclose less than 30 px: too few for a curvature.
LEAST_CONTOUR_PX = 16
#: Half chords in px: each circle of 6 to 150 px across is met by at least two of them with an arc of
#: 60 to 125 degrees, long enough to beat pixel noise and short enough to stay on one cell of a pile.
_HALF_CHORDS_PX = (3, 4, 6, 8, 11, 15, 20, 27, 36)
_ARC_RAD = (1.05, 2.2)
#: A digital contour has 0.91 points per px of a circle's length: two half chords of k points span 2.2 k px.
_POINTS_PER_PX = 0.91
_PX_PER_HALF_CHORD = 2.2
#: A contour that has fewer points than four half chords would be met by itself from behind.
_LEAST_HALF_CHORDS = 4
#: Contour points this near to the image's edge lie on the cut and not on the cell's outline: the outermost
#: px, and the half px that the averaging below moves its neighbours by.
_EDGE_MARGIN_PX = 1.5
#: Points that a digital contour is averaged over, which halves the staircase of its pixels.
_AVERAGED_POINTS = 5
#: Points of the contours that are looked at, evenly spread: of 95 real fields none has other cells with 4000,
#: one with 1000.
_MAX_POINTS = 2000
#: A red cell's centre lies at least this far from a nucleus, of its diameter: half of it less a rim of blur.
_CLEARANCE = 0.4
#: Arcs end where cells meet, and outlines bend more sharply there: measured against the isolated cells of the
#: same fields, arcs come out 7 to 13 % too small.
_ARC_TO_DIAMETER = 1.08
#: Fewer votes than this have no mode; 10 to 40 leave 95 real fields the same.
_LEAST_ARCS = 20
#: Histogram over the natural log of the diameter: 5 % a bin, finer than red cells differ, from e^1 = 2.7 px
#: to e^6 = 403 px; it is smoothed over 7 bins, the +-15 % that one sample's red cells differ by.
_BIN, _FIRST_LOG, _BINS = 0.05, 1.0, 100
_SMOOTHING = (1, 2, 3, 3, 3, 2, 1)
_SAME_DIAMETER = 0.15
#: Nuclei of white cells have 25 to 120 µm², so a diameter guessed from one is right within a factor exp(0.5).
_NUCLEUS_SPREAD = 0.5
#: The nuclei's vote weighs as much as that many red cells do.
#: With 8 no cell of the 95 fields differs, with 2 those of three fields.
_NUCLEUS_WEIGHT_CIRCLES = 4.0
#: A disc fills pi/4 of its box; 3/4 <= aspect <= 4/3 lets oval cells through and doublets not.
_ROUND_ASPECT = (0.75, 1.34)
_ROUND_FILL_TOLERANCE = 0.08  # 0.06 to 0.1 change the scale of one of the 95 fields, by less than 1 %
_LEAST_ROUND_AREA_PX = 30


@dataclass(frozen=True, slots=True)
class DiameterVote:
    """The commonest diameter of round outlines.

    Attributes
    ----------
    diameter_px : 0.0 where there is none
    share : of all arcs, those within 15 % of it, 0 to 1
    circles : how many full circles these arcs add up to
    """

    diameter_px: float
    share: float
    circles: float


_NO_VOTE = DiameterVote(0.0, 0.0, 0.0)


def outer_contours(mask: Mask) -> list[Contour]:
    """Contours of a mask that are worth measuring; what lies within one, a hole or an island, is its own."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(contour, np.int32) for contour in found if len(contour) >= LEAST_CONTOUR_PX]


def commonest_diameter(
    contours: list[Contour],
    shape: tuple[int, ...],
    to_nucleus_px: NDArray[np.float32] | None = None,
    expected_px: float | None = None,
    least_px: float = 0.0,
) -> DiameterVote:
    """Find the commonest diameter of round outlines.

    Parameters
    ----------
    contours : of a mask, see :func:`outer_contours`
    shape : of the mask
    to_nucleus_px : (h, w) float32 distance transform, px to the nearest nucleus. A white cell's own outline
        is centred on its nucleus; a red cell's centre is at least its own radius away from one, so arcs
        whose centre is nearer than that are left out
    expected_px : diameter that the size of the nuclei suggests, or None; a vote, not a limit
    least_px : smaller circles are no red cells, whatever their number

    Returns
    -------
    DiameterVote

    Notes
    -----
    A Hough transform for circles [1]_ in which arcs vote instead of gradients:

    1. For each contour point the circle through it and the points ``k`` steps before and behind is taken,
       whose radius is the reciprocal of the Menger curvature [2]_, for several ``k``. Only convex arcs of 60
       to 125 degrees count. Cells in a pile keep such arcs, so no cell has to be separated first.
    2. Each point votes with the mean log diameter of its arcs; for an oval cell the geometric mean of the
       radii of curvature is that of its axes.
    3. Votes whose centre lies too near to a nucleus are white cells' and dropped.
    4. The mode of the smoothed histogram of log diameters, weighted with what the nuclei suggest where few
       red cells speak, gives the diameter: the median of the votes within 15 % of it.

    References
    ----------
    .. [1] R. O. Duda, P. E. Hart, "Use of the Hough transformation to detect lines and curves in pictures",
       Comm. ACM 15, 1972.
    .. [2] K. Menger, "Untersuchungen über allgemeine Metrik, vierte Untersuchung: Zur Metrik der Kurven",
       Math. Ann. 103, 1930.
    """
    if not contours:
        return _NO_VOTE
    points = _sample_points(contours)
    logs = _arc_votes(points, shape, to_nucleus_px)
    arcs = len(logs)
    if least_px > 0:
        logs = logs[logs > np.log(least_px / _ARC_TO_DIAMETER)]
    if len(logs) < _LEAST_ARCS:
        return _NO_VOTE
    mode = _mode(logs, points.thinning, expected_px)
    near = np.abs(logs - mode) < _SAME_DIAMETER
    diameter = float(np.exp(np.median(logs[near])))
    circles = _full_circles(near, points.thinning, diameter)
    return DiameterVote(_ARC_TO_DIAMETER * diameter, float(near.sum()) / arcs, circles)


@dataclass(frozen=True, slots=True)
class _Points:
    """Contours one after the other, and the points of them that are looked at.

    Attributes
    ----------
    xs, ys : of all points, averaged; each contour continues with its start behind its end and vice versa
    at : indices of the sampled points in ``xs`` and ``ys``
    length : of the contour of each sampled point, in points
    thinning : every how manieth point was sampled
    """

    xs: NDArray[np.float32]
    ys: NDArray[np.float32]
    at: NDArray[np.intp]
    length: NDArray[np.intp]
    thinning: int


def _sample_points(contours: list[Contour]) -> _Points:
    wrap = max(_HALF_CHORDS_PX) + 2
    lengths = np.array([len(contour) for contour in contours])
    starts = np.cumsum(lengths) - lengths
    padded = lengths + 2 * wrap
    first = np.cumsum(padded) - padded
    position = np.arange(int(padded.sum())) - np.repeat(first, padded) - wrap
    source = np.repeat(starts, padded) + position % np.repeat(lengths, padded)
    points = np.concatenate(contours)[:, 0].T.astype(np.float32)
    average = np.full(_AVERAGED_POINTS, 1 / _AVERAGED_POINTS, np.float32)
    xs, ys = (np.convolve(np.take(along, source), average, "same") for along in points)
    length = np.repeat(lengths, lengths)
    place = np.arange(len(length)) + np.repeat(first + wrap - starts, lengths)
    thinning = max(1, len(place) // _MAX_POINTS)
    return _Points(xs, ys, place[::thinning], length[::thinning], thinning)


def _arc_votes(
    points: _Points, shape: tuple[int, ...], to_nucleus_px: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """Log diameter that each point's arcs have on average, of the points that have any."""
    height, width = shape
    steps = np.array(_HALF_CHORDS_PX)[:, None]
    x, y = points.xs[points.at], points.ys[points.at]
    before_x, before_y, behind_x, behind_y = (
        plane[points.at + way * steps] for way in (-1, 1) for plane in (points.xs, points.ys)
    )
    # Radius of the circle through three points: product of the sides over twice the parallelogram's area.
    px, py, qx, qy = x - before_x, y - before_y, behind_x - x, behind_y - y
    cx, cy = behind_x - before_x, behind_y - before_y
    cross: NDArray[np.float32] = py * qx - px * qy
    product = np.sqrt((px * px + py * py) * (qx * qx + qy * qy) * (cx * cx + cy * cy))
    radius = product / (2 * np.maximum(cross, 1e-6))
    arc = _PX_PER_HALF_CHORD * steps / np.maximum(radius, 1e-6)
    good = (points.length > _LEAST_HALF_CHORDS * steps) & (cross > 0)
    good &= (arc > _ARC_RAD[0]) & (arc < _ARC_RAD[1])
    for along, limit in ((x, width), (before_x, width), (behind_x, width), (y, height)):
        good &= _off_the_edge(along, limit)
    for along in (before_y, behind_y):
        good &= _off_the_edge(along, height)
    _, point = np.nonzero(good)
    votes = np.bincount(point, minlength=len(x))
    radius, voting = radius[good], votes > 0
    logs = np.bincount(point, np.log(2 * radius), len(x))[voting] / votes[voting]
    if to_nucleus_px is None or not len(logs):
        return np.asarray(logs, np.float64)
    # The circle's centre lies on the way from the point to the middle of the chord.
    inward_x = (behind_x[good] + before_x[good]) / 2 - x[point]
    inward_y = (behind_y[good] + before_y[good]) / 2 - y[point]
    reach = radius / np.maximum(np.sqrt(inward_x * inward_x + inward_y * inward_y), 1e-6)
    column, row = (
        np.rint(np.bincount(point, start[point] + inward * reach, len(x))[voting] / votes[voting]).astype(int)
        for start, inward in ((x, inward_x), (y, inward_y))
    )
    clearance = to_nucleus_px[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.asarray(logs[clearance > _CLEARANCE * np.exp(logs)], np.float64)


def _off_the_edge(coordinate: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
    inside = (coordinate > _EDGE_MARGIN_PX) & (coordinate < size - 1 - _EDGE_MARGIN_PX)
    return np.asarray(inside, np.bool_)


def _mode(logs: NDArray[np.float64], thinning: int, expected_px: float | None) -> float:
    """Commonest log diameter, where few red cells speak with regard to the one that nuclei suggest."""
    bins = ((logs - _FIRST_LOG) / _BIN).clip(0, _BINS - 1).astype(int)
    smoothed = np.convolve(np.bincount(bins, minlength=_BINS), _SMOOTHING, "same")
    centres = _FIRST_LOG + _BIN * (np.arange(_BINS) + 0.5)
    mode = float(centres[smoothed.argmax()])
    if expected_px is None:
        return mode
    circles = _full_circles(np.abs(logs - mode) < _SAME_DIAMETER, thinning, float(np.exp(mode)))
    away = (centres - np.log(expected_px)) / _NUCLEUS_SPREAD
    weight = min(1.0, _NUCLEUS_WEIGHT_CIRCLES / max(circles, 1e-3))
    return float(centres[(smoothed * np.exp(-0.5 * away**2 * weight)).argmax()])


def _full_circles(near: NDArray[np.bool_], thinning: int, diameter: float) -> float:
    """How many circles of a diameter so many of the sampled points make up."""
    return float(near.sum()) * thinning / (_POINTS_PER_PX * math.pi * diameter)


def round_diameters_px(contours: list[Contour], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Diameters in px of isolated cells: round contours that do not touch the border."""
    height, width = shape
    if not contours:
        return np.zeros(0)
    box = np.array([cv2.boundingRect(contour) for contour in contours], np.float64)
    # The polygon runs through the pixels' centres: Pick's theorem gives the number of pixels.
    area = np.array([cv2.contourArea(contour) + 0.5 * len(contour) + 1 for contour in contours])
    is_round = (box[:, 0] > 0) & (box[:, 1] > 0)
    is_round &= (box[:, 0] + box[:, 2] < width) & (box[:, 1] + box[:, 3] < height)
    aspect = box[:, 2] / box[:, 3]
    is_round &= (aspect > _ROUND_ASPECT[0]) & (aspect < _ROUND_ASPECT[1])
    is_round &= np.abs(area / (box[:, 2] * box[:, 3]) - np.pi / 4) < _ROUND_FILL_TOLERANCE
    is_round &= area > _LEAST_ROUND_AREA_PX
    return np.asarray(np.sqrt(area[is_round] * 4 / np.pi), dtype=np.float64)
