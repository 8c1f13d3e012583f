"""Splitting: blobs are cut at necks, and at nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.segmentation.labels import Mask
from edge.segmentation.split import split

SCALES = (0.1, 0.2, 0.25, 0.4)


def blob(discs: list[tuple[float, float, float]], um_per_px: float, size_um: float = 40.0) -> Mask:
    """Union of discs (x, y, diameter; µm)."""
    mask = np.zeros((round(size_um / um_per_px),) * 2, np.uint8)
    for x, y, diameter in discs:
        centre = (round(x / um_per_px * 16), round(y / um_per_px * 16))
        cv2.circle(mask, centre, round(diameter / 2 / um_per_px * 16), (1,), cv2.FILLED, shift=4)
    return mask


@pytest.mark.parametrize("um_per_px", SCALES)
def test_two_discs_are_parted_along_their_common_chord(um_per_px: float) -> None:
    mask = blob([(16.0, 20.0, 9.0), (24.0, 20.0, 9.0)], um_per_px)
    parts = split(mask, um_per_px)
    assert np.array_equal(parts > 0, mask > 0)
    areas = np.bincount(parts[parts > 0])[1:]
    assert len(areas) == 2
    assert areas[0] == pytest.approx(areas[1], rel=0.1)
    assert len(np.unique(parts[:, : round(19 / um_per_px)])) == 2  # 0 and the left disc's own


def test_chord_of_unlike_discs_lies_where_they_cross() -> None:
    """Radii of 5 and 3 µm, 7 µm apart: the chord is (49 + 25 - 9) / 14 = 4.6 µm from the larger's centre."""
    parts = split(blob([(16.0, 20.0, 10.0), (23.0, 20.0, 6.0)], 0.1), 0.1)
    row = parts[200]
    edges = np.flatnonzero((row[1:] != row[:-1]) & (row[1:] > 0) & (row[:-1] > 0))
    assert len(edges) == 1
    assert (edges[0] + 1) * 0.1 == pytest.approx(16.0 + 65 / 14, abs=0.4)


@pytest.mark.parametrize("um_per_px", SCALES)
@pytest.mark.parametrize("number", [3, 4, 6])
def test_chain_is_cut_at_each_neck(number: int, um_per_px: float) -> None:
    chain = [(5.0 + 6.0 * i, 20.0 + (-1) ** i, 7.0) for i in range(number)]
    assert split(blob(chain, um_per_px), um_per_px).max() == number


@pytest.mark.parametrize("um_per_px", SCALES)
@pytest.mark.parametrize(
    ("name", "axes"), [("disc", (5.0, 5.0)), ("ellipse", (7.0, 4.5)), ("lymphocyte's nucleus", (3.0, 3.0))]
)
def test_convex_nucleus_is_left_whole(name: str, axes: tuple[float, float], um_per_px: float) -> None:
    mask = np.zeros((round(40 / um_per_px),) * 2, np.uint8)
    half = (round(axes[0] / um_per_px), round(axes[1] / um_per_px))
    cv2.ellipse(mask, (mask.shape[1] // 2,) * 2, half, 30, 0, 360, (1,), cv2.FILLED)
    assert split(mask, um_per_px).max() == 1, name


@pytest.mark.parametrize("um_per_px", SCALES)
def test_shallow_waist_is_no_neck(um_per_px: float) -> None:
    """Discs of 9 µm, 3 µm apart: the waist is 94 % as wide as they are."""
    assert split(blob([(18.5, 20.0, 9.0), (21.5, 20.0, 9.0)], um_per_px), um_per_px).max() == 1


def test_small_speck_is_one_part() -> None:
    assert split(np.ones((3, 3), np.uint8), 0.25).max() == 1


def test_memory_does_not_grow_with_the_number_of_circles() -> None:
    """A sheet of 100 touching discs: pixels times circles would be 100 times the sheet."""
    places = [(3.0 + 3.9 * (i % 10), 3.0 + 3.9 * (i // 10), 4.2) for i in range(100)]
    parts = split(blob(places, 0.25, 42.0), 0.25)
    assert parts.max() == 100


@pytest.mark.parametrize("um_per_px", [0.15, 0.2, 0.25])
def test_cells_pressed_into_one_outline_are_parted_at_their_seam(um_per_px: float) -> None:
    mask = blob([(20.0, 20.0, 15.0)], um_per_px)
    levels = np.where(mask > 0, 120, 0).astype(np.uint8)
    assert split(mask, um_per_px, levels).max() == 1
    x = round(20 / um_per_px)
    seam = levels.copy()
    seam[:, x : x + max(1, round(0.5 / um_per_px))] = np.where(mask[:, x, None] > 0, 80, 0)
    assert split(mask, um_per_px).max() == 1  # the outline alone does not show it
    assert split(mask, um_per_px, seam).max() == 2


@pytest.mark.parametrize(
    ("name", "diameter", "column", "rows"),
    [
        ("nucleus no larger than one", 11.0, 20.0, (0.0, 40.0)),
        ("too little beyond it", 15.0, 25.5, (0.0, 40.0)),
        ("too short", 15.0, 20.0, (18.5, 21.5)),
    ],
)
def test_pale_line_is_no_seam(name: str, diameter: float, column: float, rows: tuple[float, float]) -> None:
    mask = blob([(20.0, 20.0, diameter)], 0.25)
    levels = np.where(mask > 0, 120, 0).astype(np.uint8)
    x, y0, y1 = round(column / 0.25), round(rows[0] / 0.25), round(rows[1] / 0.25)
    levels[y0:y1, x : x + 2] = np.where(mask[y0:y1, x, None] > 0, 80, 0)
    assert split(mask, 0.25, levels).max() == 1, name
