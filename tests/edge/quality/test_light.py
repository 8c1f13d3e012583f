"""The gate refuses hopeless fields, and nothing that a person could count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.camera.files import read_image
from edge.light.field import Field
from edge.quality import assess
from edge.rendered import Lamp, RenderSettings, render_field
from edge.structures import Background, Frame, UInt8Image


def judged(image: UInt8Image) -> tuple[str, ...]:
    return assess(Field(Frame(image, "test"))).reasons


def rendered(brightness: float) -> UInt8Image:
    return render_field(3, RenderSettings(480, 360, 0.2, lamp=Lamp(brightness=brightness))).image


@pytest.mark.parametrize("brightness", [0.25, 0.5, 0.76, 1.0])
def test_fields_under_usual_lamps_pass(brightness: float) -> None:
    assert judged(rendered(brightness)) == ()


def test_blank_and_coloured_fields_pass() -> None:
    """At which level a field is refused is tested with the limits."""
    for blank in (
        (220, 214, 205),
        (200, 200, 200),
        (255, 240, 190),
    ):  # the last of a coloured lamp
        assert judged(np.full((300, 400, 3), blank, np.uint8)) == ()


def test_a_grey_picture_of_cells_is_refused() -> None:
    image = rendered(0.76)
    assert judged(image) == ()
    assert judged(np.repeat(image[..., 1:2], 3, axis=2)) == ("no_colour",)


def test_both_reasons_are_given() -> None:
    dark = Background(np.full((1, 1, 3), 10, np.float32), 80, 60)
    frame = Frame(np.full((60, 80, 3), 255, np.uint8), "contradiction")
    assert assess(Field(frame, dark)).reasons == ("underexposed", "overexposed")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("all-idb1/im", "*.jpg"),
        ("all-idb2/img", "*.tif"),
        ("all-taleqani/benign", "*.jpg"),
        ("bccd/images", "*.jpg"),
        ("wbc-seg/set1", "*.bmp"),
        ("wbc-seg/set2", "*.bmp"),
        ("wbc-chula/images", "*.jpg"),
        ("pbc/lymphocyte", "*.jpg"),
    ],
)
def test_no_published_image_is_rejected(real_data: Path, folder: str, pattern: str) -> None:
    paths = sorted((real_data / folder).glob(pattern))[::7]
    assert paths
    for path in paths:
        assert judged(read_image(path).image) == (), path.name
