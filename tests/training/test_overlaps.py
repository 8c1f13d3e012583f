"""Where crops were cut, and which fields show the same piece of a smear."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.structures import UInt8Image
from training.data.overlaps import Place, ScenePlace, Shift, join, locate, overlaps


@pytest.fixture(scope="module")
def fields(tree: Any) -> dict[str, Path]:
    return {path.stem: path for path in sorted((tree.root / "ALL_IDB1" / "im").iterdir())}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write pictures, to be found again by name."""

    def write(**images: UInt8Image) -> dict[str, Path]:
        for name, image in images.items():
            Image.fromarray(image).save(tmp_path / f"{name}.png")
        return {name: tmp_path / f"{name}.png" for name in images}

    return write


def pixels(path: Path) -> UInt8Image:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_every_exact_cut_is_found_where_it_was_cut(tree: Any, fields: dict[str, Path]) -> None:
    found = locate({path.stem: path for path in (tree.root / "ALL_IDB2" / "img").iterdir()}, fields)
    assert found == {name: Place(*cut, 0.0) for name, cut in tree.cuts.items()}


def test_cuts_are_found_at_the_edge_and_encoded_again_and_not_without_their_field(
    fields: dict[str, Path], write: Any
) -> None:
    places = {"corner": (0, 0), "end": (559 - 128, 479 - 110), "edge": (3, 201), "again": (50, 60)}
    image = pixels(fields["Im003_1"])
    crops = {name: image[top : top + 110, left : left + 128] for name, (left, top) in places.items()}
    buffer = io.BytesIO()
    Image.fromarray(crops["again"]).save(buffer, "JPEG", quality=85)
    crops["again"] = np.asarray(Image.open(buffer))
    found = locate(write(**crops), fields)
    for name, place in found.items():
        assert place is not None
        assert (place.field, place.left, place.top) == ("Im003_1", *places[name])
        assert (0 < place.difference < 4) if name == "again" else place.difference == 0
    others = {name: path for name, path in fields.items() if name != "Im003_1"}
    assert set(locate(write(**crops), others).values()) == {None}
    # A field smaller than the crop cannot hold it; of equal fields the first name is taken.
    small = write(small=image[:100])
    assert locate(write(edge=crops["edge"]), small) == {"edge": None}
    twice = {"b": fields["Im003_1"], "a": fields["Im003_1"]}
    assert locate(write(edge=crops["edge"]), twice) == {"edge": Place("a", 3, 201, 0.0)}


def seen_again(image: UInt8Image, dx: int, dy: int, seed: int) -> UInt8Image:
    """Move the picture by (dx, dy), with other noise and a little more light; what comes in is blank."""
    height, width = image.shape[:2]
    moved = np.full_like(image, 220)
    moved[max(0, dy) : height + dy, max(0, dx) : width + dx] = image[
        max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
    ]
    noise = np.random.default_rng(seed).normal(4, 3, image.shape)
    return np.clip(moved + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (-137, 71), (453, 290)])
def test_field_taken_again_is_found_with_its_shift(tree: Any, write: Any, dx: int, dy: int) -> None:
    # Twice as large, so that a red cell has 76 px as in ALL-IDB.
    first = tree.fields["Im001_1"].image.repeat(2, axis=0).repeat(2, axis=1)
    shifts = overlaps(write(a=first, b=seen_again(first, dx, dy, 1)))
    assert [(s.first, s.second, s.dx, s.dy) for s in shifts] == [("a", "b", dx, dy)]
    assert shifts[0].correlation > 0.9


def test_other_fields_are_not_taken_for_one_scene(tree: Any, fields: dict[str, Path], write: Any) -> None:
    assert overlaps(fields) == []
    image, blank = tree.fields["Im001_1"].image, np.full((480, 560, 3), 220, np.uint8)
    assert overlaps(write(a=blank, b=blank)) == []
    assert overlaps(write(a=image, b=image[:-64])) == []
    # Scrambled inside each block of 16 px, the reduced picture stays nearly as it was.
    random = np.random.default_rng(0)
    blocks = image.reshape(30, 16, 35, 16, 3).transpose(0, 2, 1, 3, 4).reshape(30 * 35, 256, 3)
    scrambled = np.stack([block[random.permutation(256)] for block in blocks])
    other = scrambled.reshape(30, 35, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(image.shape)
    assert overlaps(write(a=image, b=other)) == []


def test_scenes_reach_over_several_fields() -> None:
    shifts = [Shift("b", "c", 5, -1, 0.99), Shift("a", "b", 100, 20, 0.99)]
    assert join(["d", "c", "b", "a"], shifts) == {
        "a": ScenePlace("a", 0, 0),
        "b": ScenePlace("a", -100, -20),
        "c": ScenePlace("a", -105, -19),
        "d": ScenePlace("d", 0, 0),
    }


@pytest.mark.real_data
def test_official_crops_are_found_where_an_independent_search_found_them(real_data: Path) -> None:
    with (real_data / "all-idb2" / "crops.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["crop"]).stem: row for row in list(csv.DictReader(file))[::29]}
    folder = real_data / "all-idb1" / "im"
    fields = {Path(row["field"]).stem: folder / row["field"] for row in rows.values()}
    crops = {name: real_data / "all-idb2" / "img" / row["crop"] for name, row in rows.items()}
    assert locate(crops, fields) == {
        name: Place(Path(row["field"]).stem, int(row["x"]), int(row["y"]), 0.0) for name, row in rows.items()
    }


@pytest.mark.real_data
def test_real_fields_that_overlap_are_found(real_data: Path) -> None:
    """The last pair shares a strip of a sixth of its height."""
    names = ("Im009_1", "Im010_1", "Im011_1", "Im012_1", "Im102_0", "Im103_0")
    found = overlaps({name: real_data / "all-idb1" / "im" / f"{name}.jpg" for name in names})
    shift = {(s.first[2:5], s.second[2:5]): (s.dx, s.dy) for s in found}
    assert set(shift) == {("009", "010"), ("009", "011"), ("010", "011"), ("102", "103")}
    there = np.add(shift["009", "010"], shift["010", "011"])
    assert np.abs(there - shift["009", "011"]).max() <= 2  # the stage turns nothing: shifts add up
