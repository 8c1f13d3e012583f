from __future__ import annotations

import numpy as np
import pytest

from edge.structures import Cell
from training.evaluation.metrics import (
    centre_distance,
    dice,
    dice_of_best_cell,
    intersection_over_union,
    match,
    overlap_distance,
    point_distance,
)


def cell(x: int, y: int, width: int = 20, height: int = 20) -> Cell:
    return Cell(1, x + width / 2, y + height / 2, (x, y, width, height), width * height, 100, "wbc", False)


def test_each_find_serves_one_truth_and_the_nearest_wins() -> None:
    found = [cell(0, 0), cell(100, 100)]
    points = [(12.0, 12.0), (10.0, 10.0), (300.0, 300.0)]
    result = match(points, found, point_distance)
    assert result.pairs == ((1, 0),)
    assert result.missed == (0, 2)
    assert result.false == (1,)


def test_a_point_may_lie_a_tenth_of_the_box_outside() -> None:
    assert point_distance((21.9, 10), cell(0, 0)) is not None
    assert point_distance((22.1, 10), cell(0, 0)) is None


def test_centre_must_lie_in_the_box() -> None:
    assert centre_distance((0, 0, 30, 30), cell(0, 0)) == pytest.approx(np.hypot(5, 5))
    assert centre_distance((11, 0, 30, 30), cell(0, 0)) is None


def test_boxes_must_share_half() -> None:
    assert overlap_distance((0, 0, 20, 10), cell(0, 0)) == pytest.approx(0.5)
    assert overlap_distance((0, 0, 20, 9), cell(0, 0)) is None
    assert intersection_over_union((0, 0, 5, 5), (5, 5, 5, 5)) == 0.0


def test_dice_of_nothing_with_nothing_is_one() -> None:
    nothing = np.zeros((4, 4), bool)
    assert dice(nothing, nothing) == 1.0
    assert dice(nothing, ~nothing) == 0.0


def test_the_cell_that_covers_most_is_judged() -> None:
    nucleus = np.zeros((10, 10), bool)
    nucleus[4:6, 4:6] = True
    marked = np.zeros((10, 10), bool)
    marked[2:8, 2:8] = True
    cells = np.zeros((10, 10), np.uint16)
    cells[2:8, 2:8] = 7
    cells[0:3, 0:3] = 9
    nuclei = np.zeros((10, 10), np.uint16)
    nuclei[4:6, 4:6] = 7
    nucleus_dice, cell_dice = dice_of_best_cell(nucleus, marked, cells, nuclei)
    assert nucleus_dice == 1.0
    assert cell_dice == pytest.approx(2 * 35 / (36 + 35))
    assert dice_of_best_cell(nucleus, marked, np.zeros_like(cells), nuclei) == (0.0, 0.0)
