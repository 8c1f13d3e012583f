"""Figures of merit of segmentation: matched points, matched boxes, Dice, exactly-one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.structures import Cell
from training.evaluation.truth import Box

Truth = TypeVar("Truth")

#: Share of its box by which a cell may be missed by a point that a person set near the rim.
POINT_SLACK = 0.1

#: Overlap of boxes from which a find counts as the marked cell: the PASCAL VOC criterion [1]_.
#:
#: .. [1] M. Everingham et al., "The PASCAL visual object classes challenge", IJCV 88, 2010.
MIN_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Matching:
    """One-to-one pairs of marked and found cells, and what is left of both (indices).

    Attributes
    ----------
    pairs : (truth index, found index)
    missed : truth indices without a find
    false : found indices without a truth
    """

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    false: tuple[int, ...]


def match(
    truth: Sequence[Truth], found: Sequence[Cell], distance: Callable[[Truth, Cell], float | None]
) -> Matching:
    """Match greedily by increasing distance; ``distance`` gives None where a pair is impossible.

    Greedy rather than optimal assignment: a person who compares two overlays does the same, and a
    cell that is clearly the nearest keeps its partner whatever happens elsewhere in the field.
    """
    candidates = sorted(
        (d, i, j)
        for i, t in enumerate(truth)
        for j, f in enumerate(found)
        if (d := distance(t, f)) is not None
    )
    pairs: list[tuple[int, int]] = []
    free_truth, free_found = set(range(len(truth))), set(range(len(found)))
    for _, i, j in candidates:
        if i in free_truth and j in free_found:
            free_truth.remove(i)
            free_found.remove(j)
            pairs.append((i, j))
    return Matching(tuple(pairs), tuple(sorted(free_truth)), tuple(sorted(free_found)))


def point_distance(point: tuple[float, float], cell: Cell) -> float | None:
    """Distance in px from a marked point to a cell's centroid; None where it lies outside the cell's box."""
    x, y, width, height = cell.bbox
    slack_x, slack_y = POINT_SLACK * width, POINT_SLACK * height
    if x - slack_x <= point[0] <= x + width + slack_x and y - slack_y <= point[1] <= y + height + slack_y:
        return math.hypot(point[0] - cell.x, point[1] - cell.y)
    return None


def centre_distance(box: Box, cell: Cell) -> float | None:
    """Distance in px between the centres; None where the cell's centroid lies outside the box."""
    x, y, width, height = box
    if x <= cell.x <= x + width and y <= cell.y <= y + height:
        return math.hypot(cell.x - x - width / 2, cell.y - y - height / 2)
    return None


def overlap_distance(box: Box, cell: Cell) -> float | None:
    """One minus the boxes' intersection over union; None below ``MIN_IOU``."""
    overlap = intersection_over_union(box, cell.bbox)
    return 1 - overlap if overlap >= MIN_IOU else None


def intersection_over_union(a: Box, b: Box) -> float:
    """Intersection over union of two (x, y, width, height) boxes.

    Examples
    --------
    >>> intersection_over_union((0, 0, 10, 10), (5, 0, 10, 10))
    0.3333333333333333
    """
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice coefficient 2|A∩B| / (|A| + |B|) of two masks; 1 where both are empty [1]_.

    References
    ----------
    .. [1] L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26, 1945.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def dice_of_best_cell(
    nucleus: NDArray[np.bool_],
    cell: NDArray[np.bool_],
    cell_labels: NDArray[np.uint16],
    nucleus_labels: NDArray[np.uint16],
) -> tuple[float, float]:
    """Dice of nucleus and whole cell for the found cell that covers most of the marked one.

    Returns
    -------
    nucleus_dice, cell_dice : 0 and 0 where no found cell touches the marked one
    """
    ids, counts = np.unique(cell_labels[cell & (cell_labels > 0)], return_counts=True)
    if not len(ids):
        return 0.0, 0.0
    best = ids[counts.argmax()]
    return dice(nucleus, nucleus_labels == best), dice(cell, cell_labels == best)
