"""Scale from red cells: alone, piled, cut by the border, and where there are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.segmentation.diameter import commonest_diameter, outer_contours, round_diameters_px
from edge.segmentation.scale import RED_CELL_DIAMETER_UM, measure_scale


def discs(centres: list[tuple[int, int]], diameter: int, size: tuple[int, int] = (300, 400)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for centre in centres:
        cv2.circle(mask, centre, diameter // 2, (1,), cv2.FILLED)
    return mask


GRID = [(x, y) for x in range(40, 400, 70) for y in range(40, 300, 70)]
NONE = np.zeros((300, 400), np.uint8)


@pytest.mark.parametrize("diameter", [20, 24, 40, 60])
def test_diameter_of_cells_alone(diameter: int) -> None:
    mask = discs(GRID, diameter)
    assert float(np.median(round_diameters_px(outer_contours(mask), mask.shape))) == pytest.approx(
        diameter, rel=0.08
    )
    scale = measure_scale(mask, NONE, 2.0)
    assert scale is not None
    assert scale.um_per_px == pytest.approx(RED_CELL_DIAMETER_UM / diameter / 2.0, rel=0.08)
    assert scale.source == "red_cells"


def test_diameter_of_piled_cells_needs_no_separation() -> None:
    mask = discs([(x + d, y) for x, y in GRID for d in (0, 22)], 30)
    assert len(round_diameters_px(outer_contours(mask), mask.shape)) == 0
    vote = commonest_diameter(outer_contours(mask), mask.shape)
    assert vote.diameter_px == pytest.approx(30, rel=0.12)
    assert vote.share > 0.3
    assert vote.circles > 10


@pytest.mark.parametrize("mask", [NONE, discs([(3, 150)], 6)])
def test_no_scale_without_red_cells(mask: np.ndarray) -> None:
    assert measure_scale(mask, NONE, 1.0) is None


def test_outline_around_a_nucleus_is_no_red_cell() -> None:
    cell, nucleus = discs([(200, 150)], 80), discs([(200, 150)], 50)
    assert measure_scale(cell, NONE, 1.0) is not None
    assert measure_scale(cell - nucleus, nucleus, 1.0) is None


def test_more_red_cells_give_more_confidence() -> None:
    few, many = measure_scale(discs(GRID[:2], 40), NONE, 1.0), measure_scale(discs(GRID, 40), NONE, 1.0)
    assert few is not None
    assert many is not None
    assert 0 < few.confidence < many.confidence <= 1


def test_fringes_that_would_make_a_nucleus_too_large_are_no_red_cells() -> None:
    """Most round outlines are small fringes; beside the nucleus only the few larger ones can be red cells."""
    fringes = [(x, y) for x in range(20, 400, 25) for y in range(20, 200, 25)]
    mask = np.maximum(discs(fringes, 12), discs([(x, 250) for x in range(60, 380, 75)], 44))
    # A circle of 22 px radius in the nucleus: 27 µm across with the fringes' scale, 7.5 with the cells'.
    fooled = measure_scale(mask, NONE, 1.0)
    told = measure_scale(mask, NONE, 1.0, nucleus_radius_px=22.0)
    assert fooled is not None
    assert told is not None
    assert fooled.um_per_px == pytest.approx(RED_CELL_DIAMETER_UM / 12, rel=0.15)
    assert told.um_per_px == pytest.approx(RED_CELL_DIAMETER_UM / 44, rel=0.15)


def test_no_scale_where_every_outline_is_too_small_beside_the_nucleus() -> None:
    mask = discs(GRID, 20)
    assert measure_scale(mask, NONE, 1.0, nucleus_radius_px=20.0) is not None
    assert measure_scale(mask, NONE, 1.0, nucleus_radius_px=40.0) is None
