"""A camera that repeats, cuts off or mixes its pictures is told by name; a live one is not."""

from __future__ import annotations

import numpy as np
import pytest

from edge.light.field import Field
from edge.light.pyramid import columns_of
from edge.quality import FrameWatch, assess
from edge.quality.integrity import damage, file_doubts
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import Frame, UInt8Image
from tests.edge.quality.drawn import FIELD, SLIDE

OTHER = SLIDE.view(25.0, 10.0).image


def cut(image: UInt8Image, row: int, filling: object) -> UInt8Image:
    copy = image.copy()
    copy[row:] = filling
    return copy


def test_a_repeated_frame_is_frozen_and_another_shot_of_the_same_place_is_not() -> None:
    watch = FrameWatch()
    shots = (FIELD, SLIDE.view(exposure=1).image, FIELD, FIELD, FIELD, OTHER)
    assert [watch.reasons(shot) for shot in shots] == [(), (), (), ("frozen",), ("frozen",), ()]


@pytest.mark.parametrize("filling", [0, 128, (0, 135, 0)])
def test_rows_that_never_came(filling: object) -> None:
    assert damage(columns_of(cut(FIELD, 200, filling))) == ("incomplete",)
    assert damage(columns_of(cut(FIELD, 200, FIELD[199]))) == ("incomplete",)
    assert damage(columns_of(np.ascontiguousarray(cut(FIELD, 440, filling)[::-1]))) == ("incomplete",)
    assert damage(columns_of(cut(FIELD, 479, filling))) == ()  # one row is a sensor's edge


@pytest.mark.parametrize("row", [100, 240, 400])
def test_two_exposures_in_one_picture(row: int) -> None:
    assert damage(columns_of(np.concatenate([FIELD[:row], OTHER[row:]]))) == ("torn",)


def test_whole_pictures_pass() -> None:
    blank = Slide(4, RenderSettings(640, 480, 0.2, population=Population.only())).view().image
    burnt_out = np.full((480, 640, 3), 255, np.uint8)
    burnt_out[100:200, 100:200] = 90
    black = np.zeros((480, 640, 3), np.uint8)  # as a whole it is underexposed
    for image in (*(SLIDE.view(float(x_um)).image for x_um in (0, 400, 800)), blank, burnt_out, black):
        assert damage(columns_of(image)) == ()


def test_a_file_of_two_pictures_is_counted_with_a_doubt() -> None:
    torn = cut(FIELD, 200, OTHER[200:])
    assert "possibly_damaged" in assess(Field(Frame(torn, "test"))).warnings
    assert not assess(Field(Frame(FIELD, "test"))).warnings
    # Under 384 px it may be one cell, cut out.
    assert not file_doubts(Field(Frame(np.ascontiguousarray(torn[:383]), "test")))
    assert file_doubts(Field(Frame(np.ascontiguousarray(torn[:384]), "test")))
