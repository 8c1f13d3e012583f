"""Joining: lobes become one cell, pressed cells stay several, whatever the scale and the stain."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.field import Field
from edge.rendered import Placement, Population, RenderSettings, Slide
from edge.segmentation import segment
from edge.segmentation.join import merge_parts
from edge.segmentation.labels import Labels, Mask
from edge.structures import Frame

#: Red cells that give the scale, clear of the white cells in the middle.
RED_CELLS = [Placement("red_cell", x, y) for x in range(-26, 27, 13) for y in (-22, 22)]
SCALES = (0.08, 0.1, 0.2)


def cells_found(scene: list[Placement], um_per_px: float, seed: int) -> int:
    settings = RenderSettings(
        width=round(64 / um_per_px),
        height=round(56 / um_per_px),
        um_per_px=um_per_px,
        population=Population.only(),
    )
    view = Slide(seed, settings, [*scene, *RED_CELLS]).view()
    return len(segment(Field(Frame(view.image, "rendered"))).cells)


def blasts(*places: tuple[float, float], diameter: float = 12.0) -> list[Placement]:
    return [Placement("blast", x, y, diameter) for x, y in places]


CLUSTERS = {
    "pressed pair": blasts((-5.0, 0), (5.0, 0)),
    "pair of large blasts": blasts((-7.5, 0), (7.5, 0), diameter=16.0),
    "chain": blasts((-16.5, 2), (-5.5, -2), (5.5, 2), (16.5, -2)),
    "ring": blasts((-5.7, -3.3), (5.7, -3.3), (0, 6.6)),
    "small lymphocytes": [Placement("lymphocyte", x, 0, 9.5) for x in (-4.5, 4.5)],
    "neutrophil at a blast": [Placement("neutrophil", -6.5, 0, 13.0), Placement("blast", 6.5, 0, 13.0)],
}
SINGLES = {
    "neutrophil": [Placement("neutrophil", 0, 0)],
    "eosinophil": [Placement("eosinophil", 0, 0)],
    "monocyte": [Placement("monocyte", 0, 0)],
    "large monocyte": [Placement("monocyte", 0, 0, 19.0)],
}


@pytest.mark.parametrize("um_per_px", SCALES)
@pytest.mark.parametrize("name", CLUSTERS)
def test_pressed_cells_stay_apart(name: str, um_per_px: float) -> None:
    assert cells_found(CLUSTERS[name], um_per_px, seed=1) == len(CLUSTERS[name])


@pytest.mark.parametrize("um_per_px", SCALES)
@pytest.mark.parametrize("name", SINGLES)
def test_one_cell_stays_one(name: str, um_per_px: float) -> None:
    # Other seeds have other lobes: two to five in neutrophils.
    assert [cells_found(SINGLES[name], um_per_px, seed) for seed in (1, 2, 3)] == [1, 1, 1]


def discs(places: list[tuple[float, float, float]], um_per_px: float, size_um: float = 40.0) -> Labels:
    """Labels 1, 2, ... for discs (x, y, diameter; µm)."""
    labels = np.zeros((round(size_um / um_per_px),) * 2, np.int32)
    for i, (x, y, diameter) in enumerate(places, start=1):
        centre = (round(x / um_per_px), round(y / um_per_px))
        cv2.circle(labels, centre, round(diameter / 2 / um_per_px), (i,), cv2.FILLED)
    return labels


def even_stain(parts: Labels, level: int = 100) -> Mask:
    return np.where(parts > 0, level, 0).astype(np.uint8)


def joined(cells: Labels, parts: Labels, um_per_px: float, level: int = 100) -> list[int]:
    count = int(parts.max())
    return merge_parts(cells, parts, even_stain(parts, level), count, um_per_px).tolist()


LOBES = [(17.0, 20.0, 4.5), (20.0, 16.0, 4.5), (23.5, 20.0, 4.5)]
NUCLEI = [(15.0, 20.0, 9.0), (25.0, 20.0, 9.0)]


@pytest.mark.parametrize("um_per_px", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("level", [10, 100, 140])
def test_amount_of_stain_tells_lobes_from_nuclei_whatever_its_strength(um_per_px: float, level: int) -> None:
    lobes, nuclei = discs(LOBES, um_per_px), discs(NUCLEI, um_per_px)
    assert joined(lobes, lobes, um_per_px, level) == [0, 1, 1, 1]
    assert joined(nuclei, nuclei, um_per_px, level) == [0, 1, 2]


def test_lobes_farther_apart_than_the_gap_need_a_cytoplasm_around_both() -> None:
    near = discs([(15.0, 20.0, 3.0), (19.8, 20.0, 3.0)], 0.25)
    assert joined(near, near, 0.25) == [0, 1, 1]  # 1.8 µm of blank slide between them
    places = [(15.0, 20.0), (22.0, 20.0)]
    lobes, rims, cytoplasm = (discs([(x, y, d) for x, y in places], 0.25) for d in (3.0, 6.0, 7.5))
    assert joined(rims, lobes, 0.25) == [0, 1, 2]  # 4 µm between the lobes, 1 µm between the rims
    assert joined(cytoplasm, lobes, 0.25) == [0, 1, 1]


def test_what_a_join_makes_is_weighed_again() -> None:
    """A shred between two nuclei goes to one of them and does not tie them together."""
    parts = discs([(14.0, 20.0, 9.0), (26.0, 20.0, 9.0), (20.0, 20.0, 2.5)], 0.25)
    label = joined(parts, parts, 0.25)
    assert label[1] != label[2]
    assert label[3] in label[1:3]


def test_labels_without_pixels_and_single_parts_are_left() -> None:
    parts = discs(LOBES[:1], 0.25)
    assert joined(parts, parts, 0.25) == [0, 1]
    parts[parts == 1] = 3
    assert joined(parts, parts, 0.25) == [0, 1, 2, 3]
    empty = np.zeros_like(parts)
    assert merge_parts(empty, empty, even_stain(empty), 0, 0.25).tolist() == [0]
    assert merge_parts(empty, empty, even_stain(empty), 2, 0.25).tolist() == [0, 1, 2]


def test_parts_at_opposite_borders_do_not_touch() -> None:
    """The last px of a row is not the neighbour of the next row's first."""
    parts = np.zeros((40, 40), np.int32)
    parts[10:20, :4], parts[10:20, 36:] = 1, 2
    assert joined(parts, parts, 0.25) == [0, 1, 2]


def halves(ratio: float, half_um2: float, level: tuple[int, int] = (100, 100)) -> tuple[Labels, Mask]:
    """A rectangle cut in two squares or so, whose centres are ``ratio`` of the sum of their radii apart.

    Halves of w x h lie w / 2 apart, and each has the radius sqrt(w h / 2 pi). The upper and the lower part
    have these levels of contrast.
    """
    aspect = ratio**2 * 8 / np.pi
    height = round(np.sqrt(2 * half_um2 / aspect) / 0.05)
    width = round(aspect * height / 2)
    parts = np.zeros((height + 20, 2 * width + 20), np.int32)
    parts[10 : 10 + height, 10 : 10 + width], parts[10 : 10 + height, 10 + width : 10 + 2 * width] = 1, 2
    contrast = even_stain(parts, level[0])
    contrast[10 + height // 2 :] = np.where(parts[10 + height // 2 :] > 0, level[1], 0)
    return parts, contrast


@pytest.mark.parametrize(
    ("ratio", "half_um2", "one"),
    [
        (0.63, 90.0, True), (0.67, 90.0, False),  # halves of one nucleus, however large
        (0.78, 40.0, True), (0.84, 40.0, False),  # as much stain as a nucleus has at least
        (0.81, 36.0, True), (0.81, 44.0, False),
        (1.00, 24.0, True), (1.13, 24.0, False),  # lobes
    ],
)  # fmt: skip
def test_distance_and_stain_decide_together(ratio: float, half_um2: float, one: bool) -> None:
    parts, contrast = halves(ratio, half_um2)
    assert merge_parts(parts, parts, contrast, 2, 0.05).tolist() == [0, 1, 1 if one else 2]


def test_stain_is_measured_against_the_plateau_of_a_part() -> None:
    """Half of each part has half the contrast: as much stain as 30 µm² of the plateau, not 60 of the rest."""
    parts, contrast = halves(0.87, 40.0, (100, 50))
    assert merge_parts(parts, parts, contrast, 2, 0.05).tolist() == [0, 1, 1]


@pytest.mark.parametrize(("gap_um", "one"), [(2.8, True), (3.2, False)])
def test_lobes_hang_together_over_a_gap(gap_um: float, one: bool) -> None:
    parts, cells = np.zeros((2, 200, 200), np.int32)
    for label, left in ((1, 50), (2, 65 + round(gap_um / 0.1))):
        parts[90:105, left : left + 15] = cells[30:170, left : left + 15] = label
    assert joined(cells, parts, 0.1) == [0, 1, 1 if one else 2]
