"""Contours say where a cell and its nucleus end, in few points."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bloodlog.contours import encode_contours
from edge.light.field import Field
from edge.rendered import Placement, RenderSettings, Slide
from edge.segmentation import Segmentation, segment
from edge.segmentation.contour import _polygons, contours_of
from edge.structures import Frame, Polygon

Mask = NDArray[np.bool_]
KINDS = ("blast", "lymphocyte", "neutrophil", "monocyte", "eosinophil", "smudge")


@cache
def found() -> Segmentation:
    """One cell of each kind, far from each other, and one that the edge cuts."""
    places = [(-45.0 + 30.0 * (i % 4), -20.0 + 35.0 * (i // 4)) for i in range(len(KINDS))]
    cells = [Placement(kind, x, y) for kind, (x, y) in zip(KINDS, places, strict=True)]
    settings = RenderSettings(width=640, height=480, um_per_px=0.2)
    view = Slide(3, settings, [*cells, Placement("blast", 63.0, 20.0)]).view()
    return segment(Field(Frame(view.image, "drawn", um_per_px=0.2)))


def filled(polygons: tuple[Polygon, ...], corner: tuple[int, int], mask: Mask) -> Mask:
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, [np.array(polygon) - corner for polygon in polygons], (1,))
    return drawn > 0


def in_common(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def test_a_contour_encloses_what_segmentation_saw() -> None:
    cells = found().cells
    assert len(cells) >= len(KINDS)
    assert any(cell.touches_border for cell in cells)
    for cell in cells:
        contours = contours_of(found(), cell)
        corner, whole, nucleus = found().masks_of(cell)
        assert len(contours.cell) == 1
        assert in_common(filled(contours.cell, corner, whole), whole) > 0.96
        assert in_common(filled(contours.nucleus, corner, nucleus), nucleus) > 0.9
        x, y, w, h = cell.bbox
        assert all(x - 1 <= px <= x + w and y - 1 <= py <= y + h for px, py in contours.cell[0])


def test_a_cell_takes_a_hundred_bytes() -> None:
    lengths = [len(encode_contours(contours_of(found(), cell), cell.bbox[:2])) for cell in found().cells]
    assert np.mean([n for n, cell in zip(lengths, found().cells, strict=True) if cell.kind == "wbc"]) < 150
    assert max(lengths) < 400


def test_lobes_that_lie_apart_are_polygons_of_their_own_and_specks_are_none() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[5:25, 5:25] = mask[35:55, 35:50] = True
    mask[2, 50] = mask[28:30, 28:30] = True
    assert _polygons(mask, (100, 200), 0.8) == [
        ((105, 205), (105, 224), (124, 224), (124, 205)),
        ((135, 235), (135, 254), (149, 254), (149, 235)),
    ]
    assert _polygons(np.zeros((9, 9), np.bool_), (0, 0), 0.8) == []


@pytest.mark.parametrize("side", [1, 2])
def test_what_has_no_area_has_a_contour(side: int) -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4, 4 : 4 + side] = True
    (polygon,) = _polygons(mask, (0, 0), 0.8)
    assert polygon[0] == (4, 4)
