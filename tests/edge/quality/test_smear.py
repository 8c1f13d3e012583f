"""What a stained smear looks like: each limit from both sides, and pictures that break it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.light.colour import Colour, measure_colour
from edge.light.field import Field
from edge.quality import Judgement, assess, assess_cells
from edge.quality.smear import (
    Nuclei,
    is_swapped,
    light_warnings,
    measure_nuclei,
    smear_judgement,
    stain_judgement,
)
from edge.rendered import Population, RenderSettings, render_field
from edge.segmentation import segment
from edge.structures import Background, Frame, RedCellScale, Scale, UInt8Image
from tests.edge.quality.drawn import COLOUR, FIELD
from tests.tools.altered_fields import altered, no_smear

NUCLEI = Nuclei(angle_deg=45.0, apart=0.3, red_blue=0.1)


def field(image: UInt8Image = FIELD) -> Field:
    return Field(Frame(image, "drawn"))


def smear_reasons(seen: Field) -> tuple[str, ...]:
    return smear_judgement(seen)[0]


def judged(image: UInt8Image) -> tuple[str, ...]:
    """Reasons and warnings, all of them."""
    seen = field(image)
    light = assess(seen)
    if light.reasons:
        return light.reasons
    found = segment(seen)
    cells = assess_cells(seen, found.cells, found.scale)
    return (*cells.reasons, *light.warnings, *cells.warnings)


def test_a_rendered_field_is_a_smear() -> None:
    assert judged(FIELD) == ()


def painted(spot_px: int, noise: float) -> UInt8Image:
    """A field with a spot of one colour, as large as a cell, and grain over all of it."""
    image = FIELD.copy()
    cv2.circle(image, (60, 60), spot_px, (90, 50, 140), -1)
    grain = np.random.default_rng(1).normal(0, noise, image.shape)
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def test_a_cell_without_a_cameras_noise_is_paint() -> None:
    # A hundredth of a level more or less noise is 2 % more or fewer px alike.
    assert judged(painted(30, 0.34)) == ("overlay",)
    assert judged(painted(30, 0.38)) == ()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("red and blue swapped", {"channels_swapped"}),
        ("inverted", {"not_a_smear", "channels_swapped"}),
        ("grey, tinted", {"no_colour"}),
        ("contrast crushed", {"dark_clipped", "background_clipped", "obstructed"}),
        ("burnt-out slide", {"background_clipped", "overexposed"}),
    ],
)
def test_an_altered_field_is_refused_or_warned_of(kind: str, names: set[str]) -> None:
    assert names & set(judged(altered(FIELD, kind, 0)))


@pytest.mark.requirement(1)
@pytest.mark.parametrize("kind", ["figure", "drawn shapes", "tissue", "page of text"])
def test_what_is_no_smear_is_refused(kind: str) -> None:
    assert "not_a_smear" in smear_reasons(field(no_smear(kind, 3)))


def few_colours(share: float, colours: int = 6, px: int = 6000, level: int = 100) -> Field:
    """So many dark px, of which a share has a few flat colours and the rest noise."""
    rng = np.random.default_rng(0)
    image = np.full((200, 200, 3), 200, np.uint8)
    dark = rng.integers(level - 60, level, (px, 3)).astype(np.uint8)
    flat = round(share * px)
    number = np.arange(flat) * colours // max(1, flat)
    # Two hues, so that it is no grey picture.
    dark[:flat] = np.stack([number // 3 * 16, number * 0, -number], axis=1) + level - 30
    image[: px // 200] = dark.reshape(200, -1, 3).swapaxes(0, 1)
    return Field(Frame(image, "drawn"), Background(np.full((1, 1, 3), 200, np.float32), 200, 200))


@pytest.mark.parametrize(
    ("picture", "drawn"),
    [
        (few_colours(0.26), False),
        (few_colours(0.3), True),
        (few_colours(0.33, colours=7), True),
        (few_colours(0.31, colours=7), False),
        (few_colours(1.0, level=197), True),
        (few_colours(1.0, level=205), False),
    ],
)
def test_a_few_flat_colours_are_drawn(picture: Field, drawn: bool) -> None:
    assert ("not_a_smear" in smear_reasons(picture)) == drawn


@pytest.mark.parametrize("quality", [10, 20, 40])
def test_a_field_compressed_to_little_is_not_drawn(quality: int) -> None:
    options = [int(cv2.IMWRITE_JPEG_QUALITY), quality]
    coarse = cv2.imdecode(cv2.imencode(".jpg", FIELD, options)[1], cv2.IMREAD_COLOR)
    assert "not_a_smear" not in smear_reasons(field(np.asarray(coarse, np.uint8)))


@pytest.mark.parametrize("kind", ["figure", "drawn shapes", "page of text"])
def test_what_is_drawn_is_refused_as_a_jpeg_too(kind: str) -> None:
    options = [int(cv2.IMWRITE_JPEG_QUALITY), 75]
    stored = cv2.imdecode(cv2.imencode(".jpg", no_smear(kind, 3), options)[1], cv2.IMREAD_COLOR)
    assert assess(field(np.asarray(stored, np.uint8))) != Judgement()


@pytest.mark.parametrize(("edge", "drawn"), [(11, True), (12, False)])
def test_blocks_of_a_coarse_jpeg(edge: int, drawn: bool) -> None:
    """Few colours that change by 4 levels in the middle of blocks of 8 px, and by more at their edges."""
    image = np.full((200, 200, 3), 200, np.uint8)
    levels = np.arange(200) % 8 // 4 * 4 + np.arange(200) // 8 % 2 * edge
    image[:96, :, 1] = 60 + levels[:96, None] + levels
    image[:96, :100, ::2], image[:96, 100:, ::2] = (110, 70), (80, 110)
    seen = Field(Frame(image, "drawn"), Background(np.full((1, 1, 3), 200, np.float32), 200, 200))
    assert ("not_a_smear" in smear_reasons(seen)) == drawn


_DARK_ROWS = 90


@pytest.mark.parametrize(("alone", "drawn"), [(0.8, True), (0.88, False)])
def test_single_pixels_of_a_few_colours_are_dithered(alone: float, drawn: bool) -> None:
    """Rows of which a share has neighbours of its colour, and the others none."""
    image = np.full((200, 200, 3), 200, np.uint8)
    dithered = round(alone * _DARK_ROWS)
    y, x = np.mgrid[0:dithered, 0:200]
    image[:dithered] = np.stack([60 + 60 * (x // 100) + 20 * ((x + y) % 2), 60 + 0 * x, 80 + 0 * x], axis=2)
    image[dithered:_DARK_ROWS] = (110, 60, 70)
    seen = Field(Frame(image, "drawn"), Background(np.full((1, 1, 3), 200, np.float32), 200, 200))
    seen.colour = COLOUR
    assert ("not_a_smear" in smear_reasons(seen)) == drawn
    assert "few_colours" in assess(seen).warnings


@pytest.mark.parametrize(
    ("colour", "reasons"),
    [
        (replace(COLOUR, variety=0.0225), ()),
        (replace(COLOUR, variety=0.0215), ("no_colour",)),
        (replace(COLOUR, usual=np.array([0.1, 0.72, 0.18], np.float32)), ()),
        (replace(COLOUR, usual=np.array([0.1, 0.74, 0.16], np.float32)), ("not_a_smear",)),
        (
            replace(COLOUR, usual=np.array([0.1, 0.74, 0.16], np.float32), cut_off=(0.29, 0.0, 0.0)),
            ("not_a_smear",),
        ),
        (
            replace(COLOUR, usual=np.array([0.1, 0.74, 0.16], np.float32), cut_off=(0.31, 0.0, 0.0)),
            ("overexposed",),
        ),
        (replace(COLOUR, usual=np.array([0.5, 0.54, -0.04], np.float32)), ()),
        (replace(COLOUR, usual=np.array([0.5, 0.56, -0.06], np.float32)), ("not_a_smear",)),
    ],
)
def test_colours(colour: Colour, reasons: tuple[str, ...]) -> None:
    seen = field()
    seen.colour = colour
    assert smear_reasons(seen) == reasons


def bright_in_dark(dark: float, bright: float) -> Field:
    """Density of 99 px in a hundred, and of those less than that."""
    seen = field()
    seen.colour = COLOUR
    seen.density = np.full((60, 60, 3), dark / 3, np.float32)
    seen.density[:3] = bright / 3
    seen.density[:, 57:] = 0.6 / 3
    return seen


@pytest.mark.parametrize(("dark", "reasons"), [(0.265, ()), (0.275, ("not_a_smear",))])
def test_inverted(dark: float, reasons: tuple[str, ...]) -> None:
    assert smear_reasons(bright_in_dark(dark, 0.0)) == reasons


@pytest.mark.parametrize(("bright", "reasons"), [(0.02, ("not_a_smear",)), (0.06, ())])
def test_the_middle_of_what_is_inverted(bright: float, reasons: tuple[str, ...]) -> None:
    assert smear_reasons(bright_in_dark(0.29, bright)) == reasons


@pytest.mark.parametrize(("columns", "reasons"), [(6, ("not_a_smear",)), (10, ())])
def test_large_cells_leave_more_blank_slide_than_an_inverted_field(
    columns: int, reasons: tuple[str, ...]
) -> None:
    seen = bright_in_dark(0.29, 0.02)
    seen.density[:, :columns] = 0.11 / 3
    assert smear_reasons(seen) == reasons


@pytest.mark.parametrize(
    ("colour", "nuclei", "swapped"),
    [
        (COLOUR, NUCLEI, False),
        (replace(COLOUR, angle_deg=100.0), replace(NUCLEI, red_blue=-0.034), False),
        (replace(COLOUR, angle_deg=100.0), replace(NUCLEI, red_blue=-0.036), True),
        (replace(COLOUR, angle_deg=56.0), replace(NUCLEI, red_blue=-0.1), True),
        (replace(COLOUR, angle_deg=54.0), replace(NUCLEI, red_blue=-0.1), False),
        (COLOUR, replace(NUCLEI, angle_deg=-11.5), False),
        (COLOUR, replace(NUCLEI, angle_deg=-12.5), True),
        (COLOUR, replace(NUCLEI, angle_deg=144.5), False),
        (COLOUR, replace(NUCLEI, angle_deg=145.5), True),
        (COLOUR, replace(NUCLEI, angle_deg=170.0, apart=0.05), False),
        (replace(COLOUR, angle_deg=127.0), None, False),
        (replace(COLOUR, angle_deg=129.0), None, True),
        (replace(COLOUR, angle_deg=-49.0), None, False),
        (replace(COLOUR, angle_deg=-51.0), None, True),
        (replace(COLOUR, angle_deg=170.0, strength=0.05), None, False),
        (replace(COLOUR, usual=np.array([0.2, 0.29, 0.51], np.float32)), NUCLEI, False),
        (replace(COLOUR, usual=np.array([0.2, 0.27, 0.53], np.float32)), NUCLEI, True),
        (replace(COLOUR, usual=np.array([0.2, 0.27, 0.53], np.float32), strength=0.01), None, True),
    ],
)
def test_what_stands_out_has_a_nucleus_colour(colour: Colour, nuclei: Nuclei | None, swapped: bool) -> None:
    assert is_swapped(colour, nuclei) == swapped


@pytest.mark.parametrize(
    ("colour", "nuclei", "warnings"),
    [
        (COLOUR, NUCLEI, ()),
        (replace(COLOUR, cut_off=(0.029, 0.029, 0.59)), NUCLEI, ()),
        (replace(COLOUR, cut_off=(0.031, 0.0, 0.0)), NUCLEI, ("background_clipped",)),
        (replace(COLOUR, cut_off=(0.0, 0.031, 0.0)), NUCLEI, ("background_clipped",)),
        (replace(COLOUR, cut_off=(0.0, 0.0, 0.61)), NUCLEI, ("background_clipped",)),
        (replace(COLOUR, black=0.0058), NUCLEI, ()),
        (replace(COLOUR, black=0.0062), NUCLEI, ("dark_clipped",)),
        (replace(COLOUR, strength=0.056), NUCLEI, ()),
        (replace(COLOUR, strength=0.054), NUCLEI, ("faint_stain",)),
        (replace(COLOUR, strength=0.054, density=0.105), None, ()),
        (replace(COLOUR, strength=0.054, density=0.095), None, ("faint_stain",)),
        (replace(COLOUR, strength=0.89), NUCLEI, ()),
        (replace(COLOUR, strength=0.91), NUCLEI, ("overlay",)),
        (COLOUR, replace(NUCLEI, apart=0.056), ()),
        (COLOUR, replace(NUCLEI, apart=0.054), ("implausible_white_share",)),
        (COLOUR, replace(NUCLEI, apart=0.74), ()),
        (COLOUR, replace(NUCLEI, apart=0.76), ("channels_swapped",)),
        (replace(COLOUR, usual=np.array([0.4, 0.285, 0.415], np.float32)), NUCLEI, ()),
        (replace(COLOUR, usual=np.array([0.415, 0.28, 0.405], np.float32)), NUCLEI, ("channels_swapped",)),
    ],
)
def test_light(colour: Colour, nuclei: Nuclei | None, warnings: tuple[str, ...]) -> None:
    seen = field()
    seen.density = np.zeros((60, 60, 3), np.float32)
    assert light_warnings(seen, colour, nuclei, 1) == warnings


@pytest.mark.parametrize(
    ("density", "side", "strength", "warnings"),
    [
        (0.72, 8, 0.054, ("faint_stain",)),
        (0.68, 8, 0.054, ()),  # 3.4 times a red cell's
        (0.72, 7, 0.054, ()),  # 25 px without their rim
        (0.72, 8, 0.056, ()),
    ],
)
def test_what_is_as_dense_as_nuclei_without_their_colour(
    density: float, side: int, strength: float, warnings: tuple[str, ...]
) -> None:
    seen = field()
    seen.density = np.full((60, 60, 3), 0.2 / 3, np.float32)
    seen.density[10 : 10 + side, 10 : 10 + side] = density / 3
    assert light_warnings(seen, replace(COLOUR, strength=strength), None, 0) == warnings


@pytest.mark.parametrize(
    ("apart", "cells", "warnings"),
    [
        (0.084, 6, ()),
        (0.084, 7, ("implausible_white_share",)),
        (0.086, 7, ()),
    ],
)
def test_many_cells_of_nearly_the_red_cells_colour(
    apart: float, cells: int, warnings: tuple[str, ...]
) -> None:
    assert light_warnings(field(), COLOUR, replace(NUCLEI, apart=apart), cells) == warnings


@pytest.mark.parametrize(
    ("level", "rows", "warnings"),
    [(228, 8, ()), (234, 8, ("overlay",)), (234, 3, ())],
)
def test_nothing_is_brighter_than_the_slide(level: int, rows: int, warnings: tuple[str, ...]) -> None:
    image = np.full((200, 200, 3), 200, np.uint8)
    image[50 : 50 + rows, 50:80] = level
    seen = Field(Frame(image, "drawn"), Background(np.full((1, 1, 3), 200, np.float32), 200, 200))
    assert light_warnings(seen, COLOUR, NUCLEI, 1) == warnings


@pytest.mark.parametrize(
    ("bend", "cells", "warnings"),
    [(0.039, 20, ()), (0.041, 20, ("uneven_colour",)), (0.041, 7, ("uneven_colour",)), (0.041, 6, ())],
)
def test_a_lens_that_shades_colour(bend: float, cells: int, warnings: tuple[str, ...]) -> None:
    y, x = np.mgrid[0:6, 0:8]
    away = ((y + 0.5) / 3 - 1) ** 2 + ((x + 0.5) / 4 - 1) ** 2
    grid = np.full((6, 8, 3), 200, np.float32)
    grid[..., 0] *= 10 ** (bend * away)
    seen = Field(Frame(FIELD, "drawn"), Background(grid, 640, 480))
    assert light_warnings(seen, COLOUR, NUCLEI, cells) == warnings


@pytest.mark.parametrize(
    ("side", "um_per_px", "named"),
    [
        (399, 0.1, "warnings"),  # one cell's picture: swapped colours are a warning, and nothing else is one
        (401, 0.1, "reasons"),
        (200, 0.226, "reasons"),
        (200, 0.224, "warnings"),
    ],
)
def test_a_single_cell_is_not_judged_by_its_red_cells(side: int, um_per_px: float, named: str) -> None:
    image = np.full((side, side, 3), 200, np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 3, (150, 100, 140), -1)
    cv2.circle(image, (side // 2, side // 2), side // 6, (150, 60, 90), -1)
    seen = field(image)
    assert seen.colour is not None
    seen.colour = replace(seen.colour, angle_deg=100.0, black=0.5)
    found = segment(field(image)).cells or ()
    cells = found or segment(field()).cells[:1]
    cells = [replace(cells[0], bbox=(side // 3, side // 3, side // 3, side // 3))]
    reasons, warnings = stain_judgement(seen, cells, Scale(um_per_px, "configured", 1.0))
    assert ("channels_swapped" in reasons) == (named == "reasons")
    assert ("channels_swapped" in warnings) == (named == "warnings")
    assert ("dark_clipped" in warnings) == (named == "reasons")


@pytest.mark.parametrize(
    ("scale", "doubted"),
    [
        (Scale(0.2, "red_cells", 0.09), True),
        (Scale(0.2, "red_cells", 0.11), False),
        (Scale(0.2, "assumed", 0.11), True),
        (Scale(0.2, "configured", 0.0), False),
    ],
)
def test_a_scale_of_few_red_cells_is_doubted(scale: Scale, doubted: bool) -> None:
    seen = field()
    seen.colour = COLOUR
    assert ("scale_uncertain" in stain_judgement(seen, (), scale)[1]) == doubted


@pytest.mark.parametrize(
    ("white", "confidence", "doubted"), [(4, 0.09, True), (3, 0.09, False), (4, 0.11, False)]
)
def test_a_picture_as_small_as_one_cells_that_shows_several_has_a_scale_to_doubt(
    white: int, confidence: float, doubted: bool
) -> None:
    seen = field(np.ascontiguousarray(FIELD[:200, :200]))
    seen.colour = COLOUR
    cell = next(cell for cell in segment(field()).cells if cell.kind == "wbc")
    cell = replace(cell, bbox=(20, 20, 40, 40))
    cells = [cell] * white + [replace(cell, kind="smudge")] * 4
    found = stain_judgement(seen, cells, Scale(0.2, "red_cells", confidence))[1]
    assert ("scale_uncertain" in found) == doubted


@pytest.mark.parametrize(("bend", "warned"), [(0.119, False), (0.121, True), (-0.119, False), (-0.121, True)])
def test_a_lens_that_bends_the_picture(bend: float, warned: bool) -> None:
    seen = field()
    seen.colour = COLOUR
    scale = Scale(0.2, "pooled", 0.9, red_cells=RedCellScale(0.2, 0.9, bend))
    assert ("bent" in stain_judgement(seen, (), scale)[1]) == warned


def test_nuclei_are_the_darkest_third_of_their_boxes() -> None:
    seen = field()
    found = segment(seen)
    assert seen.colour is not None
    nuclei = measure_nuclei(seen, seen.colour, found.cells)
    assert nuclei is not None
    assert 20.0 < nuclei.angle_deg < 80.0
    assert nuclei.apart > 0.2
    assert nuclei.red_blue > 0.05


def test_too_little_stain_has_no_colour() -> None:
    empty = RenderSettings(width=320, height=240, um_per_px=0.2, population=Population.only())
    seen = field(render_field(1, empty).image)
    assert seen.colour is None
    assert smear_reasons(seen) == ()
    assert stain_judgement(seen, (), Scale(0.2, "assumed", 0.0)) == ((), ())


def test_variety_is_that_of_what_is_equally_dark() -> None:
    """Two dyes of one density have it; one dye in whatever amounts has none."""
    amounts = np.linspace(0.15, 1.0, 3600, dtype=np.float32).reshape(60, 60, 1)
    one = amounts * np.array([0.2, 0.5, 0.3], np.float32)
    other = one.copy()
    other[::2] = amounts[::2] * np.array([0.4, 0.5, 0.1], np.float32)
    sampled = np.full((60, 60, 3), 128, np.uint8)
    for dyes, variety in ((one, 0.0), (other, 0.1414)):
        colour = measure_colour(dyes, dyes.sum(axis=2), sampled)
        assert colour is not None
        assert colour.variety == pytest.approx(variety, abs=0.002)
