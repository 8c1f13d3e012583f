"""All laboratories in one form: what is read, matched to the product's cells, and kept together."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edge.camera.files import read_image
from edge.classification.crop import to_input
from edge.cli import main
from edge.device.hashing import file_sha256
from edge.errors import DataSetError, OutputError
from edge.light.field import Field
from edge.segmentation import segment
from edge.structures import Frame, InputSpec
from training.data import cache as cache_module
from training.data import sources
from training.data.cache import Cache
from training.data.collection import Collection, agreed, collect, cut, match_marks, pooled_scales
from training.data.records import Mark, SourceField

Draw = Callable[..., Any]


def _pooled_frame(collection: Collection, field: str) -> Frame:
    record = collection.fields[field]
    return replace(read_image(record.path), pooled=record.pooled)


def test_every_laboratory_in_the_folder_is_read(collection: Collection) -> None:
    assert Counter(field.lab for field in collection.fields.values()) == {
        "all-idb": 12,
        "all-taleqani": 7,
        "bccd": 2,
        "pbc": 2,
    }


def test_points_and_crops_label_the_cells_that_the_segmentation_finds(
    collection: Collection, tree: Any
) -> None:
    usable = [cell for cell in collection.cells if cell.lab == "all-idb" and cell.usable]
    assert Counter((c.label, c.weak_label, c.origin) for c in usable) == {
        (1, 1, "xyc"): 3 * 6,
        (0, 0, "other_xyc"): 3 * 6,
    }
    for cell in usable:
        near = [np.hypot(cell.cell.x - x, cell.cell.y - y) for x, y in tree.fields[cell.field[8:]].cells]
        assert min(near) < 10


def test_a_cell_at_the_border_is_there_and_not_usable(collection: Collection) -> None:
    border = [cell for cell in collection.cells if cell.cell.touches_border]
    assert border
    assert not any(cell.usable for cell in border)


def test_platelets_and_cells_of_weakly_labelled_fields_have_no_label(collection: Collection) -> None:
    for cell in collection.cells:
        if cell.lab == "all-taleqani" or cell.cell_type == "platelet":
            assert cell.label is None
    lymphocytes = [cell for cell in collection.cells if cell.cell_type == "lymphocyte"]
    assert [cell.label for cell in lymphocytes] == [0]


def test_duplicates_and_blocks_are_one_group(collection: Collection) -> None:
    group = {field.name: field.group for field in collection.fields.values() if field.lab == "all-taleqani"}
    early = {int(name[-3:]): found for name, found in group.items() if name.startswith("early")}
    assert early[1] == early[2] == early[3] == early[26]  # 26 is in the second block, but shows 2 again
    assert early[50] != early[1]
    assert not set(early.values()) & {group["benign/WBC-Benign-001"], group["benign/WBC-Benign-002"]}


def test_an_exact_copy_of_a_field_brings_no_cells(collection: Collection) -> None:
    copy = collection.fields["all-taleqani/early/WBC-Malignant-Early-003"]
    assert copy.duplicate_of == "all-taleqani/early/WBC-Malignant-Early-001"
    assert not any(cell.field == copy.key for cell in collection.cells)


def test_cells_are_cut_as_the_device_cuts_them(collection: Collection) -> None:
    cells = [cell for cell in collection.cells if cell.usable][::7]
    spec = InputSpec(size_px=64, field_of_view_um=20.0)
    crops = cut(collection, cells[::-1], spec)[::-1]
    assert crops.shape == (len(cells), 64, 64, 3)
    for cell, crop in zip(cells, crops, strict=True):
        frame = _pooled_frame(collection, cell.field)
        found = segment(Field(frame))
        expected = to_input(
            frame.image,
            cell.cell.x,
            cell.cell.y,
            spec,
            um_per_px=found.scale.um_per_px,
            background=found.background,
        )
        assert np.array_equal(crop, expected)


def test_training_looks_at_a_folder_with_the_scale_that_count_gives_it(
    collection: Collection, tree: Any
) -> None:
    folder = tree.root / "ALL_IDB1" / "im"
    counted = [
        json.loads(line)
        for line in CliRunner().invoke(main, ["count", "--json", str(folder)]).stdout.splitlines()
    ]
    assert len(counted) == 12
    for field in counted:
        key = f"all-idb/{Path(field['source']).stem}"
        scale = collection.segmentation(key).scale
        assert scale.source == "pooled"
        assert round(collection.fields[key].um_per_px, 5) == field["um_per_px"]
        # Drawn fields are all of one scale; the interval tells a field's own word from that of twelve.
        assert [round(limit, 5) for limit in scale.interval] == field["um_per_px_interval"]


def test_the_scale_of_a_folder_is_that_of_all_pictures_in_it(
    make_tree: Callable[..., Any], tmp_path: Path
) -> None:
    tree, cache = make_tree(fields_per_class=3), Cache(tmp_path / "cache")
    folder = tree.root / "ALL_IDB1" / "im"
    fields = [
        SourceField("all-idb", path.stem, path, "camera", "session", 1) for path in sorted(folder.iterdir())
    ]
    alone = pooled_scales(fields[:1], cache)
    assert alone == {fields[0].key: pooled_scales(fields, cache)[fields[0].key]}
    fields[-1].path.unlink()
    assert pooled_scales(fields[:1], cache) != alone


def test_a_cell_is_cut_once_whatever_is_asked_for_beside_it(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell for cell in collection.cells if cell.usable][:5]
    spec = InputSpec(size_px=40, field_of_view_um=21.0)
    first = cut(collection, cells[:3], spec)
    fields: list[str] = []
    whole = Collection.image
    monkeypatch.setattr(
        Collection, "image", lambda self, field: (fields.append(field), whole(self, field))[1]
    )
    again = cut(collection, cells[::-1], spec)[::-1]
    assert set(fields) == {cell.field for cell in cells[3:]}
    assert np.array_equal(again[:3], first)
    assert np.array_equal(again[3:], cut(collection, cells[3:], spec))
    assert not np.array_equal(again[3], first[0])


def test_a_second_collection_comes_from_the_cache_and_is_equal(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("segmented again")

    monkeypatch.setattr("training.data.cache.segment", refuse)
    again = collect(collection.root, collection.cache)
    assert again.cells == collection.cells
    assert again.fields == collection.fields
    key = next(iter(collection.fields))
    first = segment(Field(_pooled_frame(collection, key)))
    assert np.array_equal(again.segmentation(key).cell_map, first.cell_map)
    assert np.array_equal(again.segmentation(key).nucleus_map, first.nucleus_map)


def test_a_damaged_cache_entry_is_made_anew(tmp_path: Path, tree: Any) -> None:
    cache, path = Cache(tmp_path), next((tree.root / "ALL_IDB1" / "im").iterdir())
    first = cache.segmentation(path, file_sha256(path))
    entry = next(tmp_path.rglob("*.pickle"))
    entry.write_bytes(entry.read_bytes()[:100])
    assert cache.segmentation(path, file_sha256(path)).cells == first.cells


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="give another --cache"):
        Cache(tmp_path / "file").kept("x", "y", lambda: 1)


def test_overlapping_fields_are_one_group_and_their_cells_counted_once(
    make_tree: Callable[..., Any], tmp_path: Path
) -> None:
    tree = make_tree(fields_per_class=3)
    folder = tree.root / "ALL_IDB1"
    with Image.open(folder / "im" / "Im001_1.jpg") as image:
        image.save(folder / "im" / "Im109_1.jpg", quality=95, exif=image.getexif())
    (folder / "xyc" / "Im109_1.xyc").write_bytes((folder / "xyc" / "Im001_1.xyc").read_bytes())
    found = collect(tree.root, Cache(tmp_path / "cache"))
    fields = found.fields
    assert fields["all-idb/Im109_1"].group == fields["all-idb/Im001_1"].group
    again = [cell for cell in found.cells if cell.field == "all-idb/Im109_1"]
    assert all(cell.identity.startswith("all-idb/Im001_1#") for cell in again if cell.whole)
    assert sum(cell.usable and cell.label == 1 for cell in found.cells) == 9


def test_marks_that_contradict_each_other_leave_a_cell_without_label(draw: Draw) -> None:
    found = segment(Field(Frame(draw(5, blasts=True).image, "drawn")))
    cell = next(cell for cell in found.cells if cell.kind == "wbc" and not cell.touches_border)
    here = (cell.x, cell.y)
    marks = [Mark("xyc", 1, point=here), Mark("idb2", 0, point=here), Mark("xyc", 1, point=(1.0, 1.0))]
    cell_of = match_marks(found, marks)
    assert cell_of == [cell.id, cell.id, None]
    assert agreed(marks, cell_of)[cell.id].label is None
    assert agreed(marks[:1], cell_of[:1]) == {cell.id: marks[0]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "holds none of the data sets"),
        (lambda root: (root / "all-taleqani").mkdir(), "no folder benign"),
        (lambda root: (root / "pbc" / "mystery").mkdir(parents=True), "unknown type"),
        (lambda root: (root / "wbc-seg" / "set1").mkdir(parents=True), "no image of wbc-seg1"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path)
    with pytest.raises(DataSetError, match=message):
        collect(tmp_path, Cache(tmp_path / "cache"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="--data names the folder"):
        sources.present(tmp_path / "no")


def test_every_crop_has_the_cell_in_its_middle(collection: Collection, tree: Any) -> None:
    assert {
        crop.name: (crop.place.field, crop.place.left, crop.place.top) for crop in collection.crops
    } == tree.cuts
    assert collection.unlocated_crops == ()
    cells = {cell.key: cell for cell in collection.cells}
    for crop in collection.crops:
        assert crop.record.label == crop.label
        assert crop.record.cell == cells[crop.record.identity].cell
        assert crop.marked == ("xyc" if crop.label else "other_xyc")


def test_a_crop_without_a_segmented_cell_is_kept_and_one_without_its_field_is_named(
    make_tree: Callable[..., Any], tmp_path: Path
) -> None:
    tree = make_tree(fields_per_class=2)
    folder, side = tree.root / "ALL_IDB2" / "img", 112
    with Image.open(tree.root / "ALL_IDB1" / "im" / "Im051_0.jpg") as field:
        no_white_cell = np.asarray(field.convert("RGB"))[192 : 192 + side, 335 : 335 + side]
    for name in ("Im900_0", "Im901_0"):
        Image.fromarray(no_white_cell).save(folder / f"{name}.tif")
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(folder / "Im902_1.tif")
    found = collect(tree.root, Cache(tmp_path / "cache"))
    assert found.unlocated_crops == ("Im902_1",)
    first, second = (crop for crop in found.crops if crop.name.startswith("Im90"))
    assert (first.record.cell.id, first.record.label, first.record.whole) == (0, 0, True)
    assert first.record.identity == second.record.identity
    assert (first.record.cell.x, first.record.cell.y) == (390.5, 247.5)
    assert len(cut(found, [first.record], InputSpec(size_px=16))) == 1


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("edge/light/pyramid.py", "INTER_AREA", "INTER_NEAREST"),
        ("training/recipes/akbar2024.py", "BATCH_SIZE = 8", "BATCH_SIZE = 64"),
        ("training/recipes/akbar2024.py", "LEARNING_RATE = 2e-4", "LEARNING_RATE = 2e-1"),
        (
            "training/recipes/akbar2024.py",
            "size_px=128, field_of_view_um=24.0",
            "size_px=64, field_of_view_um=40.0",
        ),
        ("training/data/collection.py", "(cell.x, cell.y)", "(cell.x + 9, cell.y)"),
    ],
)
def test_what_was_kept_is_forgotten_when_any_of_the_source_changes(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, path: str, old: str, new: str
) -> None:
    before = cache_module.source_hash()
    for package in ("edge", "training"):
        no_code = shutil.ignore_patterns("__pycache__", "models", "samples")
        shutil.copytree(repository / package, tmp_path / package, ignore=no_code)
    monkeypatch.setattr(cache_module.resources, "files", lambda package: tmp_path / package)
    assert cache_module.source_hash.__wrapped__() == before
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new, 1))
    assert cache_module.source_hash.__wrapped__() != before
