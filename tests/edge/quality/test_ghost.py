"""A field that lies over itself is told from one that is crowded."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.light.field import Field
from edge.light.pyramid import shrunk
from edge.quality import ghost
from edge.quality.focus import focus_judgement
from edge.quality.ghost import has_ghost
from edge.quality.look import cover_of
from edge.structures import Frame, UInt8Image
from tests.edge.quality.conftest import spread_over
from tests.edge.quality.drawn import FIELD

UM_PER_PX = 0.2


def doubled(image: UInt8Image, way_um: float, degrees: float, share: float) -> UInt8Image:
    """The same field once more, moved, with a share of the light."""
    x, y = (round(way_um / UM_PER_PX * turn(math.radians(degrees))) for turn in (math.cos, math.sin))
    moved = np.roll(image, (y, x), (0, 1))
    return np.asarray(cv2.addWeighted(image, 1 - share, moved, share, 0), np.uint8)


@pytest.mark.parametrize("degrees", [0.0, 50.0, 200.0])
@pytest.mark.parametrize("way_um", [3.0, 7.0, 13.0])
def test_a_field_over_itself_is_warned_of(way_um: float, degrees: float) -> None:
    image = doubled(FIELD, way_um, degrees, 0.3)
    assert has_ghost(image, UM_PER_PX)
    judged = focus_judgement(Field(Frame(image, "drawn")), UM_PER_PX, 0.4)
    assert "double_exposure" in judged[1]


@pytest.mark.parametrize(("echo", "told"), [(11.9, False), (12.1, True)])
def test_an_echo_is_more_than_cells_that_are_alike_give(
    monkeypatch: pytest.MonkeyPatch, echo: float, told: bool
) -> None:
    monkeypatch.setattr(ghost, "_highest_echo", lambda *_: echo)
    assert has_ghost(FIELD, UM_PER_PX) == told


def test_the_way_is_in_um_at_every_scale() -> None:
    image = doubled(FIELD, 6.0, 30.0, 0.4)
    assert has_ghost(shrunk(image, 2.0), 2 * UM_PER_PX)
    assert has_ghost(image.repeat(2, 0).repeat(2, 1), UM_PER_PX / 2)


def test_a_crowded_field_another_place_and_a_flat_one_are_none() -> None:
    assert not has_ghost(FIELD, UM_PER_PX)
    # Two places over each other repeat nothing: this cannot be told so.
    assert not has_ghost(np.asarray(cv2.addWeighted(FIELD, 0.5, FIELD[:, ::-1], 0.5, 0), np.uint8), UM_PER_PX)
    assert not has_ghost(np.full_like(FIELD, 200), UM_PER_PX)
    assert not has_ghost(doubled(FIELD, 6.0, 0.0, 0.02), UM_PER_PX)


@pytest.mark.real_data
def test_good_fields_have_none_and_all_of_them_over_themselves_do(real_data: Path) -> None:
    sets = {
        "all-idb1/im": 0.1,
        "bccd/images": 0.15,
        "wbc-chula": 0.2,
        "all-taleqani": 0.35,
        "lisc": 0.15,
    }
    looked = 0
    for number, (folder, um_per_px) in enumerate(sets.items()):
        for file in spread_over(real_data / folder, 6):
            image = np.array(Image.open(file).convert("RGB"))
            looked += 1
            assert not has_ghost(image, um_per_px), file
            way = 8.0 * UM_PER_PX / um_per_px
            assert has_ghost(doubled(image, way, 40.0 * number, 0.4), um_per_px), file
    assert looked > 20


@pytest.mark.real_data
def test_two_places_on_one_picture_look_like_a_field_of_another_laboratory(real_data: Path) -> None:
    """Why most are not told: nuclei stand out as little elsewhere, and as much is covered."""
    looks: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for folder in ("all-idb1/im", "bccd/images", "wbc-chula/images", "all-taleqani", "lisc"):
        for file in spread_over(real_data / folder, 4):
            image = np.array(Image.open(file).convert("RGB"))
            over = np.asarray(cv2.addWeighted(image, 0.6, image[:, ::-1].copy(), 0.4, 0), np.uint8)
            for doubled_up, picture in ((False, image), (True, over)):
                seen = Field(Frame(picture, "real"))
                assert seen.colour is not None
                looks[doubled_up].append((seen.colour.strength / seen.colour.density, cover_of(seen)))
    good, two = np.array(looks[False]), np.array(looks[True])
    assert len(good) >= 20
    inside = ((two >= good.min(axis=0)) & (two <= good.max(axis=0))).all(axis=1)
    assert inside.mean() > 2 / 3
