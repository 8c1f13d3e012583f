from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.camera.files import read_image
from edge.structures import UInt8Image
from training.data.locate import Candidate, Place, best_place, find_candidates, reduce, refine


def locate(crop: UInt8Image, fields: dict[str, UInt8Image]) -> Place | None:
    candidates = find_candidates(crop, {name: reduce(image) for name, image in fields.items()})
    return best_place(refine(crop, fields[candidate.field], candidate) for candidate in candidates)


@pytest.fixture(scope="module")
def fields(tree: Any) -> dict[str, UInt8Image]:
    folder = tree.root / "ALL_IDB1" / "im"
    return {path.stem: read_image(path).image for path in sorted(folder.iterdir())}


def test_every_exact_cut_is_found_where_it_was_cut(tree: Any, fields: dict[str, UInt8Image]) -> None:
    for name, (field, left, top) in tree.cuts.items():
        crop = read_image(tree.root / "ALL_IDB2" / "img" / f"{name}.tif").image
        assert locate(crop, fields) == Place(field, left, top, 0.0)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (559 - 128, 479 - 110), (3, 201)])
def test_cut_at_the_fields_edge_is_found(fields: dict[str, UInt8Image], left: int, top: int) -> None:
    crop = fields["Im003_1"][top : top + 110, left : left + 128]
    assert locate(crop, fields) == Place("Im003_1", left, top, 0.0)


def test_cut_that_was_encoded_again_is_found_with_its_difference(fields: dict[str, UInt8Image]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(fields["Im002_1"][60:221, 50:211]).save(buffer, "JPEG", quality=85)
    place = locate(np.asarray(Image.open(buffer)), fields)
    assert place is not None
    assert (place.field, place.left, place.top) == ("Im002_1", 50, 60)
    assert 0 < place.difference < 4


def test_crop_of_a_field_that_is_not_there_is_not_found(fields: dict[str, UInt8Image]) -> None:
    others = {name: image for name, image in fields.items() if name != "Im002_1"}
    assert locate(fields["Im002_1"][60:221, 50:211], others) is None


def test_field_smaller_than_the_crop_is_left_out(fields: dict[str, UInt8Image]) -> None:
    crop = fields["Im002_1"][60:221, 50:211]
    assert find_candidates(crop, {"small": reduce(crop[:100])}) == []


def test_of_equal_fields_the_first_name_is_taken_whatever_the_order(fields: dict[str, UInt8Image]) -> None:
    image = fields["Im002_1"]
    crop = image[60:221, 50:211]
    assert locate(crop, {"b": image, "a": image}) == locate(crop, {"a": image, "b": image})
    assert locate(crop, {"b": image, "a": image}) == Place("a", 50, 60, 0.0)


def test_refine_stays_inside_a_field_of_the_crops_size(fields: dict[str, UInt8Image]) -> None:
    crop = fields["Im002_1"]
    assert refine(crop, crop, Candidate("f", 16, 32, 0.9)) == Place("f", 0, 0, 0.0)


@pytest.mark.real_data
def test_official_crops_are_found_where_an_independent_search_found_them(real_data: Path) -> None:
    with (real_data / "all-idb2" / "crops.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::29]
    names = sorted({row["field"] for row in rows})
    real = {Path(name).stem: read_image(real_data / "all-idb1" / "im" / name).image for name in names}
    for row in rows:
        crop = read_image(real_data / "all-idb2" / "img" / row["crop"]).image
        assert locate(crop, real) == Place(Path(row["field"]).stem, int(row["x"]), int(row["y"]), 0.0)
