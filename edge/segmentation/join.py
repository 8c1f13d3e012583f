"""Parts of stain that belong to one cell, joined: lobes of a nucleus, halves of a nucleus cut too often."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import (
    MOST_LABELS,
    Labels,
    Mask,
    areas_by_label,
    as_mask,
    histograms_by_label,
    quantile_by_label,
    region_properties,
)

#: Distance of two nuclei's centres over the sum of their cells' (equal-area) radii: two whole cells that
#: touch have 1; pressed flat against each other 0.74 to 0.9 (5th percentile and median over 136 annotated
#: pairs). The halves of one disc have 8√2/(6π) = 0.60, those of an ellipse of 1 : 1.3, cut across, 0.68:
#: two parts as near as that are one cell however large.
_SAME_CELL_DISTANCE = 0.65
#: Farther parts are one cell where they are too small for nuclei of their own. Lobes of one nucleus share
#: 40 to 90 µm² of stain, nuclei of two cells have 40 µm² or more each; where the smaller has 35 to 50 µm²
#: the distance decides alone: 0.46 to 0.86 in one cell (46 pairs), 0.80 and more in two (11 pairs).
_EVEN_DISTANCE = 0.81
_EVEN_STAIN_UM2 = 40.0
#: Distance that a factor e in stain outweighs, from 619 annotated pairs of parts (11 on the wrong side).
_STAIN_SLOPE = 0.5
#: Lobes hang together by threads that stain too thinly to be seen, over gaps of up to 3 µm.
_LOBE_GAP_UM = 3.0
#: Boxes that are compared with those to their right in one step: bounds the memory of a crowded field.
_SWEPT_AT_ONCE = 1024
#: Stain of a part's plateau: the upper quartile is free of its blurred edge.
_PLATEAU_QUANTILE = 0.75


@dataclass(slots=True)
class _Cluster:
    """Parts taken as one cell: sums over its pixels, areas in µm², places in µm."""

    members: list[int]
    area: float
    cell_area: float
    x: float
    y: float
    stain: float
    core: float


def merge_parts(
    cells: Labels, parts: Labels, contrast: Mask, count: int, um_per_px: float
) -> NDArray[np.int32]:
    """Decide which parts are one cell.

    Parameters
    ----------
    cells : (h, w) uint16, whole-cell area of each part
    parts : (h, w) uint16 labels 1..count
    contrast : (h, w) uint8 stain contrast
    count : number of parts
    um_per_px : of these images

    Returns
    -------
    (count + 1,) int32: for each part the least label among those of its cell

    Notes
    -----
    Agglomerative clustering: the pair of adjacent clusters with the highest score is merged first, by a heap;
    what it becomes is scored against its neighbours anew. Two measures make the score, both of which add up
    as parts are merged: how far the parts' centres lie apart, in radii of the cells they would have; and how
    much stain they hold, as the area that it would cover at the darker part's plateau. A nucleus holds a
    fixed amount of DNA, so what has a fraction of it is a lobe; and two cells cannot lie inside each other.
    """
    label = np.arange(count + 1, dtype=np.int32)
    if count < 2:
        return label
    clusters, bboxes = _measure_parts(cells, parts, contrast, count, um_per_px)
    adjacent = _adjacency(cells, parts, bboxes, _LOBE_GAP_UM / um_per_px)
    heap: list[tuple[float, int, int]] = []
    for a in adjacent:
        for b in adjacent[a]:
            if a < b and (score := _merge_score(clusters[a], clusters[b])) > 0:
                heapq.heappush(heap, (-score, a, b))
    newest = count
    while heap:
        _, a, b = heapq.heappop(heap)
        if a not in clusters or b not in clusters:
            continue
        newest += 1
        clusters[newest] = _merged(clusters.pop(a), clusters.pop(b))
        adjacent[newest] = (adjacent.pop(a) | adjacent.pop(b)) - {a, b}
        for other in adjacent[newest]:
            adjacent[other] -= {a, b}
            adjacent[other].add(newest)
            if (score := _merge_score(clusters[other], clusters[newest])) > 0:
                heapq.heappush(heap, (-score, other, newest))
    for cluster in clusters.values():
        label[cluster.members] = min(cluster.members)
    return label


def _merge_score(a: _Cluster, b: _Cluster) -> float:
    """Evidence that two clusters are one cell: positive if they are, in units of relative distance."""
    radii = math.sqrt(a.cell_area / math.pi) + math.sqrt(b.cell_area / math.pi)
    distance = math.hypot(a.x - b.x, a.y - b.y) / radii
    stained = math.sqrt(a.stain * b.stain) / max(a.core, b.core)
    return (
        max(_SAME_CELL_DISTANCE, _EVEN_DISTANCE - _STAIN_SLOPE * math.log(stained / _EVEN_STAIN_UM2))
        - distance
    )


def _merged(a: _Cluster, b: _Cluster) -> _Cluster:
    area = a.area + b.area
    return _Cluster(
        a.members + b.members,
        area,
        a.cell_area + b.cell_area,
        (a.x * a.area + b.x * b.area) / area,
        (a.y * a.area + b.y * b.area) / area,
        a.stain + b.stain,
        max(a.core, b.core),
    )


def _measure_parts(
    cells: Labels, parts: Labels, contrast: Mask, count: int, um_per_px: float
) -> tuple[dict[int, _Cluster], NDArray[np.int64]]:
    """Measure each part, and its box (x0, y0, x1, y1; ends inclusive) in px."""
    size = count + 1
    shapes = region_properties(parts, count)
    histograms = histograms_by_label(parts, contrast, parts > 0, count)
    area = shapes.area
    cell_area = areas_by_label(cells, count)
    core = quantile_by_label(histograms, _PLATEAU_QUANTILE)
    stain = histograms @ np.arange(256)
    unit = um_per_px**2
    clusters = {
        i: _Cluster(
            [i],
            float(area[i]) * unit,
            float(max(cell_area[i], area[i])) * unit,
            float(shapes.x[i]) * um_per_px,
            float(shapes.y[i]) * um_per_px,
            max(1.0, float(stain[i])) * unit,
            max(1.0, float(core[i])),
        )
        for i in range(1, size)
        if area[i]
    }
    return clusters, shapes.bbox


def _adjacency(cells: Labels, parts: Labels, bboxes: NDArray[np.int64], gap_px: float) -> dict[int, set[int]]:
    """For each part those whose cells touch its own, or that lie no farther from it than the gap."""
    adjacent: dict[int, set[int]] = {int(i): set() for i in np.flatnonzero(bboxes[:, 2] >= 0)}
    for here, there in ((cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])):
        row, column = np.divmod(np.flatnonzero(here != there), here.shape[1])
        first, second = here[row, column].astype(np.int64), there[row, column]
        keys = np.unique((first * (MOST_LABELS + 1) + second)[(first > 0) & (second > 0)])
        for a, b in zip(*(side.tolist() for side in np.divmod(keys, MOST_LABELS + 1)), strict=True):
            adjacent[a].add(b)
            adjacent[b].add(a)
    x0, y0, x1, y1 = bboxes.T
    for a, b in _boxes_within(bboxes, math.ceil(gap_px)):
        if b in adjacent[a]:
            continue
        window = parts[min(y0[a], y0[b]) : max(y1[a], y1[b]) + 1, min(x0[a], x0[b]) : max(x1[a], x1[b]) + 1]
        away = cv2.distanceTransform(as_mask(window != a), cv2.DIST_L2, 3)
        if float(away[window == b].min()) <= gap_px:
            adjacent[a].add(b)
            adjacent[b].add(a)
    return adjacent


def _boxes_within(bboxes: NDArray[np.int64], gap_px: int) -> Iterator[tuple[int, int]]:
    """Pairs of boxes no farther apart than a gap along both axes, by a sweep from left to right.

    A table of all pairs would grow with the square of their number.
    """
    x0, y0, x1, y1 = bboxes.T
    boxes = np.flatnonzero(x1 >= x0)
    boxes = boxes[np.argsort(x0[boxes], kind="stable")]
    ends = np.searchsorted(x0[boxes], x1[boxes] + gap_px, side="right")
    for start in range(0, len(boxes), _SWEPT_AT_ONCE):
        left = np.arange(start, min(start + _SWEPT_AT_ONCE, len(boxes)))
        counts = ends[left] - left - 1
        a = np.repeat(left, counts)
        b = a + 1 + np.arange(len(a)) - np.repeat(np.cumsum(counts) - counts, counts)
        a, b = boxes[a], boxes[b]
        close = (y0[a] - gap_px <= y1[b]) & (y0[b] - gap_px <= y1[a])
        low, high = np.minimum(a[close], b[close]), np.maximum(a[close], b[close])
        yield from zip(low.tolist(), high.tolist(), strict=True)
