"""Sizes that pictures of cells are shown at."""

from __future__ import annotations

import pytest

from edge.bloodlog.pictures import thumbnail_box
from edge.results.reading import ReadCell
from edge.structures import Cell, CellRef, ClassifiedCell
from edge.web.words import picture_size


def a_cell(side_px: int, um_per_px: float | None, x: int = 400) -> ReadCell:
    cell = Cell(1, x + 5.0, 405.0, (x, 400, side_px, side_px), side_px**2, 1, "wbc", touches_border=False)
    return ReadCell(
        CellRef(1, 1), ClassifiedCell(cell, "blast", 0.9), "a" * 64, True, 0.5, (1200, 900), um_per_px
    )


@pytest.mark.parametrize(
    ("side_px", "um_per_px", "name", "px_per_um"),
    [
        (60, 0.1, "full", 6.0),
        (120, 0.1, "full", 6.0),
        (60, 0.2, "full", 6.0),
        (214, 0.1, "half", 3.0),
        (430, 0.1, "quarter", 1.5),
    ],
)
def test_a_um_is_as_long_in_every_picture_of_a_scale(
    side_px: int, um_per_px: float, name: str, px_per_um: float
) -> None:
    cell = a_cell(side_px, um_per_px)
    shown = picture_size(cell)
    left, top, right, bottom = thumbnail_box(cell.found.cell.bbox, 1200, 900)
    assert shown is not None
    assert shown.name == name
    assert shown.width == pytest.approx((right - left) * um_per_px * px_per_um, abs=0.5)
    assert shown.height == pytest.approx((bottom - top) * um_per_px * px_per_um, abs=0.5)


def test_a_picture_at_the_edge_is_narrower_and_one_without_a_scale_has_no_size() -> None:
    at_edge = picture_size(a_cell(100, 0.1, x=0))
    assert at_edge is not None
    assert (at_edge.width, at_edge.height) == (75, 90)
    assert picture_size(a_cell(100, None)) is None
