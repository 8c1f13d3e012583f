"""Outlines of cells and nuclei against the exact masks of drawn and rendered fields."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation import segment
from edge.structures import Frame

BLANK = (225, 220, 210)
RED_CELL = (200, 165, 160)
NUCLEUS = (95, 45, 140)
UM_PER_PX = 0.1
Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> float:
    return 2.0 * int((a & b).sum()) / max(1, int(a.sum()) + int(b.sum()))


def disc(image: NDArray[np.uint8], x: float, y: float, diameter: float, colour: tuple[int, ...]) -> None:
    centre = (round(x / UM_PER_PX * 16), round(y / UM_PER_PX * 16))
    radius = round(diameter / 2 / UM_PER_PX * 16)
    cv2.circle(image, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, shift=4)


def drawn(
    cytoplasm: tuple[int, int, int], *, red: list[tuple[float, float]], width_um: float = 60.0
) -> tuple[NDArray[np.uint8], Mask, Mask]:
    """A white cell of 13 µm in the middle, red cells at the given distances (µm), its exact masks."""
    middle = width_um / 2
    side = round(width_um / UM_PER_PX)
    image = np.full((side, side, 3), BLANK, np.uint8)
    for x, y in red:
        disc(image, middle + x, middle + y, 7.5, RED_CELL)
    disc(image, middle, middle, 13.0, cytoplasm)
    disc(image, middle, middle, 8.0, NUCLEUS)
    cell, nucleus = np.zeros((2, side, side), np.uint8)
    disc(cell, middle, middle, 13.0, (1,))
    disc(nucleus, middle, middle, 8.0, (1,))
    noise = np.random.default_rng(5).normal(0, 2, image.shape)
    soft = cv2.GaussianBlur(image, (0, 0), 1.5) + noise
    return np.clip(soft, 0, 255).astype(np.uint8), cell > 0, nucleus > 0


FAR = [(x, y) for x in (-24.0, -14.0, 14.0, 24.0) for y in (-24.0, -14.0, 0.0, 14.0, 24.0)]


@pytest.mark.parametrize(
    "cytoplasm",
    [(170, 165, 205), (205, 200, 205), (190, 140, 150), (205, 180, 172)],
    ids=["blue", "pale", "dense pink", "of the red cells' own colour"],
)
@pytest.mark.parametrize("red", [FAR, []], ids=["among red cells", "alone"])
def test_cell_and_nucleus_are_drawn_where_they_are(
    cytoplasm: tuple[int, int, int], red: list[tuple[float, float]]
) -> None:
    image, cell, nucleus = drawn(cytoplasm, red=red)
    found = segment(Field(Frame(image, "drawn", um_per_px=UM_PER_PX)))
    assert len(found.cells) == 1
    cells, nuclei = found.label_images()
    assert dice(cells > 0, cell) > 0.92
    assert dice(nuclei > 0, nucleus) > 0.92


def test_cytoplasm_does_not_leak_into_a_red_cell_that_touches() -> None:
    image, cell, _ = drawn((170, 165, 205), red=[*FAR, (10.0, 0.0), (0.0, -10.0)])
    cells, _ = segment(Field(Frame(image, "drawn", um_per_px=UM_PER_PX))).label_images()
    assert dice(cells > 0, cell) > 0.92
    beyond = cv2.dilate(cell.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert int(((cells > 0) & beyond).sum()) < 0.03 * int(cell.sum())


def test_lone_cell_gives_the_scale_where_there_are_no_red_cells() -> None:
    image, cell, _ = drawn((190, 140, 150), red=[], width_um=22.0)
    found = segment(Field(Frame(image, "drawn")))
    assert found.scale.source == "assumed"
    assert found.scale.um_per_px == pytest.approx(UM_PER_PX, rel=0.15)
    assert dice(found.label_images()[0] > 0, cell) > 0.92


def test_rendered_cells_agree_with_their_exact_masks() -> None:
    nuclei_dice, cells_dice = [], []
    for seed in range(3):
        field = render_field(seed, RenderSettings(width=900, height=700, um_per_px=0.15))
        labels, nuclei = segment(Field(Frame(field.image, "rendered", um_per_px=0.15))).label_images()
        for truth in field.cells:
            mask = field.cell_labels == truth.id
            ids, counts = np.unique(labels[mask & (labels > 0)], return_counts=True)
            if truth.kind == "smudge" or truth.touches_border or not ids.size:
                continue
            best = ids[counts.argmax()]
            cells_dice.append(dice(mask, labels == best))
            nuclei_dice.append(dice(field.nucleus_labels == truth.id, nuclei == best))
    assert len(cells_dice) >= 3
    assert np.mean(cells_dice) > 0.9
    assert np.mean(nuclei_dice) > 0.9
