"""Scale from red cells: alone, piled, cut by the border, and where there are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.density import blank_planes, density_planes
from edge.light.field import Field
from edge.segmentation.diameter import commonest_diameter, outer_contours, round_diameters_px
from edge.segmentation.isolated import isolated_white_cells
from edge.segmentation.scale import RED_CELL_DIAMETER_UM, measure_scale
from edge.segmentation.survey import Survey, survey
from edge.structures import Frame


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
    scale = measure_scale(mask, None, 2.0)
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
    assert measure_scale(mask, None, 1.0) is None


def test_outline_around_a_nucleus_is_no_red_cell() -> None:
    cell, nucleus = discs([(200, 150)], 80), discs([(200, 150)], 50)
    assert measure_scale(cell, None, 1.0) is not None
    assert measure_scale(cell - nucleus, cv2.distanceTransform(1 - nucleus, cv2.DIST_L2, 3), 1.0) is None


def test_more_red_cells_give_more_confidence() -> None:
    few, many = measure_scale(discs(GRID[:2], 40), None, 1.0), measure_scale(discs(GRID, 40), None, 1.0)
    assert few is not None
    assert many is not None
    assert 0 < few.confidence < many.confidence <= 1


def test_fringes_that_would_make_a_nucleus_too_large_are_no_red_cells() -> None:
    """Most round outlines are small fringes; beside the nucleus only the few larger ones can be red cells."""
    fringes = [(x, y) for x in range(20, 400, 25) for y in range(20, 200, 25)]
    mask = np.maximum(discs(fringes, 12), discs([(x, 250) for x in range(60, 380, 75)], 44))
    # A circle of 22 px radius in the nucleus: 27 µm across with the fringes' scale, 7.5 with the cells'.
    fooled = measure_scale(mask, None, 1.0)
    told = measure_scale(mask, None, 1.0, nucleus_radius_px=22.0)
    assert fooled is not None
    assert told is not None
    assert fooled.um_per_px == pytest.approx(RED_CELL_DIAMETER_UM / 12, rel=0.15)
    assert told.um_per_px == pytest.approx(RED_CELL_DIAMETER_UM / 44, rel=0.15)


@pytest.mark.parametrize(("nucleus_radius_px", "known"), [(17.5, True), (19.5, False)])
def test_red_cells_are_not_too_small_beside_a_nucleus(nucleus_radius_px: float, known: bool) -> None:
    """Red cells of 16 px are 7.5 µm: a nucleus of 16.4 µm is possible, one of 18.3 µm is not."""
    places = [(x, y) for x in range(30, 400, 40) for y in range(30, 300, 40)]
    scale = measure_scale(discs(places, 16), None, 1.0, nucleus_radius_px=nucleus_radius_px)
    assert (scale is not None) == known


def test_one_red_cell_gives_a_scale_and_half_of_one_at_the_border_does_not() -> None:
    assert measure_scale(discs([(200, 150)], 40), None, 1.0) is not None
    assert measure_scale(discs([(16, 150)], 40), None, 1.0) is None


@pytest.mark.parametrize(
    ("nuclei", "distance", "isolated"),
    [
        (0.35, None, 0),  # share of the cell's diameter, squared 0.12: a platelet on a red cell
        (0.55, None, 1),
        (0.70, 56, 2),
        (0.70, 52, 0),
    ],
)
def test_isolated_white_cells(nuclei: float, distance: int | None, isolated: int) -> None:
    places = [(150, 150)] if distance is None else [(150, 150), (150 + distance, 150)]
    found = isolated_white_cells(discs(places, 54), discs(places, round(54 * nuclei)))
    assert len(found) == isolated


def surveyed(field: Field) -> Survey:
    blank = blank_planes(field.background, field.width, field.height)
    return survey(density_planes(field.image, blank), 1.0)


def red_cells(red_share: float) -> Field:
    """Red cells of a total density of 0.4, so much of it red, on a blank slide."""
    image = np.full((300, 400, 3), 220, np.uint8)
    rest = 1 - red_share
    density = 0.4 * np.array([red_share, (rest + 0.1) / 2, (rest - 0.1) / 2])
    image[discs(GRID, 30) > 0] = np.rint(220 * 10**-density)
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return Field(Frame((image + noise).astype(np.uint8), "drawn"))


@pytest.mark.parametrize(("red_share", "blue"), [(0.37, False), (0.42, True)])
def test_red_cells_that_are_bluer_than_grey(red_share: float, blue: bool) -> None:
    field = red_cells(red_share)
    found = surveyed(field)
    assert found.blue_red_cells == blue
    assert found.scale.um_per_px == pytest.approx(0.25, rel=0.06)


def test_colour_fringes_of_red_cells_are_no_nuclei() -> None:
    """Red cells whose rim is stained on one side, as out of focus, beside one nucleus."""
    image = red_cells(0.2).image.copy()
    for x, y in GRID:
        cv2.ellipse(image, (x, y), (13, 13), 0, -70, 70, (170, 110, 190), 2)
    cv2.circle(image, (200, 150), 19, (95, 45, 140), cv2.FILLED)
    found = surveyed(Field(Frame(image, "drawn")))
    assert found.scale.source == "red_cells"
    assert found.scale.um_per_px == pytest.approx(0.25, rel=0.06)
    assert found.red_cell_total == pytest.approx(0.4, rel=0.1)


def test_nuclei_that_lie_apart_give_the_scale_where_others_touch() -> None:
    """No red cell, and chains of four nuclei beside three that lie apart: these have the usual area."""
    image = np.full((500, 700, 3), 220, np.uint8)
    places = [(80, 60), (300, 60), (520, 60)]
    places += [(x + 44 * i, y) for x in (80, 400) for y in (200, 320, 440) for i in range(4)]
    for place in places:
        cv2.circle(image, place, 24, (95, 45, 140), cv2.FILLED)
    field = Field(Frame(image, "drawn"))
    found = surveyed(field)
    assert found.scale.source == "assumed"
    assert found.scale.um_per_px == pytest.approx(np.sqrt(75 / np.pi) / 24, rel=0.1)
