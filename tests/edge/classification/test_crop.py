from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.classification.crop import NUCLEUS_LEVEL, Cutter, channel_densities, planes_of, to_input
from edge.errors import ImageError
from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation import segment
from edge.structures import Background, Frame, InputSpec, Outline

SPEC = InputSpec()
RELATIVE = InputSpec(size_px=48, channels="density+cell+nucleus")


def flat(colour: tuple[float, float, float], width: int = 400, height: int = 300) -> Background:
    return Background(np.array(colour, np.float32).reshape(1, 1, 3), width, height)


def pattern() -> np.ndarray:
    """A fixed picture without symmetry, so that any flip, shift or channel swap shows."""
    y, x = np.mgrid[:300, :400]
    return np.stack([(x * 3 + y) % 251, (x + y * 5) % 241, (x * y // 7) % 239], axis=-1).astype(np.uint8)


def crop_at(
    image: np.ndarray,
    x: float,
    y: float,
    spec: InputSpec = SPEC,
    um_per_px: float = 0.1,
    blank: tuple[float, float, float] = (200, 210, 190),
    outline: Outline | None = None,
) -> np.ndarray:
    """Crop of an evenly lit field."""
    background = flat(blank, image.shape[1], image.shape[0])
    return to_input(image, x, y, spec, um_per_px=um_per_px, background=background, outline=outline)


@pytest.mark.requirement(9)
def test_bytes_of_the_crop_do_not_change() -> None:
    """Golden: a change here invalidates every shipped model, whatever the other tests say."""
    crops = [
        crop_at(pattern(), 200, 150),  # shrinking
        crop_at(pattern(), 200, 150, um_per_px=0.3),  # enlarging
        crop_at(pattern(), 5, 295),  # beyond two edges
    ]
    assert hashlib.sha256(b"".join(crop.tobytes() for crop in crops)).hexdigest() == GOLDEN


GOLDEN = "92265cdf904d7be57a0fd7ba652322b9d91381f3f1a9b8868f3d9bc35040b881"


@pytest.mark.requirement(9)
@pytest.mark.parametrize("um_per_px", [0.05, 0.1, 0.2, 0.4])
def test_a_cell_has_the_same_size_at_every_scale(um_per_px: float) -> None:
    side = round(40 / um_per_px)
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(x - side / 2, y - side / 2) < 6 / um_per_px
    image = np.where(disc[..., None], (90, 40, 120), (220, 215, 200)).astype(np.uint8)
    crop = crop_at(image, side / 2, side / 2, um_per_px=um_per_px, blank=(220, 215, 200))
    diameter_px = np.sqrt((crop[..., 0] < 160).sum() * 4 / np.pi)
    # 12 µm of 24 µm is half of 128 px; at 0.4 µm/px one source pixel is 2 px of the crop
    assert diameter_px == pytest.approx(64, abs=2.5)


@given(
    st.tuples(*[st.integers(64, 255)] * 3),
    st.tuples(*[st.floats(0.05, 1.0)] * 3),
)
@settings(max_examples=40)
def test_lamp_colour_does_not_reach_the_crop(
    lamp: tuple[int, int, int], transmission: tuple[float, float, float]
) -> None:
    colour = np.rint(np.array(lamp) * transmission).astype(np.uint8)
    image = np.broadcast_to(colour, (100, 100, 3)).copy()
    crop = crop_at(image, 50, 50, um_per_px=0.2, blank=lamp)
    expected = SPEC.white_point * np.array(transmission)
    # rounding of the 8-bit input, amplified by the gain, plus rounding of the output
    assert np.abs(crop[64, 64] - expected).max() <= 0.5 * SPEC.white_point / min(lamp) + 0.51


def test_swapped_channels_give_another_crop() -> None:
    crop = crop_at(pattern(), 200, 150)
    swapped = crop_at(pattern()[..., ::-1].copy(), 200, 150, blank=(190, 210, 200))
    assert np.array_equal(crop, swapped[..., ::-1])
    assert not np.array_equal(crop, swapped)


def test_beyond_the_edge_the_border_is_repeated_and_a_black_background_does_not_blow_up() -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    for x, y in ((0, 0), (399, 0), (0, 299), (399, 299)):
        assert (crop_at(image, x, y, blank=(200, 200, 200)) == SPEC.white_point).all()
    assert crop_at(np.zeros_like(image), 50, 50, blank=(0, 0, 0)).max() == 0


def cell_field(
    um_per_px: float = 0.1, stain: float = 1.0, lamp: tuple[int, int, int] = (235, 235, 235)
) -> tuple[np.ndarray, Outline, float]:
    """A cell of 12 µm with a nucleus of 8 µm off its middle, and another cell beside it."""
    side = round(40 / um_per_px)
    y, x = np.mgrid[:side, :side]
    centre = (side - 1) / 2
    cell = np.hypot(x - centre, y - centre) < 6 / um_per_px
    nucleus = np.hypot(x - centre - 1 / um_per_px, y - centre) < 4 / um_per_px
    other = np.hypot(x - centre, y - centre - 13 / um_per_px) < 6 / um_per_px
    density = np.zeros((side, side, 3))
    density[cell] = (0.15, 0.1, 0.05)
    density[nucleus | other] = (0.4, 0.5, 0.2)
    image = np.rint(np.array(lamp) * 10 ** (-stain * density)).astype(np.uint8)
    # Label images at half the field's resolution, as segmentation has them.
    labels = np.where(cell, 7, np.where(other, 8, 0)).astype(np.uint16)
    nuclei = np.where(nucleus, 7, np.where(other, 8, 0)).astype(np.uint16)
    return image, Outline(labels[::2, ::2], nuclei[::2, ::2], 7, (0, 0, side, side)), centre


def relative(
    um_per_px: float = 0.1, stain: float = 1.0, lamp: tuple[int, int, int] = (235, 235, 235)
) -> np.ndarray:
    image, outline, centre = cell_field(um_per_px, stain, lamp)
    return crop_at(image, centre, centre, RELATIVE, um_per_px, lamp, outline)


def test_the_relative_planes_are_density_cell_and_nucleus() -> None:
    density, cell, nucleus = np.moveaxis(relative(), -1, 0)
    um2_per_px = (24 / 48) ** 2
    assert (cell == 255).sum() * um2_per_px == pytest.approx(np.pi * 6**2, rel=0.03)
    assert (nucleus == 255).sum() * um2_per_px == pytest.approx(np.pi * 4**2, rel=0.04)
    assert set(np.unique(cell)) == set(np.unique(nucleus)) == {0, 255}
    rows, columns = np.nonzero(nucleus)
    assert columns.mean() == pytest.approx(23.5 + 1 / 0.5, abs=0.15)
    assert rows.mean() == pytest.approx(23.5, abs=0.15)
    assert density[nucleus == 255].mean() == pytest.approx(NUCLEUS_LEVEL, abs=2)
    assert np.median(density[(cell == 255) & (nucleus == 0)]) == pytest.approx(
        NUCLEUS_LEVEL * 0.3 / 1.1, abs=3
    )
    assert not density[-8:].any()  # the neighbour is not in it


def test_neither_stain_nor_lamp_reaches_the_relative_planes() -> None:
    usual = relative().astype(int)
    for other in (relative(stain=0.6), relative(stain=1.3), relative(lamp=(200, 170, 140))):
        assert np.abs(other - usual).max() <= 6  # 8-bit steps of a dark nucleus
        assert np.abs(other - usual).mean() < 0.5
    # ... which is not for want of looking: in RGB the same cells differ by more than a hundred levels.
    pale, deep = (cell_field(stain=stain)[0].astype(int) for stain in (0.6, 1.3))
    assert np.abs(pale - deep).max() > 50


@pytest.mark.parametrize("um_per_px", [0.05, 0.2, 0.4])
def test_relative_planes_have_the_same_size_at_every_scale(um_per_px: float) -> None:
    usual, other = relative().astype(int), relative(um_per_px).astype(int)
    for plane in (1, 2):
        assert (other[..., plane] > 0).sum() == pytest.approx((usual[..., plane] > 0).sum(), rel=0.08)


def test_another_cells_label_gives_another_crop_and_none_is_refused() -> None:
    image, outline, centre = cell_field()
    other = Outline(outline.cells, outline.nuclei, 8, outline.region)
    one, two = (
        crop_at(image, centre, centre, RELATIVE, blank=(235, 235, 235), outline=o) for o in (outline, other)
    )
    assert not np.array_equal(one, two)
    assert two[40:, 24].any()
    with pytest.raises(ImageError, match=r"'density\+cell\+nucleus' needs the cell's outline"):
        crop_at(image, centre, centre, RELATIVE)


@pytest.mark.parametrize("colour", [0, 6, 235, 255])
def test_a_cell_without_contrast_or_nucleus_gives_finite_planes(colour: int) -> None:
    crop = np.full((32, 32, 3), colour, np.uint8)
    density = channel_densities(crop, 235).sum(axis=2)[None]
    cell = np.zeros((1, 32, 32), np.uint8)
    nothing = np.zeros_like(cell)
    assert not planes_of(density, nothing, nothing)[..., 1:].any()
    cell[:, 8:24, 8:24] = 255
    planes = planes_of(density, cell, nothing)[0]
    assert planes[16, 16].tolist() == [0 if colour >= 235 else NUCLEUS_LEVEL, 255, 0]


def test_an_outline_of_a_part_of_the_field_is_that_of_the_whole() -> None:
    """Segmentation keeps label images of the surroundings of cells only."""
    image, outline, centre = cell_field()
    x0, y0, x1, y1 = 30, 40, 190, 200  # of the label images, two px of the field each
    part = Outline(
        outline.cells[y0:y1, x0:x1], outline.nuclei[y0:y1, x0:x1], 7, (2 * x0, 2 * y0, 2 * x1, 2 * y1)
    )
    whole, of_part = (
        crop_at(image, centre, centre, RELATIVE, blank=(235, 235, 235), outline=o) for o in (outline, part)
    )
    assert whole[..., 1].any()
    assert np.array_equal(whole, of_part)


def test_the_crop_shows_what_segmentation_found() -> None:
    field = render_field(3, RenderSettings(width=800, height=600, um_per_px=0.1))
    found = segment(Field(Frame(field.image, "rendered:3", um_per_px=0.1)))
    whole, nuclei = found.label_images()
    judged = [cell for cell in found.cells if cell.kind == "wbc"]
    assert len(judged) >= 3
    for cell in judged:
        # The same cut out of the label images of the field's own size.
        of_field = Outline(whole, nuclei, cell.id, (0, 0, 800, 600))
        crop, same = (
            to_input(
                field.image, cell.x, cell.y, RELATIVE, um_per_px=0.1, background=found.background, outline=o
            )
            for o in (found.outline(cell), of_field)
        )
        for plane in (1, 2):
            shared = np.count_nonzero(crop[..., plane] & same[..., plane])
            either = np.count_nonzero(crop[..., plane] | same[..., plane])
            assert shared / either > 0.9, (cell.id, plane)


@pytest.mark.parametrize("um_per_px", [0.05, 0.12, 0.4])
@pytest.mark.parametrize("spec", [SPEC, RELATIVE, replace(RELATIVE, channels="density+rest+outlines")])
def test_cells_cut_together_are_those_cut_alone(um_per_px: float, spec: InputSpec) -> None:
    image, outline, centre = cell_field(um_per_px)
    side = image.shape[0]
    # Blank slide that changes over the field, a crop beyond its edge with a sliver of the cell, another cell.
    grid = np.linspace(150, 240, 12, dtype=np.float32).reshape(2, 2, 3)
    blank = Background(grid, side, side)
    centres = [(centre, centre), (3.1 / um_per_px, centre + 1.4), (centre + 13 / um_per_px, centre - 3.3)]
    outlines = [Outline(outline.cells, outline.nuclei, label, outline.region) for label in (7, 7, 8)]
    cutter = Cutter(Field(Frame(image, "a field"), blank), spec, um_per_px=um_per_px)
    together = cutter.cut(centres, outlines)
    alone = [
        to_input(image, x, y, spec, um_per_px=um_per_px, background=blank, outline=found)
        for (x, y), found in zip(centres, outlines, strict=True)
    ]
    assert np.array_equal(together, alone)
    assert len({crop.tobytes() for crop in alone}) == 3
    assert cutter.cut([], []).shape == (0, spec.size_px, spec.size_px, 3)


@pytest.mark.parametrize("shrink", [2.41, 3.0, 4.7, 4.81, 9.7])
def test_halving_first_shows_what_averaging_over_areas_shows(shrink: float) -> None:
    """Cells are smooth at the sensor's resolution, so the two ways may only differ by a little blur."""
    um_per_px = 24 / 48 / shrink
    field = render_field(5, RenderSettings(width=600, height=600, um_per_px=um_per_px))
    side = round(24 / um_per_px)
    left, top = round(303.0 - side / 2), round(297.0 - side / 2)
    blank = (235.0, 235.0, 235.0)  # a gain of one
    crop = crop_at(field.image, 303.0, 297.0, InputSpec(size_px=48), um_per_px, blank).astype(int)
    window = field.image[top : top + side, left : left + side].astype(np.float64)
    expected = cv2.resize(window, (48, 48), interpolation=cv2.INTER_AREA)  # noqa: TID251  # the oracle
    assert expected.std() > 10  # there is something to see
    difference = crop - expected
    assert abs(difference.mean()) < 0.5  # neither brighter nor darker
    assert np.abs(difference).mean() < 3.0
    # Half a px of the crop to the side would be another picture.
    moved = np.abs(crop[:, 1:] - (expected[:, :-1] + expected[:, 1:]) / 2).mean()
    assert np.abs(difference).mean() < 0.8 * moved
