"""One optical density, whoever asks for it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.light.density import (
    FINE_LEVELS,
    blank_planes,
    density_of_levels,
    density_planes,
    optical_density,
)
from edge.light.field import Field
from edge.structures import Background, Frame

BLANK = np.array([[[230.0, 220.0, 200.0]]], np.float32)


def test_densities_of_layers_add_up() -> None:
    one, two = density_of_levels(250)[[100, 40]]  # 0.4 of the light passes once, and again
    assert two == pytest.approx(2 * one, rel=1e-6)


def test_both_forms_say_the_same() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    background = Background(BLANK, 80, 60)
    density = optical_density(image, background)
    planes = density_planes(image, blank_planes(background, 80, 60))
    red, green, blue = (density[..., channel] for channel in range(3))
    for plane, expected in (
        (planes.total, red + green + blue),
        (planes.difference, green - blue),
        (planes.red, red),
    ):
        np.testing.assert_allclose(plane / FINE_LEVELS, expected, atol=3 / FINE_LEVELS)


def test_what_is_computed_of_a_field_is_computed_once() -> None:
    field = Field(Frame(np.full((60, 80, 3), 200, np.uint8), "blank"))
    assert field.pyramid is field.pyramid
    assert field.background is field.background
    assert field.density is field.density
    assert np.abs(field.density).max() < 1e-3  # blank slide takes nothing away
