"""Cells that touch: a blob of stain cut where it narrows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segment_labels import Labels, Mask, ellipse

#: Two convex nuclei that touch meet in a neck narrower than this share of the smaller one's width.
_NECK = 0.9


def split(blob: Mask, um_per_px: float) -> Labels:
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
