"""Lines through the field and pixels that are not square, and fields that have neither."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.light.field import Field
from edge.light.pyramid import Lines
from edge.quality import assess
from edge.quality.edges import Seams, find_seams, is_stretched, is_too_sharp
from edge.structures import Background, Frame, UInt8Image
from tests.edge.quality.drawn import FIELD
from tests.tools.altered_fields import altered

NONE = Seams(colour=False, light=False)


def judged(image: UInt8Image) -> tuple[str, ...]:
    judgement = assess(Field(Frame(np.ascontiguousarray(image), "drawn")))
    return (*judgement.reasons, *judgement.warnings)


def test_a_field_has_no_seam_and_square_pixels() -> None:
    assert find_seams(Lines.of(FIELD)) == NONE
    assert judged(FIELD) == ()


@pytest.mark.parametrize(
    "part",
    [np.s_[:240], np.s_[240:], np.s_[:, :320], np.s_[:, 320:], np.s_[:240, :320], np.s_[240:, 320:]],
    ids=["top", "bottom", "left", "right", "quarter", "other quarter"],
)
def test_a_part_with_red_and_blue_swapped_is_refused(part: tuple[slice, ...]) -> None:
    swapped = FIELD.copy()
    swapped[part] = FIELD[part][..., ::-1]
    assert find_seams(Lines.of(swapped)) == Seams(colour=True, light=False)
    assert judged(swapped) == ("channels_swapped",)


def test_a_strip_below_the_field_is_an_overlay() -> None:
    strip = np.full((50, 640, 3), (60, 20, 110), np.uint8)
    assert "overlay" in judged(np.vstack([FIELD, strip]))


def test_a_black_margin_of_a_small_picture_is_no_other_order_of_channels() -> None:
    """A phone's camera at an eyepiece, a scanner's tile at the slide's end: the lamp's tint ends there."""
    warm = (FIELD[:300, :300] * np.array([1, 0.92, 0.75])).astype(np.uint8)
    warm[:40] = 0
    assert find_seams(Lines.of(warm)) == Seams(colour=True, light=True)
    assert "channels_swapped" not in judged(warm)
    assert "overlay" in judged(warm)


def lines(jump: int, noise: int = 1, at: int = 100, side: int = 401) -> UInt8Image:
    """Rows that change by so many levels each, and at one of them by more."""
    levels = np.full((side, 420, 3), 150, np.uint8)
    levels[::2] += noise
    levels[at:] += jump
    return levels


@pytest.mark.parametrize(
    ("picture", "seen"),
    [
        (lines(4), False),
        (lines(7), True),
        (lines(7, noise=5), False),  # 2.4 times the change of other rows
        (lines(9, noise=5), True),
        (lines(40, at=10), False),  # the outermost rows of a sensor
        (lines(40, at=18), True),
        (lines(40, side=399), False),  # one cell would be a good part of a line
    ],
)
def test_what_a_seam_is(picture: UInt8Image, seen: bool) -> None:
    assert find_seams(Lines.of(picture)).light == seen
    assert find_seams(Lines.of(np.ascontiguousarray(picture.swapaxes(0, 1)))).light == seen


@pytest.mark.parametrize(("factor", "stretched"), [(1.0, False), (1.12, False), (1.4, True), (1 / 1.4, True)])
def test_pixels_that_are_not_square(factor: float, stretched: bool) -> None:
    image = np.asarray(Image.fromarray(FIELD).resize((round(640 * factor), 480), Image.Resampling.BOX))
    assert ("stretched" in judged(image)) == stretched


def ovals(x: float, side: int = 480, count: int = 60) -> Field:
    """Ovals of 24 px in y and so many in x."""
    rng = np.random.default_rng(2)
    image = np.full((side, side, 3), 220, np.uint8)
    for _ in range(count):
        centre = (int(rng.integers(side)), int(rng.integers(side)))
        cv2.ellipse(image, centre, (round(x / 2), 12), 0, 0, 360, (190, 150, 160), -1, cv2.LINE_AA)
    slide = Background(np.full((1, 1, 3), 220, np.float32), side, side)
    return Field(Frame(image, "drawn"), slide)


@pytest.mark.parametrize(
    ("seen", "stretched"),
    [
        (ovals(24), False),
        (ovals(38), True),
        (ovals(38, side=398), False),  # too small, whatever is in it
        (ovals(38, count=2), False),  # two cells are no mean
    ],
)
def test_many_ovals_of_one_direction(seen: Field, stretched: bool) -> None:
    assert is_stretched(seen) == stretched


@pytest.mark.parametrize("kind", ["half or quarter swapped", "pixels not square"])
def test_an_altered_field_is_refused_or_warned_of(kind: str) -> None:
    assert judged(altered(FIELD, kind, 0))


def edges(soft: int, steep: int, blur_px: float = 2.5) -> UInt8Image:
    """Bars of 90 levels: so many of them blurred, and so many that end from one px to the next."""
    rng = np.random.default_rng(0)
    bars = []
    for number in range(soft + steep):
        bar = np.full((160, 60), 200, np.float32)
        bar[:, 20:40] = 110
        sigma = blur_px if number < soft else 0.1
        bars.append(cv2.GaussianBlur(bar, (0, 0), sigma) + rng.normal(0, 0.5, bar.shape))
    plane = np.hstack(bars)
    return np.repeat(np.rint(plane).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("picture", "um_per_px", "sharp"),
    [
        (edges(20, 0), 0.1, False),
        (edges(39, 1), 0.1, False),  # 2.5 %
        (edges(36, 2), 0.1, True),
        (edges(36, 2), 0.12, False),  # there are not enough px to a µm
        (edges(0, 20, 0.6), 0.1, True),
    ],
)
def test_edges_steeper_than_light(picture: UInt8Image, um_per_px: float, sharp: bool) -> None:
    assert is_too_sharp(Lines.of(picture), um_per_px) == sharp
