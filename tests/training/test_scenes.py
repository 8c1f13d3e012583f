from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera.files import read_image
from edge.structures import UInt8Image
from training.data.locate import reduce
from training.data.scenes import ScenePlace, Shift, coarse_overlaps, join, verify


def overlaps(fields: dict[str, UInt8Image]) -> list[Shift]:
    reduced = {name: reduce(image) for name, image in fields.items()}
    found = (verify(pair, fields[pair.first], fields[pair.second]) for pair in coarse_overlaps(reduced))
    return [shift for shift in found if shift is not None]


def seen_again(image: UInt8Image, dx: int, dy: int, seed: int) -> UInt8Image:
    """Move the picture by (dx, dy), with other noise and a little more light; what comes in is blank."""
    height, width = image.shape[:2]
    moved = np.full_like(image, 220)
    moved[max(0, dy) : height + dy, max(0, dx) : width + dx] = image[
        max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
    ]
    noise = np.random.default_rng(seed).normal(4, 3, image.shape)
    return np.clip(moved + noise, 0, 255).astype(np.uint8)


def magnified(image: UInt8Image) -> UInt8Image:
    """Twice as large, so that a red cell has 76 px as in ALL-IDB."""
    return image.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (-137, 71), (453, 290)])
def test_field_taken_again_is_found_with_its_shift(tree: Any, dx: int, dy: int) -> None:
    first = magnified(tree.fields["Im001_1"].image)
    shifts = overlaps({"a": first, "b": seen_again(first, dx, dy, 1)})
    assert [(s.first, s.second, s.dx, s.dy) for s in shifts] == [("a", "b", dx, dy)]
    assert shifts[0].correlation > 0.9


def test_other_fields_are_not_taken_for_one_scene(tree: Any) -> None:
    assert overlaps({name: magnified(drawn.image) for name, drawn in tree.fields.items()}) == []


def test_blank_fields_and_fields_of_other_size_are_not_compared(tree: Any) -> None:
    blank = np.full((480, 560, 3), 220, np.uint8)
    assert overlaps({"a": blank, "b": blank.copy()}) == []
    image = tree.fields["Im001_1"].image
    assert overlaps({"a": image, "b": image[:-64]}) == []


def test_pair_that_only_looks_alike_when_reduced_is_refused_at_full_size(tree: Any) -> None:
    first = tree.fields["Im001_1"].image
    pairs = list(coarse_overlaps({"a": reduce(first), "b": reduce(first)}))
    assert len(pairs) == 1
    # Scrambled inside each block of 16 px, the reduced picture stays as it was.
    random = np.random.default_rng(0)
    blocks = first.reshape(30, 16, 35, 16, 3).transpose(0, 2, 1, 3, 4).reshape(30 * 35, 256, 3)
    scrambled = np.stack([block[random.permutation(256)] for block in blocks])
    second = scrambled.reshape(30, 35, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(first.shape)
    assert len(list(coarse_overlaps({"a": reduce(first), "b": reduce(second)}))) == 1
    assert verify(pairs[0], first, second) is None


def test_scenes_reach_over_several_fields() -> None:
    shifts = [Shift("b", "c", 5, -1, 0.99), Shift("a", "b", 100, 20, 0.99)]
    places = join(["d", "c", "b", "a"], shifts)
    assert places == {
        "a": ScenePlace("a", 0, 0),
        "b": ScenePlace("a", -100, -20),
        "c": ScenePlace("a", -105, -19),
        "d": ScenePlace("d", 0, 0),
    }


@pytest.mark.real_data
def test_real_fields_that_overlap_are_found(real_data: Path) -> None:
    names = ("Im009_1", "Im010_1", "Im011_1", "Im012_1")
    images = {name: read_image(real_data / "all-idb1" / "im" / f"{name}.jpg").image for name in names}
    found = {(s.first, s.second): (s.dx, s.dy) for s in overlaps(images)}
    assert set(found) == {("Im009_1", "Im010_1"), ("Im009_1", "Im011_1"), ("Im010_1", "Im011_1")}
    there = np.add(found["Im009_1", "Im010_1"], found["Im010_1", "Im011_1"])
    assert np.abs(there - found["Im009_1", "Im011_1"]).max() <= 2  # the stage turns nothing: shifts add up
