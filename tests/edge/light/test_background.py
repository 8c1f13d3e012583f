"""Blank slide's colour under cells, vignetting and a coloured cast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.background import estimate_background
from edge.light.pyramid import Pyramid


def test_flat_field() -> None:
    image = np.full((300, 400, 3), (210, 200, 180), np.uint8)
    assert np.allclose(estimate_background(Pyramid(image)).grid, (210, 200, 180), atol=1)


def test_cells_do_not_darken_the_background() -> None:
    image = np.full((300, 400, 3), (210, 200, 180), np.uint8)
    for x in range(20, 400, 34):
        for y in range(20, 300, 34):
            cv2.circle(image, (x, y), 14, (180, 120, 120), cv2.FILLED)
    assert np.allclose(estimate_background(Pyramid(image)).grid, (210, 200, 180), atol=4)


def test_vignetting_is_followed() -> None:
    yy, xx = np.mgrid[-1:1:300j, -1:1:400j]
    shade = 1 - 0.25 * (xx**2 + yy**2) / 2
    image = (np.array((230, 220, 200)) * shade[..., None]).astype(np.uint8)
    background = estimate_background(Pyramid(image))
    for x, y in ((200, 150), (60, 60), (340, 240)):
        assert background.at(x, y) == pytest.approx(image[y, x].astype(float), rel=0.05)


def test_a_tile_full_of_cells_takes_its_neighbours_colour() -> None:
    image = np.full((300, 400, 3), (210, 200, 180), np.uint8)
    image[100:200, 150:260] = (120, 60, 150)
    assert estimate_background(Pyramid(image)).at(205, 150) == pytest.approx((210, 200, 180), rel=0.05)


def test_single_cell_crop_of_odd_size() -> None:
    image = np.full((31, 45, 3), (210, 200, 180), np.uint8)
    assert estimate_background(Pyramid(image)).at(20, 15) == pytest.approx((210, 200, 180), abs=1)
