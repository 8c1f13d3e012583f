"""Blank slide's colour under cells, vignetting and a coloured cast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.background import estimate_background
from edge.light.pyramid import Pyramid
from edge.structures import UInt8Image

BLANK = (210, 200, 180)


def blank_slide(width: int = 400, height: int = 300) -> UInt8Image:
    return np.full((height, width, 3), BLANK, np.uint8)


def test_a_flat_field_whatever_lies_on_it() -> None:
    empty, cells, patch = blank_slide(), blank_slide(), blank_slide()
    for x in range(20, 400, 34):
        for y in range(20, 300, 34):
            cv2.circle(cells, (x, y), 14, (180, 120, 120), cv2.FILLED)
    patch[100:200, 150:260] = (120, 60, 150)  # tiles full of cells take their neighbours' colour
    for image, error in ((empty, 1), (blank_slide(45, 31), 1), (cells, 4), (patch, 10)):
        assert np.allclose(estimate_background(Pyramid(image)).grid, BLANK, atol=error)


def test_vignetting_is_followed() -> None:
    yy, xx = np.mgrid[-1:1:300j, -1:1:400j]
    shade = 1 - 0.25 * (xx**2 + yy**2) / 2
    image = (np.array((230, 220, 200)) * shade[..., None]).astype(np.uint8)
    background = estimate_background(Pyramid(image))
    for x, y in ((200, 150), (60, 60), (340, 240)):
        assert background.at(x, y) == pytest.approx(image[y, x].astype(float), rel=0.05)
