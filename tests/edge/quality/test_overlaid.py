"""Colour that a program laid over a field, or kept in too few pixels: each limit from both sides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.field import Field
from edge.quality.overlaid import has_coarse_colour, is_patchy
from edge.structures import Frame, UInt8Image
from tests.edge.quality.drawn import FIELD
from tests.edge.quality.test_smear import judged
from tests.tools.altered_fields import altered


def tiled(apart: float, slide_tiles: int = 48, slide: float = 0.0) -> Field:
    """A field whose slide is bluer by so much in every other tile; tiles that are no slide have cells."""
    number = np.arange(48).reshape(6, 8)
    tiles = np.full((6, 8, 3), slide / 3, np.float32)
    tiles[..., 2] += apart * (number % 2)
    tiles[number >= slide_tiles] += 0.2
    seen = Field(Frame(FIELD, "drawn"))
    seen.density = np.repeat(np.repeat(tiles, 20, axis=0), 20, axis=1)
    return seen


@pytest.mark.parametrize(
    ("seen", "patchy"),
    [
        (tiled(0.051), False),
        (tiled(0.055), True),
        (tiled(0.055, slide_tiles=10), True),
        (tiled(0.055, slide_tiles=8), False),
        (tiled(0.055, slide=0.06), True),
        (tiled(0.055, slide=0.13), False),  # stained all over: that is no slide
    ],
)
def test_a_slide_whose_colour_changes_from_place_to_place(seen: Field, patchy: bool) -> None:
    assert is_patchy(seen) == patchy


@pytest.mark.parametrize("seed", range(3))
def test_a_map_laid_over_a_field_is_warned_of(seed: int) -> None:
    assert judged(altered(FIELD, "under a heat map", seed))


def following(share: float, contrast: float = 25.0) -> UInt8Image:
    """Noise whose colour follows its brightness by a share, and else has a pattern of its own."""
    rng = np.random.default_rng(2)
    patterns = [cv2.GaussianBlur(rng.normal(size=(420, 420)), (0, 0), 2.0) for _ in range(3)]
    light, *others = (pattern / pattern.std() for pattern in patterns)
    planes = [light, *(share * light + (1 - share**2) ** 0.5 * own for own in others)]
    levels = np.clip(np.rint(128 + contrast * np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_YCrCb2RGB), np.uint8)


@pytest.mark.parametrize(
    ("picture", "coarse"),
    [
        (FIELD, False),
        (following(0.09), True),
        (following(0.11), False),
        (following(0.0, contrast=2.2), False),  # noise has no colour of its own
        (following(0.0, contrast=2.6), True),
    ],
)
def test_colour_that_does_not_follow_brightness(picture: UInt8Image, coarse: bool) -> None:
    assert has_coarse_colour(picture) == coarse
