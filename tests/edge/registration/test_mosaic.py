"""Fields of one slide find each other, and no cell is counted twice."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.light.field import Field
from edge.registration import Mosaic, Placement
from edge.rendered import Placement as CellPlacement
from edge.rendered import RenderSettings, Slide
from edge.segmentation import Segmentation, segment
from edge.structures import Frame, UInt8Image
from training.evaluation.registration import registered_pairs

SETTINGS = RenderSettings(width=856, height=684, um_per_px=0.2)
SLIDE = Slide(4, SETTINGS)

#: Fields that each of two known overlapping ALL-IDB1 pictures show in part.
REAL_OVERLAPS = {
    ("009", "010"), ("009", "011"), ("010", "011"), ("013", "015"), ("014", "015"), ("020", "021"),
    ("020", "022"), ("021", "022"), ("038", "044"), ("039", "044"), ("078", "089"), ("093", "108"),
}  # fmt: skip


@cache
def strip() -> UInt8Image:
    """The slide to the right of its first field, drawn once: drawing each of its fields takes longer."""
    return Slide(4, replace(SETTINGS, width=SETTINGS.width + 3450)).view(345.0).image


@cache
def seen(
    x_um: float, y_um: float = 0.0, turn_deg: float = 0.0, exposure: int = 0, slide: Slide = SLIDE
) -> tuple[Field, Segmentation]:
    """A view of the slide with its cells; several tests look at one place."""
    if x_um and (y_um, turn_deg, exposure, slide) == (0.0, 0.0, 0, SLIDE):
        left = round(x_um / SETTINGS.um_per_px)
        view = strip()[:, left : left + SETTINGS.width]
        image = cv2.add(view, np.random.default_rng(left).integers(0, 5, view.shape, np.uint8))
    else:
        image = slide.view(x_um, y_um, turn_deg, exposure=exposure).image
    field = Field(Frame(image, "slide", um_per_px=0.2))
    return field, segment(field)


def put(mosaic: Mosaic, number: int, *place: float, **how: Any) -> tuple[Placement, Segmentation]:
    field, found = seen(*place, **how)
    placement = mosaic.place(field, found)
    mosaic.add(number, placement)
    return placement, found


@pytest.mark.parametrize("rotation_deg", [-2.0, 0.0, 1.5])
def test_an_overlapping_field_is_placed_and_its_cells_are_known(rotation_deg: float) -> None:
    mosaic = Mosaic()
    first, found = put(mosaic, 7, 0.0)
    assert first.stage_um == (0.0, 0.0)
    assert not first.overlaps
    assert not first.seen
    second, again = put(mosaic, 8, 40.0, -30.0, rotation_deg)
    assert second.overlaps == (7,)
    assert second.confidence > 0.9
    assert second.rotation_deg == pytest.approx(rotation_deg, abs=0.1)
    # The corner of a field turned about its centre.
    half = np.array([SETTINGS.width_um, SETTINGS.height_um]) / 2
    angle = np.radians(rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert second.stage_um == pytest.approx(half + np.array([40.0, -30.0]) - turn @ half, abs=0.5)
    there = {cell.id: cell for cell in found.cells}
    assert second.seen
    for cell_id, reference in second.seen.items():
        assert reference.field_id == 7
        old = there[reference.cell_id]
        new = again.cells[cell_id - 1]
        assert np.hypot(new.x - old.x, new.y - old.y) * 0.2 == pytest.approx(50, abs=8)


def test_a_field_of_another_place_is_not_recognised() -> None:
    mosaic = Mosaic()
    put(mosaic, 1, 0.0)
    placement, _ = put(mosaic, 2, 400.0)
    assert placement.stage_um is None
    assert not placement.overlaps
    assert placement.confidence == 0.0
    assert not placement.seen


def test_the_same_field_again_has_no_new_cell() -> None:
    mosaic = Mosaic()
    _, found = put(mosaic, 1, 0.0)
    placement, again = put(mosaic, 2, 0.0, exposure=1)
    whole = [cell.id for cell in again.cells if not cell.touches_border]
    assert whole
    assert {placement.seen[number].field_id for number in whole} == {1}
    assert len(set(placement.seen.values())) == len(placement.seen)
    assert len(whole) == sum(not cell.touches_border for cell in found.cells)
    assert any(cell.touches_border for cell in again.cells)
    assert len(placement.seen) == len(again.cells), "cells cut by the edge, and smudges, are not new either"


def test_a_view_that_adds_nothing_is_not_kept() -> None:
    mosaic = Mosaic()
    for number in range(1, 4):
        put(mosaic, number, 0.0, exposure=number)
    assert len(mosaic) == 1
    put(mosaic, 4, 60.0)
    assert len(mosaic) == 2


def test_memory_is_bounded_and_says_what_it_forgets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.registration.mosaic.MAX_FIELDS", 2)
    mosaic = Mosaic()
    for number, x_um in enumerate((0.0, 300.0, 330.0, 600.0), start=1):
        put(mosaic, number, x_um)
    assert len(mosaic) == 2
    assert caplog.text.count("would be counted again") == 1
    assert not put(mosaic, 5, 0.0)[0].overlaps
    assert put(mosaic, 6, 600.0)[0].overlaps == (4,)


def test_a_return_after_many_fields_and_a_power_cut() -> None:
    """Restoring from pictures as they are stored gives the same answers as never having stopped."""
    before, after = Mosaic(), Mosaic()
    for number, x_um in enumerate((0.0, 90.0, 180.0, 600.0, 690.0), start=1):
        field, found = seen(x_um)
        placement = before.place(field, found)
        before.add(number, placement)
        _, jpeg = cv2.imencode(".jpg", field.image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        stored = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        restored = after.restore(number, stored, 0.2, found.cells, placement.seen)
        assert restored.overlaps == placement.overlaps
    field, found = seen(20.0, 10.0, 1.0)
    one, other = before.place(field, found), after.place(field, found)
    assert dict(one.seen) == dict(other.seen) != {}
    assert one.overlaps == other.overlaps
    assert other.stage_um == pytest.approx(one.stage_um, abs=0.3)


def test_islands_meet_when_a_field_connects_them() -> None:
    mosaic = Mosaic()
    put(mosaic, 1, 0.0)
    island, _ = put(mosaic, 2, 200.0)
    assert island.stage_um is None
    follower, _ = put(mosaic, 3, 300.0)
    assert follower.overlaps
    assert follower.stage_um is None
    bridge, _ = put(mosaic, 4, 100.0)
    assert set(bridge.overlaps) == {1, 2}
    last, _ = put(mosaic, 5, 320.0)
    assert last.stage_um == pytest.approx((320.0, 0.0), abs=1.5)


def test_a_cell_cut_by_the_edge_is_counted_where_it_is_whole() -> None:
    """Every cell of two overlapping fields is counted once, wherever the edges cut."""
    for x_um in (120.0, 150.0):
        mosaic = Mosaic()
        _, first = put(mosaic, 1, 0.0)
        placement, second = put(mosaic, 2, x_um)
        whole = [c for c in first.cells if not c.touches_border]
        new = [c for c in second.cells if not c.touches_border and c.id not in placement.seen]
        places = np.array(
            [(c.x * 0.2, c.y * 0.2) for c in whole] + [(c.x * 0.2 + x_um, c.y * 0.2) for c in new]
        )
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 99 * np.eye(len(places))
        assert apart.min() > 4.0
        cut = {c.id for c in second.cells if c.touches_border}
        assert all(placement.seen.get(i) is None or placement.seen[i].field_id == 1 for i in cut)


def test_fields_of_another_size_are_not_compared() -> None:
    mosaic = Mosaic()
    put(mosaic, 1, 0.0)
    smaller = Slide(4, RenderSettings(428, 342, 0.4)).view(0.0, 0.0)
    field = Field(Frame(smaller.image, "another camera", um_per_px=0.4))
    placement = mosaic.place(field, segment(field))
    assert not placement.overlaps
    assert placement.compared == 0


@pytest.mark.parametrize("number", [1, 2, 4])
def test_alike_cells_in_different_places_are_not_confused(number: int) -> None:
    """The same few cells, drawn the same way, on two otherwise empty fields of which one is mirrored."""
    rng = np.random.default_rng(number)
    places = rng.uniform(-50, 50, (number, 2))
    cells = [CellPlacement("lymphocyte", x, y, 9.0) for x, y in places]
    cells += [CellPlacement("lymphocyte", 500.0 - x, y, 9.0) for x, y in places]
    slide = Slide(1, SETTINGS, cells)
    mosaic = Mosaic()
    put(mosaic, 1, 0.0, slide=slide)
    placement, found = put(mosaic, 2, 500.0, slide=slide)
    assert len(found.cells) >= 1
    assert not placement.overlaps
    assert not placement.seen


@pytest.mark.real_data
def test_real_fields_that_overlap_are_found_and_no_others(real_data: Path) -> None:
    """Of 84 fields, 13 pairs share a part; 102 and 103 share a strip of 9 % that is bent by the lens."""
    images = sorted((real_data / "all-idb1" / "im").glob("*.jpg"))
    found = {(old.stem[2:5], new.stem[2:5]) for old, new, _ in registered_pairs(images)}
    assert found - {("102", "103")} == REAL_OVERLAPS
