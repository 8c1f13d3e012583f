"""Whole-cell outlines: nucleus and cytoplasm against blank slide, red cells and neighbours."""

from __future__ import annotations

import cv2
import numpy as np

from edge.segment_labels import Labels, Mask, ellipse, windows

#: The widest rim of cytoplasm around a nucleus that is looked for (monocytes, large granulocytes).
_REACH_UM = 5.0


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
