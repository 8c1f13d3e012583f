from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.errors import DataSetError
from training.data import allidb
from training.data.allidb import crop_centre, read_exif, sessions, source_fields
from training.data.overlaps import Place
from training.evaluation.truth import read_points


def test_official_layout_is_listed_in_name_order(tree: Any) -> None:
    data = allidb.load(tree.root)
    assert [field.name for field in data.fields] == sorted(tree.fields)
    assert [field.label for field in data.fields] == [int(field.name[-1]) for field in data.fields]
    first = data.fields[0]
    assert first.blasts == tree.fields["Im001_1"].cells
    assert first.others is not None
    assert tree.fields["Im001_1"].platelet in first.others
    assert {crop.name: crop.label for crop in data.crops} == {name: int(name[-1]) for name in tree.cuts}


@pytest.mark.parametrize(
    "names", [("all-idb1", "all-idb2"), ("ALLIDB1", "AllIdb2"), ("all_idb1", "ALL-IDB2")]
)
def test_folder_names_match_without_case_hyphen_underscore(
    make_tree: Callable[..., Any], names: tuple[str, str]
) -> None:
    root = make_tree(fields_per_class=1).root
    (root / "ALL_IDB1").rename(root / names[0])
    (root / "ALL_IDB2").rename(root / names[1])
    (root / names[0] / "other_xyc").rename(root / names[0] / "OTHER-XYC")
    data = allidb.load(root)
    assert len(data.fields) == 2
    assert all(field.others for field in data.fields)


def test_other_xyc_is_optional_and_other_files_are_passed_over(make_tree: Callable[..., Any]) -> None:
    root = make_tree(fields_per_class=1, others=False).root
    (root / "ALL_IDB1" / "im" / "Thumbs.db").write_bytes(b"x")
    (root / "ALL_IDB1" / "xyc" / "Im051_0.xyc").unlink()  # a healthy person's field may go without
    data = allidb.load(root)
    assert [field.others for field in data.fields] == [None, None]
    assert data.fields[1].blasts == ()


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("", "no such folder; --data names the folder that holds ALL_IDB1"),
        ("ALL_IDB1", r"no folder ALL_IDB1 .* folders there: ALL_IDB2; expected the official"),
        ("ALL_IDB2", r"no folder ALL_IDB2 .* folders there: ALL_IDB1"),
        ("ALL_IDB1/im", r"ALL_IDB1: no folder im .* folders there: other_xyc, xyc"),
        ("ALL_IDB1/xyc", r"ALL_IDB1: no folder xyc"),
        ("ALL_IDB2/img", r"ALL_IDB2: no folder img .* folders there: none"),
    ],
)
def test_missing_folder_says_what_was_looked_for_and_where(
    make_tree: Callable[..., Any], gone: str, message: str
) -> None:
    root = make_tree(fields_per_class=1).root
    shutil.rmtree(root / gone)
    with pytest.raises(DataSetError, match=message):
        allidb.load(root)


def test_folder_that_is_there_twice_is_refused(make_tree: Callable[..., Any]) -> None:
    root = make_tree(fields_per_class=1).root
    (root / "all-idb1").mkdir()
    with pytest.raises(DataSetError, match="ALL_IDB1 and all-idb1 both match ALL_IDB1; keep one"):
        allidb.load(root)


@pytest.mark.parametrize(("folder", "shown"), [("ALL_IDB1/im", "jpg"), ("ALL_IDB2/img", "tif")])
def test_folder_without_images_is_refused(make_tree: Callable[..., Any], folder: str, shown: str) -> None:
    root = make_tree(fields_per_class=1).root
    for path in (root / folder).iterdir():
        path.rename(path.with_name(f"other{path.name}"))
    with pytest.raises(DataSetError, match=rf"no file named Im\*_\[01\]\.{shown}"):
        allidb.load(root)


def test_patients_field_without_points_is_refused(make_tree: Callable[..., Any]) -> None:
    root = make_tree(fields_per_class=1).root
    (root / "ALL_IDB1" / "xyc" / "Im001_1.xyc").unlink()
    with pytest.raises(DataSetError, match=r"Im001_1\.xyc: missing; every field of a patient"):
        allidb.load(root)


def test_blasts_in_a_healthy_persons_field_are_refused(make_tree: Callable[..., Any]) -> None:
    root = make_tree(fields_per_class=1).root
    (root / "ALL_IDB1" / "xyc" / "Im051_0.xyc").write_text("1 2\n", encoding="ascii")
    with pytest.raises(DataSetError, match=r"Im051_0\.xyc marks 1 blasts in a field of a healthy person"):
        allidb.load(root)


@pytest.mark.parametrize(
    "text",
    ["7\t9\n12.5 3\n", "\ufeff7\t9\r\n12.5\t3", "\n\t\n  7,9 \n     \n12.5;3;\n"],
)
def test_points_are_read_past_blank_lines_and_odd_separators(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.xyc"
    path.write_bytes(text.encode())
    assert read_points(path) == ((7, 9), (12.5, 3))


@pytest.mark.parametrize("line", ["44", "1 2 3", "x y", "-1 5", "1 nan", "1e400 2"])
def test_line_that_is_not_a_point_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.xyc"
    path.write_text(f"7 9\n\n{line}\n", encoding="ascii")
    with pytest.raises(
        DataSetError, match=rf"a\.xyc, line 3: expected two numbers 'x y' in px, got '{line}'"
    ):
        read_points(path)


def test_unreadable_point_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"none\.xyc: cannot be read as text"):
        read_points(tmp_path / "none.xyc")
    (tmp_path / "b.xyc").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataSetError, match=r"b\.xyc: cannot be read as text"):
        read_points(tmp_path / "b.xyc")


def test_camera_is_the_exif_model_without_padding(tree: Any, tmp_path: Path) -> None:
    assert read_exif(tree.root / "ALL_IDB1" / "im" / "Im001_1.jpg") == ("Camera A", None)
    plain = tmp_path / "plain.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(plain)
    assert read_exif(plain) == (None, None)
    plain.write_text("no image", encoding="ascii")
    with pytest.raises(DataSetError, match=r"plain\.png: not a readable image"):
        read_exif(plain)


def test_a_long_pause_of_a_camera_begins_a_session() -> None:
    start = datetime(2005, 9, 6, 10, tzinfo=UTC)
    taken = {"a": ("G5", 0), "b": ("G5", 3), "c": ("G5", 8), "d": ("C2500L", 8)}
    found = sessions({name: (camera, start + timedelta(minutes=m)) for name, (camera, m) in taken.items()})
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 3


def test_point_outside_its_field_is_refused(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(fields_per_class=1)
    (tree.root / "ALL_IDB1" / "xyc" / "Im001_1.xyc").write_text("560 20\n", encoding="ascii")
    data = allidb.load(tree.root)
    with pytest.raises(
        DataSetError, match=r"Im001_1: xyc marks \(560, 20\), outside of the 560x480 px image"
    ):
        source_fields(data, dict.fromkeys(crop.name for crop in data.crops))


@pytest.mark.parametrize(
    ("left", "top", "size", "centre"),
    [
        (10, 20, (257, 257), (138, 148)),
        (0, 0, (190, 200), (190 - 1 - 128, 200 - 1 - 128)),
        (600 - 190, 500 - 200, (190, 200), (600 - 190 + 128, 500 - 200 + 128)),
        (30, 40, (121, 101), (90, 90)),  # not at an edge: cut smaller on purpose
    ],
)
def test_centre_of_a_crop_that_the_edge_cut_off_is_the_whole_squares(
    left: int, top: int, size: tuple[int, int], centre: tuple[int, int]
) -> None:
    assert crop_centre(Place("f", left, top, 0.0), size, (600, 500)) == centre


@pytest.mark.real_data
def test_sessions_of_the_real_fields_are_those_of_their_list(real_data: Path) -> None:
    data = allidb.load(real_data)
    lines = (real_data / "all-idb1" / "fields.csv").read_text().splitlines()[1:]
    listed = {line.split(",")[0]: (line.split(",")[3], line.split(",")[5]) for line in lines}
    taken = {field.name: (listed[field.name][0], read_exif(field.path)[1]) for field in data.fields}
    found = sessions(taken)
    pairs = {(found[name], session) for name, (_, session) in listed.items()}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
