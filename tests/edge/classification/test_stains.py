"""Colour in the basis of nucleus and red cells: what a camera changes cancels, what a cell has stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.classification.crop import Cutter
from edge.classification.stains import red_cell_colour, stain_planes
from edge.light.field import Field
from edge.rendered import RenderedField
from edge.segmentation import Segmentation, segment
from edge.structures import Cell, Frame, InputSpec

SPEC = InputSpec(size_px=48, channels="nucleus+red_cells+rest")
NUCLEUS, RED_CELLS, GRANULES = (
    np.float32(colour) for colour in ([0.5, 0.6, 0.25], [0.15, 0.3, 0.25], [0.2, 0.4, 0.1])
)


def unit(colour: NDArray[np.float32]) -> NDArray[np.float32]:
    return colour / np.linalg.norm(colour)


def cell_of(cytoplasm: NDArray[np.float32], camera: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Planes of a square cell, half nucleus and half cytoplasm, as a camera sees it."""
    density = np.zeros((1, 16, 16, 3), np.float32)
    cell, nucleus = np.zeros((2, 1, 16, 16), np.uint8)
    cell[0, 2:14, 2:14] = nucleus[0, 2:14, 2:8] = 255
    density[cell > 0] = cytoplasm * camera
    density[nucleus > 0] = NUCLEUS * camera
    return stain_planes(density, cell, nucleus, unit(RED_CELLS * camera))


@pytest.mark.parametrize("camera", [[1, 1, 1], [1.4, 1.4, 1.4], [0.7, 1.2, 1.5]])
def test_nucleus_and_red_cells_are_the_same_for_every_camera_and_strength(camera: list[float]) -> None:
    planes = cell_of(0.5 * RED_CELLS, np.float32(camera))[0]
    assert planes[8, 4].tolist() == [128, 80, 128]  # the nucleus: one of itself, none of the others
    assert planes[0, 0].tolist() == [0, 0, 0]  # what is not the cell
    assert planes[8, 11, 0] == 0
    assert planes[8, 11, 1] > 100  # a red cell's colour in the cytoplasm
    assert abs(int(planes[8, 11, 2]) - 128) <= 1


def test_what_neither_nucleus_nor_red_cells_have_is_the_third_plane() -> None:
    same = np.float32([1, 1, 1])
    granules, swapped = (cell_of(colour, same)[0, 8, 11] for colour in (GRANULES, GRANULES[::-1]))
    assert abs(int(granules[2]) - 128) > 30
    assert np.abs(granules.astype(int) - swapped).max() > 50


def test_without_red_cells_there_is_the_density_of_the_nucleus_and_no_colour() -> None:
    density = np.zeros((1, 16, 16, 3), np.float32)
    density[:, 2:14, 2:8], density[:, 2:14, 8:14] = NUCLEUS, 0.5 * RED_CELLS
    inside = np.where(density[..., 0] > 0, 255, 0).astype(np.uint8)
    nucleus = inside.copy()
    nucleus[..., 8:] = 0
    planes = stain_planes(density, inside, nucleus, None)[0]
    assert planes[8, 4].tolist() == [128, 80, 128]
    assert 20 < planes[8, 11, 0] < 60
    assert planes[8, 11, 1:].tolist() == [80, 128]
    assert planes[0, 0].tolist() == [0, 0, 0]


def test_one_colour_of_nucleus_and_red_cells_is_finite() -> None:
    density = np.full((1, 16, 16, 3), 0.4, np.float32)
    inside = np.full((1, 16, 16), 255, np.uint8)
    planes = stain_planes(density, inside, inside, unit(np.ones(3, np.float32)))
    assert (planes == [128, 80, 128]).all()
    assert not stain_planes(density * 0, inside * 0, inside * 0, unit(RED_CELLS)).any()


@pytest.fixture(scope="module")
def field(small_field: RenderedField) -> Field:
    return Field(Frame(small_field.image, "rendered"))


@pytest.fixture(scope="module")
def found(field: Field) -> Segmentation:
    return segment(field)


def test_red_cells_have_the_colour_of_what_is_no_white_cell(
    field: Field, found: Segmentation, small_field: RenderedField
) -> None:
    colour = red_cell_colour(field, found.cells)
    assert colour is not None
    step = field.sampling_px
    total = field.density.sum(axis=-1)
    labels = small_field.cell_labels[::step, ::step]
    red = field.density[(labels == 0) & (total > 0.2)].mean(axis=0)
    white = field.density[(labels > 0) & (total > 0.6)].mean(axis=0)
    assert colour @ unit(red) > 0.995
    assert colour @ unit(white) < 0.97


def test_a_field_without_red_cells_has_no_colour_of_them(field: Field) -> None:
    everything = Cell(1, 320, 240, (0, 0, 640, 480), 1, 1, "wbc", touches_border=True)
    assert red_cell_colour(field, [everything]) is None
    assert red_cell_colour(Field(Frame(np.full((100, 100, 3), 230, np.uint8), "blank")), []) is None


def test_a_field_s_cells_are_cut_with_its_own_red_cells(field: Field, found: Segmentation) -> None:
    colour = red_cell_colour(field, found.cells)
    own = [cell for cell in found.cells if cell.kind == "wbc"]
    centres, outlines = [(cell.x, cell.y) for cell in own], [found.outline(cell) for cell in own]

    def cut(spec: InputSpec, red_cells: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        cutter = Cutter(field, spec, um_per_px=found.scale.um_per_px, red_cells=red_cells)
        return cutter.cut(centres, outlines)

    crops = cut(SPEC, colour)
    relative = cut(replace(SPEC, channels="density+cell+nucleus"), None)
    assert ((crops > 0).any(axis=-1) <= (relative.any(axis=-1) | (crops[..., 1] > 0))).all()
    nuclei = relative[..., 2] > 0
    assert abs(float(crops[..., 0][nuclei].mean()) - 128) < 5
    assert (cut(SPEC, colour[::-1].copy()) != crops).any()  # type: ignore[index]


def test_colour_beside_density_and_outlines_is_what_the_two_others_lack(
    field: Field, found: Segmentation
) -> None:
    colour = red_cell_colour(field, found.cells)
    own = [cell for cell in found.cells if cell.kind == "wbc"]
    centres, outlines = [(cell.x, cell.y) for cell in own], [found.outline(cell) for cell in own]

    def cut(channels: str, red_cells: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        spec = replace(SPEC, channels=channels)
        cutter = Cutter(field, spec, um_per_px=found.scale.um_per_px, red_cells=red_cells)
        return cutter.cut(centres, outlines)

    crops, relative = cut("density+rest+outlines", colour), cut("density+cell+nucleus", None)
    assert (crops[..., 0] == relative[..., 0]).all()
    assert (crops[..., 1] == cut("nucleus+red_cells+rest", colour)[..., 2]).all()
    assert (crops[..., 2] == np.where(relative[..., 2] > 0, 255, relative[..., 1] // 255 * 128)).all()
    # A field that shows no red cells: a cell without colour, and the rest as it is.
    without = cut("density+rest+outlines", None)
    assert set(np.unique(without[..., 1])) == {0, 128}
    assert (without[..., [0, 2]] == crops[..., [0, 2]]).all()
