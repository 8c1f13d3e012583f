"""Nuclei of a field: found by stain, separated where cells touch, joined where lobes belong together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import (
    Labels,
    Mask,
    as_mask,
    check_count,
    connected_components,
    map_labels,
    maximum_by_label,
    numbered,
)
from edge.segmentation.split import LARGEST_NUCLEUS_UM2, split
from edge.segmentation.windows import open_contrast

_LEAST_PART_UM2 = 3.0
_LEAST_PART_PX = 4.0  # smaller is noise, whatever the scale
#: A lobe is at least 2 µm wide; rims of red cells, threads and precipitate are not.
_LEAST_RADIUS_UM = 0.9
#: Area over that of the inscribed circle. What is nearer to a disc has no lobe that could be a cell: one of
#: 30 % of the larger one's area is joined with it again.
_NEARLY_A_DISC = 1.3
#: Two discs that touch fill 0.90 of their hull; a lobe of a quarter of the other's area leaves 0.93.
_CONVEX_SOLIDITY = 0.94


def find_parts(
    contrast: Mask, threshold: int, roi: NDArray[np.bool_], um_per_px: float
) -> tuple[Labels, int]:
    """Label what is stained like a nucleus, cut where it narrows; one nucleus may still be in several parts.

    Parameters
    ----------
    contrast : (h, w) uint8 stain contrast, see :func:`edge.segmentation.stain.contrast_levels`
    threshold : level above which something is stained
    roi : (h, w) bool, each window's own region of interest, see :func:`edge.segmentation.windows.find_rois`
    um_per_px : of this image

    Returns
    -------
    labels : (h, w) uint16, 0 = none; their number

    Notes
    -----
    Connected components of the opened stain are taken whole where their solidity (area over that of the
    convex hull) or the area over that of the largest inscribed circle (the maximum of the distance transform)
    says that they do not narrow; the others are cut, see :func:`edge.segmentation.split.split`.
    """
    mask = as_mask((open_contrast(contrast, um_per_px) > threshold) & roi)
    blobs, stats = connected_components(mask)
    depth = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32)
    areas, radius = stats[:, 4], maximum_by_label(depth, blobs, len(stats) - 1)
    solid = (radius > _LEAST_RADIUS_UM / um_per_px) & (
        areas >= max(_LEAST_PART_PX, _LEAST_PART_UM2 / um_per_px**2)
    )
    solid[0] = False
    numbers = numbered(solid)
    found = int(numbers.max(initial=0))
    parts = map_labels(blobs, numbers)
    largest = LARGEST_NUCLEUS_UM2 / um_per_px**2
    lobed = solid & (areas >= np.minimum(_NEARLY_A_DISC * np.pi * radius**2, largest))
    for i in np.flatnonzero(lobed).tolist():
        x, y, bw, bh, area = stats[i].tolist()
        window = np.s_[y : y + bh, x : x + bw]
        blob = as_mask(blobs[window] == i)
        if area < largest and _is_convex(blob, area):
            continue
        cut = split(blob, um_per_px, contrast[window])
        pieces = int(cut.max())
        if pieces > 1:
            check_count(found + pieces - 1)
            # The first piece keeps the blob's number.
            names = np.array([0, numbers[i], *range(found + 1, found + pieces)], np.uint16)
            inside = blob > 0
            parts[window][inside] = names[cut[inside]]
            found += pieces - 1
    return parts, found


def _is_convex(blob: Mask, area: int) -> bool:
    """Whether a blob has no neck: it fills its convex hull."""
    outlines, _ = cv2.findContours(blob, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(outlines[0])
    # The hull's polygon runs through the pixels' centres.
    return bool(area > _CONVEX_SOLIDITY * (cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True) + 1))
