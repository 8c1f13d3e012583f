"""Fields of one slide find each other, and no cell is counted twice."""

from __future__ import annotations

import numpy as np
import pytest

from edge.camera.rendered import RenderedField, RenderSettings, Slide
from edge.registration import Mosaic, Placement
from edge.segment import Segmentation, segment
from edge.structures import Frame

SETTINGS = RenderSettings(width=856, height=684, um_per_px=0.2)
SLIDE = Slide(4, SETTINGS)


def seen(field: RenderedField) -> tuple[Frame, Segmentation]:
    frame = Frame(field.image, "slide", um_per_px=0.2)
    return frame, segment(frame)


def put(mosaic: Mosaic, number: int, field: RenderedField) -> tuple[Placement, Segmentation]:
    frame, found = seen(field)
    placement = mosaic.place(frame, found)
    mosaic.add(number, placement)
    return placement, found


@pytest.mark.parametrize("rotation_deg", [-2.0, 0.0, 1.5])
def test_an_overlapping_field_is_placed_and_its_cells_are_known(rotation_deg: float) -> None:
    mosaic = Mosaic()
    first, found = put(mosaic, 7, SLIDE.view(0.0, 0.0))
    assert first.stage_um == (0.0, 0.0)
    assert not first.registered
    assert not first.seen
    second, again = put(mosaic, 8, SLIDE.view(40.0, -30.0, rotation_deg))
    assert second.overlaps == (7,)
    assert second.confidence > 0.9
    assert second.rotation_deg == pytest.approx(rotation_deg, abs=0.1)
    # The corner of a field turned about its centre.
    half = np.array([SETTINGS.width_um, SETTINGS.height_um]) / 2
    angle = np.radians(rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert second.stage_um == pytest.approx(half + np.array([40.0, -30.0]) - turn @ half, abs=0.5)
    whole = {cell.id: cell for cell in found.cells if not cell.touches_border}
    assert second.seen
    for cell_id, reference in second.seen.items():
        assert reference.field_id == 7
        old = whole[reference.cell_id]
        new = again.cells[cell_id - 1]
        assert np.hypot(new.x - old.x, new.y - old.y) * 0.2 == pytest.approx(50, abs=8)


def test_a_field_of_another_place_is_not_recognised() -> None:
    mosaic = Mosaic()
    put(mosaic, 1, SLIDE.view(0.0, 0.0))
    placement, _ = put(mosaic, 2, SLIDE.view(400.0, 0.0))
    assert placement.stage_um is None
    assert not placement.registered
    assert placement.confidence == 0.0
    assert not placement.seen


def test_the_same_field_again_has_no_new_cell() -> None:
    mosaic = Mosaic()
    _, found = put(mosaic, 1, SLIDE.view(0.0, 0.0))
    placement, again = put(mosaic, 2, SLIDE.view(0.0, 0.0, exposure=1))
    whole = [cell.id for cell in again.cells if not cell.touches_border]
    assert whole
    assert {placement.seen[number].field_id for number in whole} == {1}
    assert len(set(placement.seen.values())) == len(placement.seen)
    assert len(whole) == sum(not cell.touches_border for cell in found.cells)
