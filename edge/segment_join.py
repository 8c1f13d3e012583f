"""Lobes and over-cut cells: parts that belong to one cell joined again."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segment_labels import Labels

#: Lobes of one nucleus: each at most 30 µm² ..., together inside a circle of 13 µm.
_LOBE_AREA_UM2 = 30.0
_LOBED_AREA_UM2 = 90.0
_LOBED_SPAN_UM = 12.5
_LOBE_GAP_UM = 2.5
#: Cut lengths, in diameters of the smaller part, from which on a cut is doubted.
_JOIN_CONTACT = 0.6
#: Worth of one cell less, in shares of a part's area: the simpler account wins a draw.
_CELL_COST = 0.01
_LARGEST_CELL_UM2 = 290.0


def join_parts(territory: Labels, parts: Labels, count: int, um_per_px: float) -> NDArray[np.int32]:
    """Decide which parts are one cell, from the whole-cell areas they lie in.

    Only parts that share a long border are looked at: a cell cut through its middle has a cut longer than
    either half's own (equal-area) diameter, 1.41 times for a disc. Among them that grouping is taken whose
    cells are most like ellipses: 1.00 for a disc in one piece against 0.95 for its halves, 0.90 for two
    discs that touch against 1.00 apart.

    Returns
    -------
    (count + 1,) int32: new label of each part
    """
    area = np.bincount(territory.ravel(), minlength=count + 1).astype(np.float64)
    contact: dict[tuple[int, int], NDArray[np.float64]] = {}
    for axis, (first, second) in enumerate(
        ((territory[:, :-1], territory[:, 1:]), (territory[:-1], territory[1:]))
    ):
        meet = (first != second) & (first > 0) & (second > 0)
        low, high = np.minimum(first[meet], second[meet]), np.maximum(first[meet], second[meet])
        keys, counts = np.unique(low.astype(np.int64) * (count + 1) + high, return_counts=True)
        for key, n in zip(keys.tolist(), counts.tolist(), strict=True):
            pair = (key // (count + 1), key % (count + 1))
            contact.setdefault(pair, np.zeros(2))[axis] += n
    lengths = {pair: float(np.hypot(*steps)) for pair, steps in contact.items()}
    ys, xs = np.nonzero(territory)
    ids = territory[ys, xs]
    sums = [np.bincount(ids, weights=v, minlength=count + 1) for v in (xs, ys, xs * xs, ys * ys, xs * ys)]
    moments = np.stack([area, *sums], axis=1)
    edges = [
        pair
        for pair, length in lengths.items()
        if length > _JOIN_CONTACT * np.sqrt(min(area[pair[0]], area[pair[1]]) * 4 / np.pi)
    ]
    group = np.arange(count + 1, dtype=np.int32)
    largest_px = _LARGEST_CELL_UM2 / um_per_px**2
    for cluster in _clusters(edges, count):
        for cell in _best_partition(cluster, edges, moments, largest_px):
            group[list(cell)] = min(cell)
    return group


def _clusters(edges: list[tuple[int, int]], count: int) -> list[list[int]]:
    """Collect the parts that hang together by the given contacts."""
    group = list(range(count + 1))
    for a, b in edges:
        low, high = min(group[a], group[b]), max(group[a], group[b])
        if low != high:
            group = [low if g == high else g for g in group]
    sets: dict[int, list[int]] = {}
    for part in range(1, count + 1):
        sets.setdefault(group[part], []).append(part)
    return [members for members in sets.values() if len(members) > 1]


def _ellipse_share(moments: NDArray[np.float64]) -> float:
    """Area over that of the ellipse of the same second moments: 1 for an ellipse, else less [1]_.

    References
    ----------
    .. [1] P. L. Rosin, "Measuring shape: ellipticity, rectangularity, and triangularity", Machine Vision
       and Applications 14, 172-184, 2003.
    """
    area = moments[0]
    x, y = moments[1] / area, moments[2] / area
    xx, yy = moments[3] / area - x * x + 1 / 12, moments[4] / area - y * y + 1 / 12
    xy = moments[5] / area - x * y
    return float(area / (4 * np.pi * np.sqrt(max(xx * yy - xy * xy, 1e-9))))


def _best_partition(
    cluster: list[int], edges: list[tuple[int, int]], moments: NDArray[np.float64], largest_px: float
) -> list[frozenset[int]]:
    """Group the parts of a cluster so that its cells are as elliptic as they can be, and few."""
    best = [frozenset([part]) for part in cluster]

    def worth(cell: frozenset[int]) -> float:
        total = moments[list(cell)].sum(axis=0)
        if len(cell) > 1 and total[0] > largest_px:
            return -np.inf
        return float(total[0] * _ellipse_share(total) - _CELL_COST * whole)

    whole = float(moments[cluster, 0].sum()) / len(cluster)
    near = {part: {b if a == part else a for a, b in edges if part in (a, b)} for part in cluster}
    while len(best) > 1:
        options: list[tuple[float, tuple[frozenset[int], ...]]] = []
        worths = {cell: worth(cell) for cell in best}
        pairs = [
            (a, b) for i, a in enumerate(best) for b in best[i + 1 :] if any(near[part] & b for part in a)
        ]
        sets = [frozenset([a, b]) for a, b in pairs]
        sets += [frozenset([a, b, c]) for a, b in pairs for c in best if any(near[p] & c for p in a | b)]
        for candidate in set(sets):
            joined = frozenset().union(*candidate)
            gain = worth(joined) - sum(worths[cell] for cell in candidate)
            options.append((gain, tuple(candidate)))
        if not options:
            break
        gain, chosen = max(options, key=lambda option: option[0])
        if gain <= 0:
            break
        best = [cell for cell in best if cell not in chosen] + [frozenset().union(*chosen)]
    return best


def join_lobes(lobes: Labels, count: int, um_per_px: float) -> NDArray[np.int32]:
    """Join lobes that are too small, too near and together too compact to be several cells."""
    group = np.arange(count + 1, dtype=np.int32)
    if count < 2:
        return group
    pad = max(2, round(_LOBE_GAP_UM / um_per_px))
    areas = np.bincount(lobes.ravel(), minlength=count + 1) * um_per_px**2
    boxes = np.zeros((count + 1, 4), np.int64)
    outlines: list[NDArray[np.int32] | None] = [None]
    h, w = lobes.shape
    ys, xs = np.nonzero(lobes)
    ids = lobes[ys, xs]
    low = np.full((count + 1, 2), max(h, w))
    high = np.full((count + 1, 2), -1)
    np.minimum.at(low, ids, np.stack([xs, ys], 1))
    np.maximum.at(high, ids, np.stack([xs, ys], 1))
    boxes = np.concatenate([low, high], axis=1)
    for i in range(1, count + 1):
        x0, y0, x1, y1 = boxes[i]
        part = (lobes[y0 : y1 + 1, x0 : x1 + 1] == i).astype(np.uint8)
        if not part.any():
            outlines.append(None)
            continue
        found, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(int(x0), int(y0)))
        outlines.append(np.concatenate([c[:, 0, :] for c in found]).astype(np.int32))
    pairs: list[tuple[float, int, int]] = []
    for i in range(1, count + 1):
        near = np.nonzero(
            (boxes[:, 0] <= boxes[i, 2] + pad)
            & (boxes[:, 2] >= boxes[i, 0] - pad)
            & (boxes[:, 1] <= boxes[i, 3] + pad)
            & (boxes[:, 3] >= boxes[i, 1] - pad)
        )[0]
        for j in near[near > i].tolist():
            if min(areas[i], areas[j]) > _LOBE_AREA_UM2:
                continue
            a, b = outlines[i], outlines[j]
            if a is None or b is None:
                continue
            gap = np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(2).min()) * um_per_px
            if gap <= _LOBE_GAP_UM:
                pairs.append((float(gap) + 0.05 * float(max(areas[i], areas[j])), i, j))
    members: list[list[int]] = [[i] for i in range(count + 1)]
    for _, i, j in sorted(pairs):
        gi, gj = int(group[i]), int(group[j])
        if gi == gj:
            continue
        both = members[gi] + members[gj]
        area_i, area_j = float(areas[members[gi]].sum()), float(areas[members[gj]].sum())
        if area_i + area_j > _LOBED_AREA_UM2 or min(area_i, area_j) > _LOBE_AREA_UM2 * 1.5:
            continue
        cloud = np.concatenate([o for m in both if (o := outlines[m]) is not None])
        _, radius = cv2.minEnclosingCircle(cloud)
        if 2 * radius * um_per_px > _LOBED_SPAN_UM:
            continue
        members[gi] = both
        for m in both:
            group[m] = gi
    return group
