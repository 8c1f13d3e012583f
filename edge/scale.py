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
_CONVEX = 0.92
#: Nuclei take 0.25 to 0.9 of a white cell; platelets on a red cell less.
_LEAST_NUCLEUS_SHARE = 0.2
#: 12 to 15 µm for granulocytes, 7 to 15 µm for lymphocytes and blasts: 12.5 µm.
_USUAL_WHITE_CELL_UM2 = 125.0
_BIN = 0.05  # natural log of the diameter: 5 %, finer than red cells differ


def red_cell_diameter_px(
    red_cells: NDArray[np.uint8],
    to_stained: NDArray[np.float32] | None = None,
    expected_px: float | None = None,
) -> tuple[float, float, float]:
    """Find the commonest diameter of round outlines, of cells alone, in piles or cut by the border.

    For each point of the outlines the circle through it and the points ``k`` steps before and behind is
    taken (Menger curvature) for several ``k``; only convex arcs of 60 to 125 degrees count. Piled cells
    keep such arcs, so no cell has to be separated first. The mode over the logarithm is taken; for an
    oval cell the geometric mean of the radii of curvature is that of its axes.

    Parameters
    ----------
    red_cells : (h, w) uint8 mask, holes filled
    to_stained : (h, w) float32 distance in px to the nearest stained nucleus. A white cell's own outline
        is centred on its nucleus; a red cell's centre is at least its own radius away from one, so arcs
        whose centre is nearer than that are left out.
    expected_px : diameter that the size of the nuclei suggests, or None; a vote, not a limit

    Returns
    -------
    diameter in px of the mask (0.0 where there is none), share of the arcs within 15 % of it (0 to 1),
    how many full circles those arcs add up to
    """
    height, width = red_cells.shape
    outlines, _ = cv2.findContours(red_cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    kept = [c[:, 0, :] for c in outlines if len(c) >= 16]
    if not kept:
        return 0.0, 0.0, 0.0
    lengths = np.array([len(c) for c in kept])
    pixels = np.concatenate(kept)
    points = pixels.astype(np.float32)
    start = np.repeat(np.cumsum(lengths) - lengths, lengths)
    length = np.repeat(lengths, lengths)
    position = np.arange(len(points)) - start
    smooth = np.zeros_like(points)
    for step in (-2, -1, 0, 1, 2):
        smooth += points[start + (position + step) % length] / 5
    inside = (
        (points[:, 0] > 1) & (points[:, 1] > 1) & (points[:, 0] < width - 2) & (points[:, 1] < height - 2)
    )
    thinning = max(1, len(points) // _MAX_POINTS)
    chosen = np.arange(0, len(points), thinning)
    here, first, size, place = smooth[chosen], start[chosen], length[chosen], position[chosen]
    total = np.zeros(len(chosen), np.float32)
    votes = np.zeros(len(chosen), np.float32)
    centre = np.zeros_like(here)
    for k in _HALF_CHORDS_PX:
        before, behind = first + (place - k) % size, first + (place + k) % size
        p, q = here - smooth[before], smooth[behind] - here
        chord = smooth[behind] - smooth[before]
        cross = p[:, 1] * q[:, 0] - p[:, 0] * q[:, 1]
        product = np.sqrt((p * p).sum(1) * (q * q).sum(1) * (chord * chord).sum(1))
        radius = product / (2 * np.maximum(cross, 1e-6))
        arc = 2.2 * k / np.maximum(radius, 1e-6)  # a digital outline has 0.91 points per px of length
        good = (size > 4 * k) & inside[chosen] & inside[before] & inside[behind]
        good &= (cross > 0) & (arc > 1.05) & (arc < 2.2)
        total[good] += np.log(2 * radius[good])
        inward = (smooth[behind] + smooth[before]) / 2 - here
        inward /= np.maximum(np.sqrt((inward * inward).sum(1)), 1e-6)[:, None]
        centre[good] += here[good] + inward[good] * radius[good][:, None]
        votes[good] += 1
    logs = total[votes > 0] / votes[votes > 0]
    if to_stained is not None and len(logs):
        at = np.rint(centre[votes > 0] / votes[votes > 0][:, None]).astype(int)
        clearance = to_stained[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]
        logs = logs[clearance > _CLEARANCE * np.exp(logs)]
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
    return _ARC_TO_DIAMETER * diameter, float(near.mean()), circles


def round_cell_diameters_px(red_cells: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Diameters in px of the cells that lie alone: round components that do not touch the border."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(red_cells)
    box = stats[1:].astype(np.float64)
    height, width = red_cells.shape
    inside = (
        (box[:, 0] > 0) & (box[:, 1] > 0) & (box[:, 0] + box[:, 2] < width) & (box[:, 1] + box[:, 3] < height)
    )
    aspect = box[:, 2] / np.maximum(box[:, 3], 1)
    fill = box[:, 4] / np.maximum(box[:, 2] * box[:, 3], 1)
    # A disc fills pi/4 of its box; 3/4 <= aspect <= 4/3 lets oval cells through and doublets not.
    alone = inside & (aspect > 0.75) & (aspect < 1.34) & (np.abs(fill - np.pi / 4) < 0.08) & (box[:, 4] > 30)
    return np.asarray(np.sqrt(box[alone, 4] * 4 / np.pi), dtype=np.float64)


def cells_alone(
    foreground: NDArray[np.uint8], stained: NDArray[np.bool_], largest_px: float = math.inf
) -> list[NDArray[np.int32]]:
    """Outlines of white cells that nothing touches: convex pieces of foreground with stain in them.

    Parameters
    ----------
    foreground : (h, w) uint8, 1 where a pixel is not blank slide
    stained : (h, w) bool, where a nucleus is
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
        area = cv2.contourArea(outline)
        if not 30 < area < largest_px:
            continue
        x, y, w, h = cv2.boundingRect(outline)
        if np.count_nonzero(stained[y : y + h, x : x + w]) < _LEAST_NUCLEUS_SHARE * area:
            continue
        if area < _CONVEX * cv2.contourArea(cv2.convexHull(outline)):
            continue
        inside = np.zeros((h, w), np.uint8)
        cv2.drawContours(inside, [outline], -1, (1,), cv2.FILLED, offset=(-x, -y))
        share = float((stained[y : y + h, x : x + w] & (inside > 0)).sum()) / area
        if share >= _LEAST_NUCLEUS_SHARE:
            found.append(np.asarray(outline, dtype=np.int32))
    return found


def white_cell_scale(
    foreground: NDArray[np.uint8], stained: NDArray[np.bool_], shrink: float
) -> float | None:
    """µm per px of the input where white cells that nothing touches hold most of the stain, else None."""
    areas, held = [], 0
    for outline in cells_alone(foreground, stained):
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
) -> Scale | None:
    """Find µm per px of the input from a mask of its red cells.

    Parameters
    ----------
    red_cells : (h, w) uint8 mask of red cells, holes filled, in the reduced image
    stained : (h, w) uint8 mask of the nuclei, whose surroundings are no red cells
    shrink : input px per px of the masks
    expected_um_per_px : what the size of the nuclei suggests for the input, or None

    Returns
    -------
    Scale with source ``red_cells``, or None where no red cells support one
    """
    to_stained = None
    if stained.any():
        to_stained = np.asarray(cv2.distanceTransform(1 - stained, cv2.DIST_L2, 5), dtype=np.float32)
    expected_px = None
    if expected_um_per_px is not None:
        expected_px = RED_CELL_DIAMETER_UM / expected_um_per_px / shrink
    diameter, share, circles = red_cell_diameter_px(red_cells, to_stained, expected_px)
    if circles < _LEAST_CIRCLES:
        return None
    alone = round_cell_diameters_px(red_cells)
    alone = alone[np.abs(np.log(alone / diameter)) < 0.3]
    if len(alone) >= 6:
        diameter = float(np.median(alone))
    support = 1.0 - float(np.exp(-circles / 4.0))
    return Scale(RED_CELL_DIAMETER_UM / diameter / shrink, "red_cells", min(1.0, 2.0 * share) * support)
