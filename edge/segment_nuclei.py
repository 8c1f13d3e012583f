"""Nuclei of a field: found by stain, separated where cells touch, joined where lobes belong together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segment_labels import Labels, Mask, ellipse
from edge.segment_split import split

#: Contrast is held in 8 bits: 200 levels to one density unit, 0.005 a level.
LEVELS = 200.0
#: Beyond 0.7 (a fifth of the light) an 8-bit camera's black level and flare decide, not the stain.
_DARKEST = 0.7
_LEAST_PART_UM2 = 3.0
#: A lobe is at least 2 µm wide; rims of red cells, threads and precipitate are not.
_LEAST_RADIUS_UM = 0.9


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
        cut = split(blob, um_per_px, levels[window])
        target = parts[window]
        inside = blob > 0
        target[inside] = cut[inside] + found
        found += int(cut.max())
    return parts, found
