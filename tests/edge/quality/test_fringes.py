"""Red beside green is told from dyes of different colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.camera.files import read_image
from edge.light.field import Field
from edge.quality.focus import focus_judgement
from edge.quality.fringes import has_colours_apart
from edge.structures import Frame, UInt8Image
from tests.edge.quality.conftest import spread_over
from tests.edge.quality.drawn import FIELD

UM_PER_PX = 0.2


def apart(image: UInt8Image, x: int, y: int) -> Field:
    out = image.copy()
    out[..., 0] = np.roll(image[..., 0], (y, x), (0, 1))
    return Field(Frame(out, "drawn"))


@pytest.mark.parametrize(("x", "y"), [(4, 0), (-4, 0), (0, 5), (4, -3)])
def test_red_beside_green_is_warned_of(x: int, y: int) -> None:
    seen = apart(FIELD, x, y)
    assert has_colours_apart(seen, UM_PER_PX)
    assert "colours_apart" in focus_judgement(seen, UM_PER_PX, 0.4)[1]


def test_a_field_as_it_is_and_an_empty_one_have_none() -> None:
    assert not has_colours_apart(Field(Frame(FIELD, "drawn")), UM_PER_PX)
    assert not has_colours_apart(Field(Frame(np.full_like(FIELD, 200), "drawn")), UM_PER_PX)


@pytest.mark.parametrize(("um_per_px", "told"), [(0.07, False), (0.072, True)])  # 0.348 and 0.357 µm
def test_the_way_is_in_um(um_per_px: float, told: bool) -> None:
    assert has_colours_apart(apart(FIELD, 6, 0), um_per_px) == told


@pytest.mark.parametrize(("x", "told"), [(-3, False), (3, True)])  # 0.213 and 0.226 of the rest
def test_the_way_explains_what_red_is_beyond_its_share(x: int, told: bool) -> None:
    assert has_colours_apart(apart(FIELD, x, 0), UM_PER_PX) == told


@pytest.mark.real_data
def test_good_fields_have_none(real_data: Path) -> None:
    sets = {
        "all-idb1/im": 0.1,
        "bccd/images": 0.08,
        "wbc-chula/images": 0.065,
        "all-taleqani": 0.35,
        "lisc": 0.16,
    }
    looked = found = 0
    for folder, um_per_px in sets.items():
        for file in spread_over(real_data / folder, 6):
            looked += 1
            frame = read_image(file)
            assert not has_colours_apart(Field(frame), um_per_px), file
            found += has_colours_apart(apart(frame.image, round(1.5 / um_per_px), 0), um_per_px)
    assert looked > 20
    # Not where red light shows other things than green, as in one of the five sources.
    assert found > looked / 2
