"""Nuclei of a field: found by stain, separated where cells touch, joined where lobes belong together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Labels = NDArray[np.int32]

#: Contrast is held in 8 bits: 200 levels to one density unit, 0.005 a level.
LEVELS = 200.0
#: Beyond 0.7 (a fifth of the light) an 8-bit camera's black level and flare decide, not the stain.
_DARKEST = 0.7
#: Two convex nuclei that touch meet in a neck narrower than this share of the smaller one's width.
_NECK = 0.9
#: Half the maximum is where a blurred edge lies; 0.45 because chromatin's plateau is uneven.
_EDGE_SHARE = 0.45
#: Lobes of one nucleus: each at most 30 µm² ..., together inside a circle of 13 µm.
_LOBE_AREA_UM2 = 30.0
_LOBED_AREA_UM2 = 90.0
_LOBED_SPAN_UM = 12.5
_LOBE_GAP_UM = 2.5
_LEAST_PART_UM2 = 3.0
#: A lobe is at least 2 µm wide; rims of red cells, threads and precipitate are not.
_LEAST_RADIUS_UM = 0.9
#: Cut lengths, in diameters of the smaller part, from which on a cut is doubted.
_JOIN_CONTACT = 0.6
#: Worth of one cell less, in shares of a part's area: the simpler account wins a draw.
_CELL_COST = 0.01
_LARGEST_CELL_UM2 = 290.0
_LARGEST_HOLE_UM2 = 2.0


def ellipse(diameter_px: float) -> Mask:
    """Odd elliptic structuring element of about the given diameter, at least 3 px."""
    side = max(3, 2 * round((diameter_px - 1) / 2) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def contrast_levels(contrast: NDArray[np.float32]) -> Mask:
    """Stain contrast in 8 bits."""
    return np.asarray(cv2.convertScaleAbs(np.clip(contrast, 0, _DARKEST), alpha=LEVELS), dtype=np.uint8)


def stained_threshold(opened: Mask, floor: float) -> int:
    """Level above which something is stained like a nucleus or the body of a white cell."""
    histogram = np.bincount(opened.ravel(), minlength=256).astype(np.float64)
    least = max(1, round(floor * LEVELS))
    histogram[:least] = 0
    if histogram.sum() < 20:
        return least
    # Core stain of the field: upper quartile of what lies above the floor.
    cumulative = np.cumsum(histogram) / histogram.sum()
    core = int(np.searchsorted(cumulative, 0.75))
    return max(least, round(0.35 * core))


def find_parts(levels: Mask, um_per_px: float, floor: float) -> tuple[Labels, int]:
    """Label what is stained like a nucleus, cut where it narrows; one nucleus may still be in several parts.

    Parameters
    ----------
    levels : (h, w) uint8 stain contrast, see :func:`contrast_levels`
    um_per_px : of this image
    floor : least contrast that is a stained cell, in density units

    Returns
    -------
    labels : (h, w) int32, 0 = none; their number
    """
    opened = levels
    if um_per_px < 0.6:
        opened = np.asarray(
            cv2.morphologyEx(levels, cv2.MORPH_OPEN, ellipse(1.4 / um_per_px)), dtype=np.uint8
        )
    threshold = stained_threshold(opened, floor)
    mask = (opened > threshold).astype(np.uint8)
    count, blobs, stats, _ = cv2.connectedComponentsWithStats(mask)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    solid = np.zeros(count, np.bool_)
    solid[np.unique(blobs[depth * um_per_px > _LEAST_RADIUS_UM])] = True
    parts = np.zeros(levels.shape, np.int32)
    found = 0
    least_px = max(4.0, _LEAST_PART_UM2 / um_per_px**2)
    for i in range(1, count):
        if stats[i, 4] < least_px or not solid[i]:
            continue
        x, y, bw, bh = (int(v) for v in stats[i, :4])
        window = np.s_[y : y + bh, x : x + bw]
        blob = (blobs[window] == i).astype(np.uint8)
        cut = _split(blob, um_per_px)
        target = parts[window]
        inside = blob > 0
        target[inside] = cut[inside] + found
        found += int(cut.max())
    return parts, found


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


def renumber(group: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Labels 1..n without gaps for groups named after one of their members (0 stays 0)."""
    _, new = np.unique(group, return_inverse=True)
    return new.astype(np.int32), int(new.max(initial=0))


def refine_nuclei(levels: Mask, parts: Labels, count: int, um_per_px: float) -> Labels:
    """Draw each nucleus at half the height of its own stain."""
    nuclei = np.zeros_like(parts)
    hole_px = _LARGEST_HOLE_UM2 / um_per_px**2
    for i, window in windows(parts, count):
        part = parts[window] == i
        core = float(np.percentile(levels[window][part], 85))
        inner = levels[window][part & (levels[window] > _EDGE_SHARE * core)]
        if inner.size == 0:
            continue
        core = float(np.percentile(inner, 75))
        nucleus = part & (levels[window] > _EDGE_SHARE * core)
        nuclei[window][_without_specks(nucleus, hole_px)] = i
    return nuclei


def _without_specks(nucleus: NDArray[np.bool_], hole_px: float) -> NDArray[np.bool_]:
    """Fill holes and drop islands that are smaller than any lobe."""
    out = nucleus.astype(np.uint8)
    for value in (1, 0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (out != value).astype(np.uint8), connectivity=4
        )
        small = stats[:, 4] < hole_px
        small[0] = False
        out[small[labels]] = value
    return out > 0


def windows(labels: Labels, count: int) -> list[tuple[int, tuple[slice, slice]]]:
    """Bounding window of each label that is present."""
    ys, xs = np.nonzero(labels)
    ids = labels[ys, xs]
    h, w = labels.shape
    low = np.full((count + 1, 2), max(h, w))
    high = np.full((count + 1, 2), -1)
    np.minimum.at(low, ids, np.stack([ys, xs], 1))
    np.maximum.at(high, ids, np.stack([ys, xs], 1))
    return [
        (i, (slice(int(low[i, 0]), int(high[i, 0]) + 1), slice(int(low[i, 1]), int(high[i, 1]) + 1)))
        for i in range(1, count + 1)
        if high[i, 0] >= 0
    ]


def _split(blob: Mask, um_per_px: float) -> Labels:
    """Cut a blob at its necks."""
    padded = cv2.copyMakeBorder(blob, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    exact = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    distance = np.asarray(cv2.GaussianBlur(exact, (0, 0), max(0.6, 0.3 / um_per_px)), dtype=np.float32)
    if float(distance.max()) * um_per_px < 1.0:
        return blob.astype(np.int32)
    around = ellipse(2.0 / um_per_px)
    summit = (distance >= cv2.dilate(distance, around) - 1e-6) & (distance * um_per_px > 0.8) & (blob > 0)
    count, markers, _, centres = cv2.connectedComponentsWithStats(summit.astype(np.uint8))
    if count <= 2:
        return blob.astype(np.int32)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, np.asarray(markers, np.int32)[summit], distance[summit])
    # Power diagram of the inscribed circles: two circles that overlap are parted along their common chord.
    ys, xs = np.nonzero(blob)
    away = (xs[:, None] - centres[None, 1:, 0]) ** 2 + (ys[:, None] - centres[None, 1:, 1]) ** 2
    power = away - peaks[None, 1:] ** 2
    parts = np.zeros(blob.shape, np.int32)
    parts[ys, xs] = power.argmin(axis=1) + 1
    return _merge_wide_necks(parts, distance, peaks)


def _merge_wide_necks(basins: Labels, distance: NDArray[np.float32], peaks: NDArray[np.float32]) -> Labels:
    """Undo cuts whose neck is nearly as wide as the smaller part."""
    saddles: dict[tuple[int, int], float] = {}
    for first, second, height in (
        (basins[:, :-1], basins[:, 1:], np.minimum(distance[:, :-1], distance[:, 1:])),
        (basins[:-1], basins[1:], np.minimum(distance[:-1], distance[1:])),
    ):
        meet = (first != second) & (first > 0) & (second > 0)
        for a, b, s in zip(first[meet].tolist(), second[meet].tolist(), height[meet].tolist(), strict=True):
            key = (min(a, b), max(a, b))
            saddles[key] = max(saddles.get(key, 0.0), s)
    parent = list(range(len(peaks)))
    top = peaks.tolist()

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for (a, b), saddle in sorted(saddles.items(), key=lambda item: -item[1]):
        ra, rb = root(a), root(b)
        if ra != rb and saddle > _NECK * min(top[ra], top[rb]):
            parent[rb] = ra
            top[ra] = max(top[ra], top[rb])
    new = np.zeros(len(peaks), np.int32)
    numbers: dict[int, int] = {}
    for i in range(1, len(peaks)):
        new[i] = numbers.setdefault(root(i), len(numbers) + 1)
    return new[basins]


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
