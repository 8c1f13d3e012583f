"""Masks as polygons along the edges of their pixels, from which the same masks come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bloodlog import LoggedField
from edge.bloodlog.contours import decode_contours
from edge.segmentation.labels import region_properties
from edge.structures import Polygon as Contour

#: Corners x, y in px of the image, the first not repeated: pixel (0, 0) is the square from (0, 0) to (1, 1).
Ring = list[tuple[int, int]]
#: An outer ring and the rings of its holes.
Polygon = list[Ring]

_SOUTH, _WEST, _NORTH = 1, 2, 3
#: To the east, south, west and north.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True, slots=True)
class CellPolygons:
    """Where a cell lies in its field.

    Attributes
    ----------
    cell : of the whole cell
    nucleus : of its nucleus; none where it has no pixel
    """

    cell: list[Polygon]
    nucleus: list[Polygon]


def cell_polygons(cells: NDArray[np.uint16], nuclei: NDArray[np.uint16]) -> dict[int, CellPolygons]:
    """Outline every cell of a field's label images, by its id."""
    count = int(cells.max(initial=0))
    found = {}
    for number, (left, top, right, bottom) in enumerate(region_properties(cells, count).bbox.tolist()):
        if number and right >= left:
            part = np.s_[top : bottom + 1, left : right + 1]
            found[number] = CellPolygons(
                *(polygons(labels[part] == number, left, top) for labels in (cells, nuclei))
            )
    return found


def logged_polygons(logged: LoggedField) -> dict[int, CellPolygons]:
    """Outline the cells of a logged field that has contours, by their ids.

    Contours have fewer points than cells have px at their edge, so that these are nearly the pixels that
    segmentation found: :mod:`edge.segmentation.contour` says how nearly.
    """
    found = {}
    for classified in logged.result.cells:
        cell = classified.cell
        text = logged.contours.get(cell.id)
        if text is not None:
            contours = decode_contours(text, cell.bbox[:2])
            found[cell.id] = CellPolygons(_filled(contours.cell), _filled(contours.nucleus))
    return found


def _filled(contours: Sequence[Contour]) -> list[Polygon]:
    """Give the pixels within contours through pixels' centres, those of the contours among them."""
    if not contours:
        return []
    corners = [np.array(contour, np.int32) for contour in contours]
    left, top = np.concatenate(corners).min(axis=0).tolist()
    right, bottom = np.concatenate(corners).max(axis=0).tolist()
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    for contour in corners:
        cv2.fillPoly(mask, [contour - (left, top)], (1,))
    return polygons(mask > 0, left, top)


def polygons(mask: NDArray[np.bool_], left: int = 0, top: int = 0) -> list[Polygon]:
    """Follow the edges of a mask's pixels.

    Parameters
    ----------
    mask : (h, w) bool
    left, top : place of its first pixel in the image

    Returns
    -------
    One polygon for each part whose pixels hang together by their edges, in reading order. Outer rings turn
    so that their area by the shoelace formula is positive, holes the other way [1]_. No ring touches itself.

    Notes
    -----
    Every edge between a pixel of the mask and one outside it is a step with the mask on its right. Steps are
    put together to rings; where two pixels touch at a corner alone the ring stays with its pixel, and it is
    closed as soon as it comes to a corner that it has passed.

    References
    ----------
    .. [1] H. Butler et al., RFC 7946, "The GeoJSON Format", 2016, section 3.1.6: y is taken as pointing up
       there, while that of an image points down.

    Examples
    --------
    >>> polygons(np.ones((1, 2), bool), left=10, top=20)
    [[[(10, 20), (12, 20), (12, 21), (10, 21)]]]
    """
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = mask
    count, parts = cv2.connectedComponents(framed, connectivity=4)
    outer: dict[int, Polygon] = {}
    holes: list[tuple[int, Ring]] = []
    for part, ring in _rings(framed, np.asarray(parts)):
        corners = [(x + left - 1, y + top - 1) for x, y in _turns(ring)]
        if _area2(corners) > 0:
            outer[part] = [corners]
        else:
            holes.append((part, corners))
    for part, corners in holes:
        outer[part].append(corners)
    return [outer[part] for part in range(1, count)]


def filled(
    parts: Sequence[Sequence[Sequence[tuple[float, float]]]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Give the pixels whose centres lie in polygons: of those of :func:`polygons` the mask itself.

    Parameters
    ----------
    parts : polygons, each an outer ring and its holes; a ring may end where it begins, or not
    shape : height and width of the mask; what lies outside is left out

    Examples
    --------
    >>> filled([[[(1, 0), (3, 0), (3, 1), (1, 1)]]], (1, 4))
    array([[False,  True,  True, False]])
    """
    height, width = shape
    # Where a row of pixels' centres goes into the polygons or out of them.
    crossed = np.zeros((height, width + 1), bool)
    for ring in (ring for polygon in parts for ring in polygon):
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            first, last = (min(max(math.ceil(y - 0.5), 0), height) for y in sorted((y0, y1)))
            rows = np.arange(first, last)
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                crossed[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def _rings(framed: NDArray[np.uint8], parts: NDArray[np.int32]) -> Iterator[tuple[int, Ring]]:
    """Give the rings of unit steps around a mask with a margin, each with the label of its part."""
    # Of a corner and a direction: the label of the pixel on the right.
    steps: dict[tuple[int, int, int], int] = {}
    inside = framed > 0
    for direction, (dx, dy) in enumerate(_STEPS):
        # The pixel on the left of a step to the east lies above the one on its right.
        left_of = np.roll(inside, (dx, -dy), axis=(0, 1))
        ys, xs = np.nonzero(inside & ~left_of)
        x0 = xs + (direction in (_SOUTH, _WEST))
        y0 = ys + (direction in (_WEST, _NORTH))
        labels = parts[ys, xs].tolist()
        corners = zip(x0.tolist(), y0.tolist(), [direction] * len(xs), strict=True)
        steps.update(zip(corners, labels, strict=True))
    while steps:
        (x, y, direction), part = next(iter(steps.items()))
        path: Ring = []
        passed: dict[tuple[int, int], int] = {}
        while True:
            if (x, y) in passed:
                start = passed[x, y]
                yield part, path[start:]
                for corner in path[start:]:
                    del passed[corner]
                del path[start:]
            # The right turn first: it stays with the pixel.
            turns = ((direction + 1) % 4, direction, (direction + 3) % 4) if path or passed else (direction,)
            onward = next((turn for turn in turns if (x, y, turn) in steps), None)
            if onward is None:
                break
            direction = onward
            part = steps.pop((x, y, direction))
            passed[x, y] = len(path)
            path.append((x, y))
            x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]


def _turns(ring: Ring) -> Ring:
    """Leave out corners where a ring goes straight on."""
    return [
        (x, y)
        for (x0, y0), (x, y), (x1, y1) in zip(ring[-1:] + ring[:-1], ring, ring[1:] + ring[:1], strict=True)
        if (x - x0, y - y0) != (x1 - x, y1 - y)
    ]


def _area2(ring: Ring) -> int:
    """Twice the signed area of a ring, by the shoelace formula."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True))
