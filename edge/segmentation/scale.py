"""Physical scale of a field from its own red cells."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import Scale

#: Mean diameter of a red cell on a dried smear, 7.2 to 7.8 µm in health [1]_.
#:
#: .. [1] B. J. Bain, "Blood Cells: A Practical Guide", 5th ed., Wiley, 2015, ch. 3.
RED_CELL_DIAMETER_UM = 7.5

#: Half chords in px: each circle of 6 to 150 px across is met by at least two of them with an arc of
#: 60 to 125 degrees, long enough to beat pixel noise and short enough to stay on one cell of a pile.
_HALF_CHORDS_PX = (3, 4, 6, 8, 11, 15, 20, 27, 36)
#: Arcs that add up to fewer full circles than this are chance: debris and precipitate have arcs too.
_LEAST_CIRCLES = 0.7
_CLEARANCE = 0.4  # of the diameter; half of it less a rim of blur
#: Nuclei of white cells have 25 to 120 µm², so a diameter guessed from one is right within a factor exp(0.5).
_NUCLEUS_SPREAD = 0.5
_MAX_POINTS = 2000
#: Arcs end where cells meet, and outlines bend more sharply there: measured against the cells that lie
#: alone in the same fields, arcs come out 7 to 13 % too small.
_ARC_TO_DIAMETER = 1.08
#: Two discs that touch fill 0.90 of their hull, a granulocyte's outline 0.95 or more.
_CONVEX_SOLIDITY = 0.92
#: Nuclei take 0.25 to 0.9 of a white cell; platelets on a red cell less.
_LEAST_NUCLEUS_SHARE = 0.2
#: 12 to 15 µm for granulocytes, 7 to 15 µm for lymphocytes and blasts: 12.5 µm.
_USUAL_WHITE_CELL_UM2 = 125.0
_BIN = 0.05  # natural log of the diameter: 5 %, finer than red cells differ
#: Largest circle that fits into a nucleus, 17 µm across: white cells of blood and marrow are 20 µm across at
#: most [1]_. In 480 fields of six sources whose red cells gave the right scale the largest was 187 µm²; where
#: colour fringes of red cells out of focus were taken for red cells it came out as 237 to 876.
_LARGEST_NUCLEUS_CIRCLE_UM2 = 227.0


def red_cell_diameter_px(
    red_cells: NDArray[np.uint8],
    to_stained: NDArray[np.float32] | None = None,
    expected_px: float | None = None,
    least_px: float = 0.0,
) -> tuple[float, float, float]:
    """Find the commonest diameter of round outlines, of cells alone, in piles or cut by the border.

    For each point of the outlines the circle through it and the points ``k`` steps before and behind is
    taken (Menger curvature) for several ``k``; only convex arcs of 60 to 125 degrees count. Piled cells
    keep such arcs, so no cell has to be separated first. The mode over the logarithm is taken; for an
    oval cell the geometric mean of the radii of curvature is that of its axes.

    Parameters
    ----------
    red_cells : (h, w) uint8 mask; holes count as filled
    to_stained : (h, w) float32 distance in px to the nearest stained nucleus. A white cell's own outline
        is centred on its nucleus; a red cell's centre is at least its own radius away from one, so arcs
        whose centre is nearer than that are left out.
    expected_px : diameter that the size of the nuclei suggests, or None; a vote, not a limit
    least_px : smaller circles are no red cells, whatever their number

    Returns
    -------
    diameter in px of the mask (0.0 where there is none), share of the arcs within 15 % of it (0 to 1),
    how many full circles those arcs add up to
    """
    return _commonest_diameter_px(_outlines(red_cells), red_cells.shape, to_stained, expected_px, least_px)


def _outlines(mask: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """Outer outlines of a mask; what lies within one is its own."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(outline, np.int32) for outline in found]


def _commonest_diameter_px(
    outlines: list[NDArray[np.int32]],
    shape: tuple[int, ...],
    to_stained: NDArray[np.float32] | None,
    expected_px: float | None,
    least_px: float,
) -> tuple[float, float, float]:
    height, width = shape
    kept = [c[:, 0, :] for c in outlines if len(c) >= 16]
    if not kept:
        return 0.0, 0.0, 0.0
    xs, ys, size, place = _concatenated(kept)
    thinning = max(1, len(place) // _MAX_POINTS)
    at, size = place[::thinning], size[::thinning]
    steps = np.array(_HALF_CHORDS_PX)[:, None]
    x, y = xs[at], ys[at]
    before_x, before_y, behind_x, behind_y = (
        plane[at + way * steps] for way in (-1, 1) for plane in (xs, ys)
    )
    px, py, qx, qy = x - before_x, y - before_y, behind_x - x, behind_y - y
    cx, cy = behind_x - before_x, behind_y - before_y
    cross = py * qx - px * qy
    product = np.sqrt((px * px + py * py) * (qx * qx + qy * qy) * (cx * cx + cy * cy))
    radius = product / (2 * np.maximum(cross, 1e-6))
    arc = 2.2 * steps / np.maximum(radius, 1e-6)  # a digital outline has 0.91 points per px of length
    good = (size > 4 * steps) & (cross > 0) & (arc > 1.05) & (arc < 2.2)
    for along, across, limit in ((x, (before_x, behind_x), width), (y, (before_y, behind_y), height)):
        good &= (along > 1.5) & (along < limit - 2.5)
        for ends in across:
            good &= (ends > 1.5) & (ends < limit - 2.5)
    _, point = np.nonzero(good)
    votes = np.bincount(point, minlength=len(at))
    radius = radius[good]
    total = np.bincount(point, np.log(2 * radius), len(at))
    inward_x = (behind_x[good] + before_x[good]) / 2 - x[point]
    inward_y = (behind_y[good] + before_y[good]) / 2 - y[point]
    reach = radius / np.maximum(np.sqrt(inward_x * inward_x + inward_y * inward_y), 1e-6)
    centre = np.stack(
        [
            np.bincount(point, start[point] + inward * reach, len(at))
            for start, inward in ((x, inward_x), (y, inward_y))
        ]
    )
    logs = total[votes > 0] / votes[votes > 0]
    if to_stained is not None and len(logs):
        middle = np.rint(centre[:, votes > 0] / votes[votes > 0]).astype(int)
        clearance = to_stained[middle[1].clip(0, height - 1), middle[0].clip(0, width - 1)]
        logs = logs[clearance > _CLEARANCE * np.exp(logs)]
    arcs = len(logs)
    if least_px > 0:
        logs = logs[logs > np.log(least_px / _ARC_TO_DIAMETER)]
    if len(logs) < 20:
        return 0.0, 0.0, 0.0
    counts = np.bincount(((logs - 1.0) / _BIN).clip(0, 99).astype(int), minlength=100)
    smoothed = np.convolve(counts, [1, 2, 3, 3, 3, 2, 1], "same")
    if expected_px is not None:
        mode = 1.0 + _BIN * (int(smoothed.argmax()) + 0.5)
        circles = float((np.abs(logs - mode) < 0.15).sum()) * thinning / (0.91 * np.pi * np.exp(mode))
        away = (1.0 + _BIN * (np.arange(100) + 0.5) - np.log(expected_px)) / _NUCLEUS_SPREAD
        # The nuclei's vote weighs as much as four red cells do.
        smoothed = smoothed * np.exp(-0.5 * away**2 * min(1.0, 4.0 / max(circles, 1e-3)))
    mode = 1.0 + _BIN * (int(smoothed.argmax()) + 0.5)
    near = np.abs(logs - mode) < 0.15
    diameter = float(np.exp(np.median(logs[near])))
    circles = float(near.sum()) * thinning / (0.91 * np.pi * diameter)
    return _ARC_TO_DIAMETER * diameter, float(near.sum()) / arcs, circles


def _concatenated(
    outlines: list[NDArray[np.int32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Outlines one after the other, smoothed, each with enough of its end before its start and vice versa.

    Returns
    -------
    x, y of all points; for each point of the outlines: length of its outline, index of it in x and y
    """
    wrap = max(_HALF_CHORDS_PX) + 2
    lengths = np.array([len(outline) for outline in outlines])
    starts = np.cumsum(lengths) - lengths
    padded = lengths + 2 * wrap
    first = np.cumsum(padded) - padded
    position = np.arange(int(padded.sum())) - np.repeat(first, padded) - wrap
    source = np.repeat(starts, padded) + position % np.repeat(lengths, padded)
    points = np.concatenate(outlines)[source].astype(np.float32)
    x, y = (np.convolve(points[:, axis], np.full(5, 0.2, np.float32), "same") for axis in (0, 1))
    length = np.repeat(lengths, lengths)
    place = np.arange(len(length)) + np.repeat(first + wrap - starts, lengths)
    return x, y, length, place


def round_cell_diameters_px(red_cells: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Diameters in px of the cells that lie alone: round components that do not touch the border."""
    return _round_diameters_px(_outlines(red_cells), red_cells.shape)


def _round_diameters_px(outlines: list[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.float64]:
    height, width = shape
    # 30 px of area need an outline of 16 or more.
    large = [outline for outline in outlines if len(outline) >= 16]
    if not large:
        return np.zeros(0)
    box = np.array([cv2.boundingRect(outline) for outline in large], np.float64)
    # The polygon runs through the pixels' centres: Pick's theorem gives the number of pixels.
    area = np.array([cv2.contourArea(outline) + 0.5 * len(outline) + 1 for outline in large])
    inside = (
        (box[:, 0] > 0) & (box[:, 1] > 0) & (box[:, 0] + box[:, 2] < width) & (box[:, 1] + box[:, 3] < height)
    )
    aspect = box[:, 2] / box[:, 3]
    fill = area / (box[:, 2] * box[:, 3])
    # A disc fills pi/4 of its box; 3/4 <= aspect <= 4/3 lets oval cells through and doublets not.
    isolated = inside & (aspect > 0.75) & (aspect < 1.34) & (np.abs(fill - np.pi / 4) < 0.08) & (area > 30)
    return np.asarray(np.sqrt(area[isolated] * 4 / np.pi), dtype=np.float64)


def isolated_white_cells(
    foreground: NDArray[np.uint8], stained: NDArray[np.uint8], largest_px: float = math.inf
) -> list[NDArray[np.int32]]:
    """Outlines of white cells that nothing touches: convex pieces of foreground with stain in them.

    Parameters
    ----------
    foreground : (h, w) uint8, 1 where a pixel is not blank slide
    stained : (h, w) uint8, 1 where a nucleus is
    largest_px : area beyond which a piece is no single cell

    Returns
    -------
    outlines, each (n, 1, 2) int32 as OpenCV has them
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(
        foreground, cv2.MORPH_OPEN, kernel, iterations=2, borderType=cv2.BORDER_REPLICATE
    )
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found: list[NDArray[np.int32]] = []
    for outline in outlines:
        if len(outline) < 16:
            continue
        area = cv2.contourArea(outline)
        if not 30 < area < largest_px:
            continue
        x, y, w, h = cv2.boundingRect(outline)
        if cv2.countNonZero(stained[y : y + h, x : x + w]) < _LEAST_NUCLEUS_SHARE * area:
            continue
        if area < _CONVEX_SOLIDITY * cv2.contourArea(cv2.convexHull(outline)):
            continue
        inside = np.zeros((h, w), np.uint8)
        cv2.drawContours(inside, [outline], -1, (1,), cv2.FILLED, offset=(-x, -y))
        share = float((stained[y : y + h, x : x + w] & (inside > 0)).sum()) / area
        if share >= _LEAST_NUCLEUS_SHARE:
            found.append(np.asarray(outline, dtype=np.int32))
    return found


def white_cell_scale(
    isolated: list[NDArray[np.int32]], stained: NDArray[np.uint8], shrink: float
) -> float | None:
    """µm per px of the input where white cells that nothing touches hold most of the stain, else None.

    Parameters
    ----------
    isolated : of :func:`isolated_white_cells`
    stained : (h, w) uint8, 1 where a nucleus is
    shrink : input px per px of them
    """
    areas, held = [], 0
    for outline in isolated:
        x, y, w, h = cv2.boundingRect(outline)
        areas.append(cv2.contourArea(outline))
        held += int(stained[y : y + h, x : x + w].sum())
    if not areas or 2 * held < int(stained.sum()):
        return None
    typical = [a for a in areas if a > 0.5 * max(areas)]
    return math.sqrt(_USUAL_WHITE_CELL_UM2 / float(np.median(typical))) / shrink


def measure_scale(
    red_cells: NDArray[np.uint8],
    stained: NDArray[np.uint8],
    shrink: float,
    expected_um_per_px: float | None = None,
    stained_radius_px: float = 0.0,
) -> Scale | None:
    """Find µm per px of the input from a mask of its red cells.

    Parameters
    ----------
    red_cells : (h, w) uint8 mask of red cells, in the reduced image; holes count as filled
    stained : (h, w) uint8 mask of the nuclei, whose surroundings are no red cells
    shrink : input px per px of the masks
    expected_um_per_px : what the size of the nuclei suggests for the input, or None
    stained_radius_px : of the largest circle in the nuclei, px of the masks; no nucleus may come out larger
        than any is

    Returns
    -------
    Scale with source ``red_cells``, or None where no red cells support one
    """
    expected_px = None
    if expected_um_per_px is not None:
        expected_px = RED_CELL_DIAMETER_UM / expected_um_per_px / shrink
    least_px = RED_CELL_DIAMETER_UM * stained_radius_px / math.sqrt(_LARGEST_NUCLEUS_CIRCLE_UM2 / math.pi)
    to_stained = None
    if stained.any():
        to_stained = np.asarray(cv2.distanceTransform(1 - stained, cv2.DIST_L2, 3), dtype=np.float32)
    outlines = _outlines(red_cells)
    diameter, share, circles = _commonest_diameter_px(
        outlines, red_cells.shape, to_stained, expected_px, least_px
    )
    if circles < _LEAST_CIRCLES:
        return None
    isolated = _round_diameters_px(outlines, red_cells.shape)
    isolated = isolated[np.abs(np.log(isolated / diameter)) < 0.3]
    if len(isolated) >= 6:
        diameter = float(np.median(isolated))
    support = 1.0 - float(np.exp(-circles / 4.0))
    return Scale(RED_CELL_DIAMETER_UM / diameter / shrink, "red_cells", min(1.0, 2.0 * share) * support)
