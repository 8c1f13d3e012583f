"""A lens that bends the picture is told by the sizes and shapes of isolated red cells."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.segmentation.bend import measure_bend
from edge.segmentation.diameter import outer_contours
from edge.segmentation.labels import Mask
from edge.segmentation.scale import measure_scale

HEIGHT, WIDTH = 600, 800


def smear(cells: int, spread: float = 0.05, pairs: bool = False, squeezed: float = 1.0) -> Mask:
    """Discs at random that do not touch, of a diameter of about 24 px; in pairs or squeezed on demand."""
    rng = np.random.default_rng(3)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    taken = np.zeros_like(mask)
    left = cells
    while left:
        x, y = int(rng.integers(40, WIDTH - 40)), int(rng.integers(40, HEIGHT - 40))
        if taken[y, x]:
            continue
        cv2.circle(taken, (x, y), 60 if pairs else 34, 1, -1)
        radius = 12 * float(np.exp(rng.normal(0, spread)))
        for way in (-0.9, 0.9) if pairs else (0.0,):
            # In sixteenths of a px.
            centre = (round(16 * (x + way * radius)), 16 * y)
            axes = (round(16 * radius * squeezed), round(16 * radius / squeezed))
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1, cv2.LINE_8, 4)
        left -= 1
    return mask


def bent(mask: Mask, k: float) -> Mask:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = columns - WIDTH / 2, rows - HEIGHT / 2
    share = 1 + k * (x * x + y * y) / ((WIDTH / 2) ** 2 + (HEIGHT / 2) ** 2)
    onto = (np.float32(x * share + WIDTH / 2), np.float32(y * share + HEIGHT / 2))
    return np.asarray(cv2.remap(mask, *onto, cv2.INTER_NEAREST), np.uint8)


def measured(mask: Mask) -> float:
    return measure_bend(outer_contours(mask), mask.shape)


@pytest.mark.parametrize("k", [0.2, 0.12, -0.12, -0.2])
def test_barrel_and_pincushion_are_measured(k: float) -> None:
    # To the first order: the model says -2 k r² for what is ln(1 + 3 k r²) and the like.
    assert measured(bent(smear(100), k)) == pytest.approx(k, rel=0.3)
    scale = measure_scale(bent(smear(100), k), None, 1.0)
    assert scale is not None
    assert scale.red_cells is not None
    assert scale.red_cells.bend == pytest.approx(k, rel=0.3)


def test_a_straight_picture_and_one_with_other_pixels_have_none() -> None:
    assert measured(smear(100)) == 0.0
    assert measured(smear(100, squeezed=1.15)) == 0.0
    assert measure_bend([], (HEIGHT, WIDTH)) == 0.0


@pytest.mark.parametrize(("cells", "told"), [(9, False), (10, True)])
def test_ten_cells_are_enough(cells: int, told: bool) -> None:
    assert bool(measured(bent(smear(cells, spread=0.0), 0.2))) == told


@pytest.mark.parametrize(("k", "told"), [(0.02, False), (0.03, True)])  # 3.3 and 4.5 standard errors
def test_a_bend_is_more_than_chance(k: float, told: bool) -> None:
    assert bool(measured(bent(smear(30, spread=0.2), k))) == told


def test_pairs_of_cells_are_left_out() -> None:
    """Two discs that touch are longer than one, whichever way they lie."""
    assert measured(bent(smear(30, pairs=True), 0.2)) == 0.0
