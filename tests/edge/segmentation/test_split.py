"""Splitting: blobs are cut at necks, and at nothing else."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.segmentation import split as split_module
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


def test_chord_of_unlike_discs_lies_where_they_cross() -> None:
    """Radii of 5 and 3 µm, 7 µm apart: the chord is (49 + 25 - 9) / 14 = 4.6 µm from the larger's centre."""
    mask = blob([(16.0, 20.0, 10.0), (23.0, 20.0, 6.0)], 0.1)
    parts = split(mask, 0.1)
    assert np.array_equal(parts > 0, mask > 0)
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


def sheet(side: int, um_per_px: float) -> Mask:
    """So many touching discs along each side of a square."""
    places = [(3.0 + 3.9 * x, 3.0 + 3.9 * y, 4.2) for x in range(side) for y in range(side)]
    return blob(places, um_per_px, 3.9 * side + 3.0)


def test_work_and_memory_grow_with_the_pixels_and_not_with_pixels_times_circles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    powers = 0
    windows_of_power = split_module._windows_of_power

    def counted(*arguments: Any) -> NDArray[np.int64]:
        nonlocal powers
        boxes = windows_of_power(*arguments)
        powers += int((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).sum())
        return boxes

    monkeypatch.setattr(split_module, "_windows_of_power", counted)
    mask = sheet(40, 0.4)
    tracemalloc.start()
    parts = split(mask, 0.4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert parts.max() == 1600
    assert powers < 30 * mask.size
    assert peak < 60 * mask.size  # a table of all pairs of circles would have 65 bytes a px


@pytest.mark.parametrize("all_at_once", [0, 10**9])
@pytest.mark.parametrize("seed", range(4))
def test_each_px_goes_to_the_circle_of_least_power(
    seed: int, all_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    blob_mask = np.ones((90, 140), np.uint8)
    centres = random.uniform(0, 90, (31, 2))
    radii = random.uniform(2, 25 if seed % 2 else 4, 31).astype(np.float32)
    ys, xs = np.mgrid[:90, :140]
    power = (xs - centres[1:, 0, None, None]) ** 2 + (ys - centres[1:, 1, None, None]) ** 2
    power -= radii[1:, None, None].astype(np.float64) ** 2
    monkeypatch.setattr(split_module, "_ALL_AT_ONCE", all_at_once)
    parts = split_module._power_diagram(blob_mask, centres, radii)
    chosen = np.take_along_axis(power, parts[None] - 1, axis=0)[0]
    assert chosen == pytest.approx(power.min(axis=0), abs=1e-2)


def test_px_far_from_every_circle_go_to_the_nearest_part_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(split_module, "_MOST_POWERS", 0)
    monkeypatch.setattr(split_module, "_ALL_AT_ONCE", 0)
    centres, radii = np.array([[0, 0], [5, 5], [95, 5.0]]), np.array([0, 3, 3], np.float32)
    bar = np.zeros((30, 100), np.uint8)
    bar[:10] = 1
    parts = split_module._power_diagram(bar, centres, radii)
    assert (parts[:10, :48] == 1).all()
    assert (parts[:10, 52:] == 2).all()
    assert not parts[10:].any()


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
