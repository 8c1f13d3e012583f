"""White cells that nothing touches: all of such a cell is its own, whatever its colour."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge.segmentation.diameter import LEAST_CONTOUR_PX, Contour
from edge.segmentation.labels import Mask, elliptic_kernel

#: Solidity: two discs that touch fill 0.90 of their convex hull, a granulocyte's outline 0.95 or more.
_LEAST_SOLIDITY = 0.92
#: Nuclei take 0.25 to 0.9 of a white cell; platelets on a red cell less.
_LEAST_NUCLEUS_SHARE = 0.2
_LEAST_AREA_PX = 30
#: Openings with 3 x 3 px that part cells which touch in a few px; with one the cells of 95 real fields are
#: the same, with three those of one differ.
_OPENINGS = 2
_FRINGE_UM = 1.0  # between the foreground's outline and the faintest edge of a cell


def isolated_white_cells(foreground: Mask, nuclei: Mask, largest_px: float = math.inf) -> list[Contour]:
    """Contours of the convex pieces of foreground with a nucleus in them.

    Parameters
    ----------
    foreground : (h, w) uint8, 1 where a pixel is not blank slide
    nuclei : (h, w) uint8, 1 where a nucleus is
    largest_px : area beyond which a piece is no single cell

    Returns
    -------
    contours, each (n, 1, 2) int32 as OpenCV has them
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(
        foreground, cv2.MORPH_OPEN, kernel, iterations=_OPENINGS, borderType=cv2.BORDER_REPLICATE
    )
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found: list[Contour] = []
    for contour in contours:
        if len(contour) < LEAST_CONTOUR_PX:
            continue
        area = cv2.contourArea(contour)
        if not _LEAST_AREA_PX < area < largest_px:
            continue
        x, y, w, h = cv2.boundingRect(contour)
        nuclei_near = nuclei[y : y + h, x : x + w]
        if cv2.countNonZero(nuclei_near) < _LEAST_NUCLEUS_SHARE * area:
            continue
        if area < _LEAST_SOLIDITY * cv2.contourArea(cv2.convexHull(contour)):
            continue
        inside = np.zeros((h, w), np.uint8)
        cv2.drawContours(inside, [contour], -1, (1,), cv2.FILLED, offset=(-x, -y))
        if cv2.countNonZero(nuclei_near & inside) >= _LEAST_NUCLEUS_SHARE * area:
            found.append(np.asarray(contour, dtype=np.int32))
    return found


def isolated_mask(foreground: Mask, nuclei: Mask, um_per_px: float, largest_um2: float) -> Mask:
    """Mask of the isolated white cells of at most an area, with their faint edge."""
    mask = np.zeros(foreground.shape, np.uint8)
    contours = isolated_white_cells(foreground, nuclei, largest_um2 / um_per_px**2)
    if not contours:
        return mask
    cv2.drawContours(mask, contours, -1, (1,), cv2.FILLED)
    return np.asarray(cv2.dilate(mask, elliptic_kernel(_FRINGE_UM / um_per_px)), dtype=np.uint8)
