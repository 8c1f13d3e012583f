"""Whole-cell outlines: nucleus and cytoplasm against blank slide, red cells and neighbours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segment_labels import Labels, Mask, ellipse, windows

#: The widest rim of cytoplasm around a nucleus that is looked for (monocytes, large granulocytes).
_REACH_UM = 5.0
#: Half the maximum is where a blurred edge lies; 0.45 because chromatin's plateau is uneven.
_EDGE_SHARE = 0.45
_LARGEST_HOLE_UM2 = 2.0


def territories(parts: Labels, body: Mask, um_per_px: float) -> Labels:
    """Give each pixel of cytoplasm within reach to the nearest nucleus.

    Parameters
    ----------
    parts : (h, w) int32 labels of nuclei
    body : (h, w) uint8, 1 where a pixel may be cytoplasm or nucleus
    um_per_px : of this image

    Returns
    -------
    (h, w) int32 labels, same numbers
    """
    inside = parts > 0
    if not inside.any():
        return parts
    distance, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    owner[nearest[inside]] = parts[inside]
    allowed = inside | ((body > 0) & (distance <= _REACH_UM / um_per_px))
    return np.where(allowed, owner[nearest], 0).astype(np.int32)


def smooth_cells(territory: Labels, nuclei: Labels, count: int, um_per_px: float) -> Labels:
    """Whole cells: what hangs together with the nucleus, without threads, with holes filled."""
    cells = np.zeros_like(territory)
    kernel = ellipse(1.6 / um_per_px)
    h, w = territory.shape
    for i, (rows, columns) in windows(territory, count):
        window = np.s_[
            max(0, rows.start - 1) : min(h, rows.stop + 1),
            max(0, columns.start - 1) : min(w, columns.stop + 1),
        ]
        own = (territory[window] == i).astype(np.uint8)
        nucleus = (nuclei[window] == i).astype(np.uint8)
        smooth = cv2.morphologyEx(own, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_REPLICATE) | nucleus
        number, parts = cv2.connectedComponents(smooth)
        if number > 2:
            hit = np.unique(parts[nucleus > 0])
            smooth = np.isin(parts, hit[hit > 0]).astype(np.uint8)
        outlines, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        whole = np.zeros_like(smooth)
        cv2.drawContours(whole, outlines, -1, (1,), cv2.FILLED)
        target = cells[window]
        target[(whole > 0) & ((target == 0) | (nucleus > 0))] = i
    return cells


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
