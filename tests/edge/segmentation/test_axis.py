"""Which channel green is compared with: nuclei must stand out of washed-out red cells."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.light.field import Field
from edge.segmentation import segment
from edge.segmentation.axis import stain_axis
from edge.structures import Frame, UInt8Image

SPREAD = 0.01
SIGMA = 1.4826 * SPREAD


def density(usual: float, other: float, side: int = 9, stained: int = 90 * 90) -> np.ndarray:
    """Red cells all over, and a patch that stands out by so many sigmas in green less blue and less red."""
    shape = (90, 90)
    spread = np.resize(np.array([-SPREAD, 0.0, SPREAD], np.float32), shape)
    patch = np.zeros(shape, np.bool_)
    patch[20 : 20 + side, 20 : 20 + side] = True
    green = np.full(shape, 0.4, np.float32)
    red, blue = (np.where(patch, green - value * SIGMA, green - spread) for value in (other, usual))
    planes = np.stack([red, green, blue], axis=-1).astype(np.float32)
    planes.reshape(-1, 3)[stained:] = 0.0
    return planes


@pytest.mark.parametrize(
    ("usual", "other", "axis"),
    [
        (5.0, 13.0, "red"),
        (5.0, 11.5, "blue"),  # too little to be sure
        (6.3, 12.2, "blue"),  # not twice as good
        (7.0, 14.5, "red"),
        (12.5, 26.0, "red"),
        (13.5, 30.0, "blue"),  # good enough as it is
    ],
)
def test_the_channel_is_chosen_by_how_far_nuclei_stand_out(usual: float, other: float, axis: str) -> None:
    field = density(usual, other)
    assert stain_axis(field, field.sum(axis=2)) == axis


@pytest.mark.parametrize(("side", "axis"), [(7, "blue"), (8, "red")])
def test_a_speck_is_no_nucleus(side: int, axis: str) -> None:
    field = density(3.0, 20.0, side=side)
    assert stain_axis(field, field.sum(axis=2)) == axis


def washed_out() -> UInt8Image:
    """Burnt-out slide, red cells that have lost their blue density, noise and blue shifted as in video."""
    rng = np.random.default_rng(4)
    dye = np.zeros((576, 720, 3), np.float32)
    for x in range(30, 700, 52):
        for y in range(30, 560, 52):
            centre = (x + int(rng.integers(-6, 7)), y + int(rng.integers(-6, 7)))
            cv2.circle(dye, centre, 21, (0.13, 0.125, 0.06), -1)
    cv2.circle(dye, (350, 300), 34, (0.10, 0.18, 0.07), -1)
    cv2.circle(dye, (350, 300), 27, (0.17, 0.34, 0.09), -1)
    dye = cv2.GaussianBlur(dye, (0, 0), 1.5)
    dye[..., 2] = np.roll(dye[..., 2], 3, axis=0)
    image = 280.0 * 10.0**-dye + rng.normal(0.0, 2.0, dye.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def test_a_washed_out_field_has_its_white_cell_and_no_red_one() -> None:
    cells = segment(Field(Frame(washed_out(), "drawn"))).cells
    assert [(round(cell.x, -1), round(cell.y, -1)) for cell in cells] == [(350, 300)]
