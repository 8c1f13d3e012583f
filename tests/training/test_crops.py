from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.camera.files import read_image
from edge.classification.crop import to_input
from edge.errors import DataSetError, ImageError
from edge.structures import InputSpec
from training.data import allidb, crops
from training.data.crops import CropSet, LabelledCrop, Survey, same_cells

SPEC = InputSpec(size_px=48)


@pytest.fixture(scope="module")
def surveyed(tree: Any) -> Survey:
    return crops.survey(allidb.load(tree.root))


@pytest.fixture(scope="module")
def cut(tree: Any, surveyed: Survey) -> CropSet:
    return crops.cut(allidb.load(tree.root), surveyed, SPEC)


def crop_at(x: float, y: float, *, scene: str = "a", level: int = 0, um_per_px: float = 0.1) -> LabelledCrop:
    pixels = np.full((16, 16, 3), level, np.uint8)
    return LabelledCrop(pixels, 1, "xyc", "s", scene, 1, x, y, um_per_px, scene, x, y, None)


def test_every_whole_cell_is_cut_with_its_label(tree: Any, cut: CropSet) -> None:
    found = {(crop.field, crop.x, crop.y): crop.label for crop in cut.idb1}
    drawn = {(name, x, y): int(name[-1]) for name, field in tree.fields.items() for x, y in field.cells}
    assert found == drawn
    assert {(crop.origin, crop.label) for crop in cut.idb1} == {("xyc", 1), ("other_xyc", 0)}
    assert {crop.camera for crop in cut.idb1} == {"Camera A", "Camera B"}


def test_platelets_and_cells_at_the_border_are_left_out_and_counted(tree: Any, cut: CropSet) -> None:
    assert cut.dropped == {
        "other_xyc: cell touches the border": len(tree.fields),
        "other_xyc: no white cell found there": len(tree.fields),
    }


def test_crop_is_what_the_device_cuts(tree: Any, surveyed: Survey, cut: CropSet) -> None:
    crop = cut.idb1[4]
    field = surveyed.fields[str(crop.field)]
    image = read_image(tree.root / crop.source).image
    expected = to_input(
        image, crop.x, crop.y, SPEC, um_per_px=field.scale.um_per_px, background=field.background
    )
    np.testing.assert_array_equal(crop.pixels, expected)


def test_idb2_crop_is_cut_anew_from_its_field(tree: Any, cut: CropSet) -> None:
    assert len(cut.idb2) == len(tree.cuts)
    for crop in cut.idb2:
        field, left, top = tree.cuts[crop.source.removeprefix("ALL_IDB2/img/").removesuffix(".tif")]
        assert (crop.field, crop.x, crop.y) == (field, left + 80, top + 80)
        assert (crop.origin, crop.difference, crop.field_label) == ("idb2", 0.0, crop.label)
    # The points of ALL-IDB1 mark the same cells in the same fields: equal bytes.
    assert {crop.sha256 for crop in cut.idb2} <= {crop.sha256 for crop in cut.idb1}


def test_cut_is_the_same_each_time_and_ticks_once_a_field(tree: Any, cut: CropSet) -> None:
    data = allidb.load(tree.root)
    ticks: list[int] = []
    again = crops.cut(data, crops.survey(data, lambda: ticks.append(1)), SPEC, lambda: ticks.append(2))
    assert [crop.sha256 for crop in again.idb1 + again.idb2] == [crop.sha256 for crop in cut.idb1 + cut.idb2]
    assert (ticks.count(1), ticks.count(2)) == (12, 12)


def test_idb2_crop_without_its_field_is_cut_from_its_own_image(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=2)
    name = "Im001_1"
    for path in (tree.root / "ALL_IDB1").rglob(f"{name}.*"):
        path.unlink()
    data = allidb.load(tree.root)
    surveyed = crops.survey(data)
    cut = crops.cut(data, surveyed, SPEC)
    alone = [crop for crop in cut.idb2 if crop.origin == "idb2_unlocated"]
    assert {crop.source for crop in alone} == {
        f"ALL_IDB2/img/{c}.tif" for c, place in tree.cuts.items() if place[0] == name
    }
    assert len(cut.idb2) - len(alone) == 4
    crop = alone[0]
    assert (crop.field, crop.field_label, crop.scene, crop.x) == (None, None, crop.source, 80.0)
    assert crop.um_per_px == surveyed.fields["Im002_1"].scale.um_per_px
    white = np.percentile(crop.pixels, 95)  # the crop's own blank slide was found
    assert abs(white - SPEC.white_point) < 12


@pytest.mark.parametrize(
    ("left", "top", "shape", "centre"),
    [
        (10, 20, (257, 257), (138, 148)),
        (0, 0, (200, 190), (190 - 1 - 128, 200 - 1 - 128)),
        (600 - 190, 500 - 200, (200, 190), (600 - 190 + 128, 500 - 200 + 128)),
        (30, 40, (101, 121), (90, 90)),  # not at an edge: cut smaller on purpose
    ],
)
def test_centre_of_a_crop_that_the_edge_cut_off_is_the_whole_squares(
    surveyed: Survey, left: int, top: int, shape: tuple[int, int], centre: tuple[int, int]
) -> None:
    field = dataclasses.replace(surveyed.fields["Im001_1"], width=600, height=500)
    place = crops.Place("Im001_1", left, top, 0.0)
    assert crops._centre(place, np.zeros((*shape, 3), np.uint8), field) == centre


def test_second_mark_of_a_cell_is_left_out_and_the_blast_wins(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=1)
    x, y = tree.fields["Im001_1"].cells[0]
    path = tree.root / "ALL_IDB1" / "other_xyc" / "Im001_1.xyc"
    path.write_text(f"{x + 3} {y}\n", encoding="ascii")
    data = allidb.load(tree.root)
    cut = crops.cut(data, crops.survey(data), SPEC)
    assert cut.dropped["other_xyc: cell already marked"] == 1
    assert [crop.label for crop in cut.idb1 if crop.field == "Im001_1"] == [1, 1, 1]


def test_without_other_xyc_the_cells_of_healthy_persons_are_the_normal_ones(
    make_tree: Callable[..., Any],
) -> None:
    tree = make_tree(fields_per_class=1, others=False)
    data = allidb.load(tree.root)
    cut = crops.cut(data, crops.survey(data), SPEC)
    normal = [crop for crop in cut.idb1 if crop.label == 0]
    assert {crop.origin for crop in normal} == {"segmentation"}
    assert {crop.field for crop in normal} == {"Im051_0"}
    assert len(normal) == 3  # not the one at the border
    assert cut.dropped == {"segmentation: cell touches the border": 1}


def test_point_outside_its_field_is_refused(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=1)
    (tree.root / "ALL_IDB1" / "xyc" / "Im001_1.xyc").write_text("560 20\n", encoding="ascii")
    data = allidb.load(tree.root)
    surveyed = crops.survey(data)
    with pytest.raises(
        DataSetError, match=r"Im001_1: xyc marks \(560, 20\), outside of the 560x480 px image"
    ):
        crops.cut(data, surveyed, SPEC)


def test_damaged_field_is_named(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=1)
    path = tree.root / "ALL_IDB1" / "im" / "Im001_1.jpg"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ImageError, match=r"Im001_1\.jpg"):
        crops.survey(allidb.load(tree.root))


def test_cell_seen_in_two_overlapping_fields_is_one_cell(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=1)
    folder = tree.root / "ALL_IDB1"
    image = np.roll(tree.fields["Im001_1"].image, (-32, -16), axis=(0, 1))
    Image.fromarray(image).save(folder / "im" / "Im002_1.jpg", quality=95)
    moved = "".join(f"{x - 16} {y - 32}\n" for x, y in tree.fields["Im001_1"].cells)
    (folder / "xyc" / "Im002_1.xyc").write_text(moved, encoding="ascii")
    data = allidb.load(tree.root)
    surveyed = crops.survey(data)
    assert [(s.first, s.second, s.dx, s.dy) for s in surveyed.shifts] == [("Im001_1", "Im002_1", -16, -32)]
    cut = crops.cut(data, surveyed, SPEC)
    first = [crop for crop in cut.idb1 if crop.field == "Im001_1"]
    again = [crop for crop in cut.idb1 if crop.field == "Im002_1"]
    assert list(same_cells(first, again)) == first
    healthy = [crop for crop in cut.idb1 if crop.label == 0]
    assert list(same_cells(healthy, first + again)) == []


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (crop_at(139, 100, level=1), True),
        (crop_at(141, 100, level=1), False),  # 4.1 µm away: the next cell
        (crop_at(100, 100, scene="b", level=1), False),
        (crop_at(300, 300, scene="b", level=0), True),  # the same bytes
    ],
)
def test_same_cell_is_judged_by_place_and_by_bytes(other: LabelledCrop, same: bool) -> None:
    assert bool(list(same_cells([crop_at(100, 100)], [other]))) is same
