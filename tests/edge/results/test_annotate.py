"""The annotated picture: what is drawn where, and that nothing of the field is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.results.annotate import annotate
from edge.structures import Cell, CellClass, CellType, ClassifiedCell, FieldResult, Scale, UInt8Image
from tests.edge.bloodlog.fields import make_result

BLAST, NORMAL, UNCERTAIN, SMUDGE = (213, 94, 0), (0, 114, 178), (240, 228, 66), (110, 110, 110)
COLOURS: dict[CellClass | None, tuple[int, int, int]] = {
    "blast": BLAST,
    "normal": NORMAL,
    "uncertain": UNCERTAIN,
    None: SMUDGE,
}


def result(
    *cells: tuple[CellClass | None, tuple[int, int, int, int], bool],
    size: tuple[int, int] = (900, 700),
    **changed: Any,
) -> FieldResult:
    classified = []
    for i, (label, (x, y, w, h), border) in enumerate(cells, start=1):
        kind, p_blast = ("smudge", None) if label is None else ("wbc", 0.97)
        cell = Cell(i, x + w / 2, y + h / 2, (x, y, w, h), w * h, 10, kind, border)
        classified.append(ClassifiedCell(cell, label, p_blast))
    given = {"scale": Scale(0.2, "assumed", 0.0), "cells": tuple(classified), **changed}
    return replace(make_result(), width=size[0], height=size[1], **given)


def labels(field: FieldResult) -> NDArray[np.uint16]:
    image = np.zeros((field.height, field.width), np.uint16)
    for c in field.cells:
        x, y, w, h = c.cell.bbox
        image[y : y + h, x : x + w] = c.cell.id
    return image


def drawn(field: FieldResult, level: int = 200) -> UInt8Image:
    return annotate(np.full((field.height, field.width, 3), level, np.uint8), field, labels(field))


def pixels_of(picture: UInt8Image, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return (picture == colour).all(axis=2)


@pytest.mark.parametrize("label", COLOURS)
def test_a_cell_is_outlined_in_its_classs_colour_alone(label: CellClass | None) -> None:
    picture = drawn(result((label, (300, 200, 120, 110), False)))[:700]
    for other, colour in COLOURS.items():
        assert pixels_of(picture, colour).any() == (other == label)
    on_edge = pixels_of(picture, COLOURS[label])
    assert on_edge[200:310, 298:304].any(axis=1).mean() > 0.95  # its left side, all the way down
    assert not on_edge[230:280, 330:390].any()  # not its inside


def test_a_cell_cut_by_the_border_is_dashed() -> None:
    solid = drawn(result(("blast", (0, 200, 120, 300), False)))
    dashed = drawn(result(("blast", (0, 200, 120, 300), True)))
    shares = [pixels_of(p[:700], BLAST)[220:480, 117:122].any(axis=1).mean() for p in (solid, dashed)]
    assert shares[0] > 0.95
    assert 0.3 < shares[1] < 0.75


def test_the_field_is_untouched_away_from_its_cells() -> None:
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3)).astype(np.uint8)
    field = result(("blast", (300, 200, 120, 110), False))
    before = image.copy()
    picture = annotate(image, field, labels(field))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(picture[400:700], image[400:700])
    np.testing.assert_array_equal(picture[:700, :200], image[:, :200])


def test_different_counts_give_different_legends() -> None:
    one = result(("blast", (300, 200, 50, 50), False))
    two = result(("blast", (300, 200, 50, 50), False), ("blast", (500, 200, 50, 50), False))
    assert not np.array_equal(drawn(one)[700:], drawn(two)[700:])
    # A cell at the border is not in the class's count, so a third at the border changes another word alone.
    border = result(("blast", (300, 200, 50, 50), False), ("blast", (0, 200, 50, 50), True))
    first_chip = slice(700, 730), slice(0, 90)
    for colour in COLOURS.values():
        assert pixels_of(drawn(one)[700:], colour).sum() > 200
    np.testing.assert_array_equal(drawn(border)[first_chip], drawn(one)[first_chip])


def longest_black_line(picture: UInt8Image) -> int:
    black = (picture < 40).all(axis=2)
    edges = np.diff(np.pad(black, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    return int((np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]).max())


@pytest.mark.parametrize(("um_per_px", "bar_um"), [(0.1, 10), (0.2, 20), (0.118, 20), (0.4, 50)])
def test_the_scale_bar_has_its_length(um_per_px: float, bar_um: int) -> None:
    picture = drawn(result(scale=Scale(um_per_px, "configured", 1.0)))
    assert longest_black_line(picture[700:]) == pytest.approx(bar_um / um_per_px, abs=1)


def test_an_assumed_scale_has_no_bar() -> None:
    assert longest_black_line(drawn(result(scale=Scale(0.1, "assumed", 0.0)))[700:]) < 30


def test_a_note_adds_words_to_the_legend() -> None:
    field = result()
    image, cells = np.full((700, 900, 3), 200, np.uint8), labels(field)
    noted = annotate(image, field, cells, "Rendered by a program, no real smear")
    assert (noted[700:] < 100).sum() > (annotate(image, field, cells)[700:] < 100).sum() + 1000


def test_a_rejected_field_says_so() -> None:
    rejected = drawn(result(status="rejected", reasons=("overexposed",)))
    assert not np.array_equal(rejected, drawn(result()))
    assert not any(pixels_of(rejected, colour).any() for colour in COLOURS.values())


def test_a_warning_adds_words_to_the_legend() -> None:
    doubted = drawn(replace(result(), warnings=("scale_changed",)))
    assert (doubted[700:] < 100).sum() > (drawn(result())[700:] < 100).sum() + 500


def test_the_type_of_a_normal_cell_is_a_letter_on_its_plate() -> None:
    plain = result(("normal", (300, 200, 50, 50), False), ("blast", (500, 200, 50, 50), False))

    def typed(kind: CellType) -> FieldResult:
        return replace(plain, cells=tuple(replace(cell, type=kind, p_type=0.9) for cell in plain.cells))

    picture = drawn(typed("lymphocyte"))
    assert (picture[700:] < 100).sum() > (drawn(plain)[700:] < 100).sum() + 200  # what the letter means
    on_plate, before = (pixels_of(image[:700], NORMAL).any(axis=0).sum() for image in (picture, drawn(plain)))
    assert on_plate > before  # the plate is wider
    np.testing.assert_array_equal(
        picture[:700, 450:], drawn(plain)[:700, 450:]
    )  # a blast is one whatever it is
    np.testing.assert_array_equal(drawn(typed("other")), drawn(plain))


@pytest.mark.parametrize("side", [(30, 30), (224, 200), (31, 900)])
def test_small_images_are_enlarged_by_a_whole_factor(side: tuple[int, int]) -> None:
    width, height = side
    field = result(("blast", (5, 5, 20, 20), False), size=side)
    picture = drawn(field)
    factor = picture.shape[1] // width
    assert picture.shape[1] == factor * width
    assert min(width, height) * factor >= 600
    assert pixels_of(picture[: height * factor], BLAST).any()


def test_names_of_close_cells_do_not_cover_each_other() -> None:
    """Where one chip would lie on another, it goes below its cell."""
    apart = result(("blast", (100, 300, 60, 60), False), ("blast", (500, 300, 60, 60), False))
    close = result(("blast", (300, 300, 60, 60), False), ("blast", (310, 301, 60, 60), False))
    chips = [pixels_of(drawn(field)[:298], BLAST).sum() for field in (apart, close)]
    assert chips[1] < 0.75 * chips[0]  # one of the two chips has moved below the cells
    assert pixels_of(drawn(close)[364:700], BLAST).sum() > 0.3 * chips[0]


def test_a_cell_in_the_corner_keeps_its_name_inside_the_picture() -> None:
    picture = drawn(result(("normal", (0, 0, 40, 40), True), ("normal", (860, 660, 40, 40), True)))
    assert pixels_of(picture[:700], NORMAL).sum() > 500


def test_hundreds_of_cells() -> None:
    cells = [("blast", (30 * (i % 29), 24 * (i // 29), 28, 22), False) for i in range(600)]
    picture = drawn(result(*cells))  # type: ignore[arg-type]  # the literal's type is widened in the list
    assert pixels_of(picture, BLAST).sum() > 600 * 100
