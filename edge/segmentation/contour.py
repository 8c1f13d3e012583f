"""Contours of a cell and its nucleus: what a reader is shown of where segmentation saw them end."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.result import Segmentation
from edge.structures import Cell, Contours, Polygon

#: A polygon's greatest distance from the outline that it stands for, µm: what a light microscope resolves. A
#: cell's polygon and its mask then have 0.98 of their area in common, in 100 bytes.
_TOLERANCE_UM = 0.2
#: ... and least distance, px of the field: below it a polygon follows the staircase of its own pixels.
_LEAST_TOLERANCE_PX = 0.8
#: Share of the largest piece's area below which a piece of a nucleus is a speck. A lobe has a fifth or more.
_SPECK = 0.05


def contours_of(segmentation: Segmentation, cell: Cell) -> Contours:
    """Trace one cell.

    Parameters
    ----------
    segmentation : of the field
    cell : one of its cells

    Returns
    -------
    the whole cell's outline, which is one polygon, and one for each piece of the nucleus; holes are left out

    Notes
    -----
    Borders are followed as by Suzuki and Abe [1]_ and simplified as by Douglas and Peucker [2]_.

    References
    ----------
    .. [1] S. Suzuki, K. Abe, "Topological structural analysis of digitized binary images by border
       following",
       Computer Vision, Graphics, and Image Processing 30(1), 1985.
    .. [2] D. H. Douglas, T. K. Peucker, "Algorithms for the reduction of the number of points required to
       represent a digitized line or its caricature", Cartographica 10(2), 1973.
    """
    corner, whole, nucleus = segmentation.masks_of(cell)
    tolerance_px = max(_LEAST_TOLERANCE_PX, _TOLERANCE_UM / segmentation.scale.um_per_px)
    return Contours(
        tuple(_polygons(whole, corner, tolerance_px)[:1]), tuple(_polygons(nucleus, corner, tolerance_px))
    )


def _polygons(mask: NDArray[np.bool_], corner: tuple[int, int], tolerance_px: float) -> list[Polygon]:
    """Give the outlines of a mask's pieces, the largest first, without specks."""
    found, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
    # Twice the area of what lies between the centres of the px; a piece of one px or a line has none.
    areas = [cv2.contourArea(outline) for outline in found]
    order = sorted(range(len(found)), key=lambda i: -areas[i])
    least = _SPECK * max(areas, default=0.0)
    polygons = []
    for i in order:
        if areas[i] > least or i == order[0]:
            points = cv2.approxPolyDP(found[i], tolerance_px, closed=True)[:, 0]
            polygons.append(tuple((int(x), int(y)) for x, y in points.tolist()))
    return polygons
