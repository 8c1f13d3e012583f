"""Splitting: blobs are cut at necks, and at nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
@pytest.mark.parametrize(("apart_um", "parts"), [(3.2, 1), (5.4, 2)])
def test_a_neck_is_narrower_than_nine_tenths(apart_um: float, parts: int, um_per_px: float) -> None:
    """Discs of 9 µm: 3.2 µm apart their waist is 93 % as wide as they are, 5.4 µm apart 80 %."""
    mask = blob([(20.0 - apart_um / 2, 20.0, 9.0), (20.0 + apart_um / 2, 20.0, 9.0)], um_per_px)
    assert split(mask, um_per_px).max() == parts


@pytest.mark.parametrize(
    ("discs", "parts"),
    [
        ([(20.0, 20.0, 9.0), (25.45, 20.0, 2.2)], 1),
        ([(20.0, 20.0, 9.0), (25.65, 20.0, 2.6)], 2),
        ([(18.8, 20.0, 3.0), (21.2, 20.0, 3.0)], 2),
    ],
    ids=["a bump", "a lobe beside a nucleus", "two lobes"],
)
def test_a_lobe_is_wider_than_two_um(discs: list[tuple[float, float, float]], parts: int) -> None:
    assert split(blob(discs, 0.1), 0.1).max() == parts


def test_small_speck_is_one_part() -> None:
    assert split(np.ones((3, 3), np.uint8), 0.25).max() == 1


def test_memory_does_not_grow_with_the_number_of_circles() -> None:
    """A sheet of 100 touching discs: pixels times circles would be 100 times the sheet."""
    places = [(3.0 + 3.9 * (i % 10), 3.0 + 3.9 * (i // 10), 4.2) for i in range(100)]
    parts = split(blob(places, 0.25, 42.0), 0.25)
    assert parts.max() == 100


@dataclass(frozen=True)
class Seam:
    """A disc of contrast 120 with a paler line in it."""

    diameter_um: float = 14.5
    offset_um: float = 0.0
    length_um: float = 40.0
    width_um: float = 0.5
    level: int = 80

    def parts(self, um_per_px: float = 0.1) -> int:
        mask = blob([(20.0, 20.0, self.diameter_um)], um_per_px)
        contrast = np.where(mask > 0, 120, 0).astype(np.uint8)
        assert split(mask, um_per_px, contrast).max() == split(mask, um_per_px).max() == 1
        x, y = round((20.0 + self.offset_um) / um_per_px), round((20.0 - self.length_um / 2) / um_per_px)
        line = np.s_[
            max(0, y) : y + round(self.length_um / um_per_px),
            x : x + max(1, round(self.width_um / um_per_px)),
        ]
        contrast[line] = np.where(mask[line] > 0, self.level, 0)
        return int(split(mask, um_per_px, contrast).max())


@pytest.mark.parametrize("um_per_px", [0.1, 0.15, 0.2, 0.25])
def test_cells_pressed_into_one_outline_are_parted_at_their_seam(um_per_px: float) -> None:
    assert Seam().parts(um_per_px) == 2


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("diameter_um", 13.6, 14.2),  # no larger than one nucleus
        ("offset_um", 3.3, 2.7),  # 37 and 45 µm² beyond it: chromatin cuts off less than a nucleus
        ("length_um", 3.6, 16.0),
        ("width_um", 2.0, 0.8),
        ("level", 113, 102),  # 6 and 15 % paler
    ],
)
def test_a_seam_is_told_at_its_limits(name: str, one: float, two: float) -> None:
    assert [replace(Seam(), **{name: value}).parts() for value in (one, two)] == [1, 2]
