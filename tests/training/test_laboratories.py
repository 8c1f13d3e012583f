"""All laboratories in one form: what is read, matched to the product's cells, and kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.camera.files import read_image
from edge.classification.crop import to_input
from edge.device.hashing import file_sha256
from edge.errors import DataSetError, OutputError
from edge.light.field import Field
from edge.segmentation import segment
from edge.structures import Frame, InputSpec
from training.data import allidb, allidb_marks, sources
from training.data.cache import Cache
from training.data.collection import Collection, collect, cut, match_marks
from training.data.records import Mark

Draw = Callable[..., Any]


def draw_taleqani(root: Path, draw: Draw) -> None:
    """Write two benign and five early fields; early 3 copies early 1, early 26 is early 2 encoded anew."""
    folder = root / "all-taleqani"
    for name in ("benign", "early", "pre", "pro"):
        (folder / name).mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(draw(number, blasts=False).image).save(
            folder / "benign" / f"WBC-Benign-{number:03d}.png"
        )
    for number, seed, suffix in (
        (1, 11, "png"),
        (2, 12, "png"),
        (3, 11, "png"),
        (26, 12, "jpg"),
        (50, 13, "png"),
    ):
        path = folder / "early" / f"WBC-Malignant-Early-{number:03d}.{suffix}"
        Image.fromarray(draw(seed, blasts=True).image).save(path)


def draw_pbc(root: Path, draw: Draw) -> None:
    for number, name in enumerate(("lymphocyte", "platelet")):
        (root / "pbc" / name).mkdir(parents=True)
        drawn = draw(20 + number, blasts=False)
        x, y = drawn.cells[2]
        Image.fromarray(drawn.image[y - 110 : y + 110, x - 110 : x + 110]).save(
            root / "pbc" / name / "A_1.png"
        )


@pytest.fixture(scope="module")
def collection(tree: Any, draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """ALL-IDB, all-taleqani and pbc, drawn; the cache is cold."""
    root = tmp_path_factory.mktemp("all")
    for part in tree.root.iterdir():
        (root / part.name).symlink_to(part)
    draw_taleqani(root, draw)
    draw_pbc(root, draw)
    return collect(root, Cache(tmp_path_factory.mktemp("cache")))


def test_every_laboratory_in_the_folder_is_read(collection: Collection) -> None:
    assert Counter(field.lab for field in collection.fields.values()) == {
        "all-idb": 12,
        "all-taleqani": 7,
        "pbc": 2,
    }


def test_points_and_crops_label_the_cells_that_the_segmentation_finds(
    collection: Collection, tree: Any
) -> None:
    usable = [cell for cell in collection.cells if cell.lab == "all-idb" and cell.usable]
    count = Counter((cell.label, cell.weak_label) for cell in usable)
    assert count[(1, 1)] == count[(0, 0)] == 3 * 6
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
        found = segment(Field(read_image(collection.fields[cell.field].path)))
        expected = to_input(
            read_image(collection.fields[cell.field].path).image,
            cell.cell.x,
            cell.cell.y,
            spec,
            um_per_px=found.scale.um_per_px,
            background=found.background,
        )
        assert np.array_equal(crop, expected)


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
    first = segment(Field(read_image(collection.fields[key].path)))
    assert np.array_equal(again.segmentation(key).cell_map, first.cell_map)
    assert np.array_equal(again.segmentation(key).nucleus_map, first.nucleus_map)


def test_a_damaged_cache_entry_is_made_anew(tmp_path: Path, tree: Any) -> None:
    cache, path = Cache(tmp_path), next((tree.root / "ALL_IDB1" / "im").iterdir())
    first = cache.segmentation(path, file_sha256(path))
    entry = next(tmp_path.rglob("*.npz"))
    entry.write_bytes(entry.read_bytes()[:100])
    assert cache.segmentation(path, file_sha256(path)).cells == first.cells


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="give another --cache"):
        Cache(tmp_path / "file").json("x", "y", lambda: 1)


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
    assert {
        cell.seen_before for cell in again if cell.cell.kind == "wbc" and not cell.cell.touches_border
    } <= {True}
    assert sum(cell.usable and cell.label == 1 for cell in found.cells) == 9


def test_marks_that_contradict_each_other_leave_a_cell_without_label(draw: Draw) -> None:
    found = segment(Field(Frame(draw(5, blasts=True).image, "drawn")))
    cell = next(cell for cell in found.cells if cell.kind == "wbc" and not cell.touches_border)
    here = (cell.x, cell.y)
    marks, unmatched = match_marks(
        found, [Mark("xyc", 1, point=here), Mark("idb2", 0, point=here), Mark("xyc", 1, point=(1.0, 1.0))]
    )
    assert marks[cell.id].label is None
    assert [mark.point for mark in unmatched] == [(1.0, 1.0)]


def test_a_long_pause_of_a_camera_begins_a_session() -> None:
    start = datetime(2005, 9, 6, 10, tzinfo=UTC)
    minutes = {"a": 0, "b": 3, "c": 8, "d": 8}
    found = allidb_marks.sessions(
        {
            name: ("G5" if name != "d" else "C2500L", start + timedelta(minutes=m))
            for name, m in minutes.items()
        }
    )
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 3


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


@pytest.mark.real_data
def test_sessions_of_the_real_fields_are_those_of_their_list(real_data: Path) -> None:
    data = allidb.load(real_data)
    lines = (real_data / "all-idb1" / "fields.csv").read_text().splitlines()[1:]
    listed = {line.split(",")[0]: (line.split(",")[3], line.split(",")[5]) for line in lines}
    found = allidb_marks.sessions(
        {field.name: (listed[field.name][0], allidb_marks.exif_time(field.path)) for field in data.fields}
    )
    pairs = {(found[name], session) for name, (_, session) in listed.items()}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
