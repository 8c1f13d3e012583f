from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.errors import DataSetError
from training.data import allidb
from training.data.allidb import Point, camera_model, read_points


def test_official_layout_is_listed_in_name_order(tree: Any) -> None:
    data = allidb.load(tree.root)
    assert [field.name for field in data.fields] == sorted(tree.fields)
    assert [field.label for field in data.fields] == [int(field.name[-1]) for field in data.fields]
    first = data.fields[0]
    assert first.blasts == tuple(Point(x, y) for x, y in tree.fields["Im001_1"].cells)
    assert first.others is not None
    assert Point(*tree.fields["Im001_1"].platelet) in first.others
    assert {crop.name: crop.label for crop in data.crops} == {name: int(name[-1]) for name in tree.cuts}
    assert data.relative(first.path) == "ALL_IDB1/im/Im001_1.jpg"


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
    assert read_points(path) == (Point(7, 9), Point(12.5, 3))


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
    assert camera_model(tree.root / "ALL_IDB1" / "im" / "Im001_1.jpg") == "Camera A"
    plain = tmp_path / "plain.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(plain)
    assert camera_model(plain) is None
    plain.write_text("no image", encoding="ascii")
    with pytest.raises(DataSetError, match=r"plain\.png: not a readable image"):
        camera_model(plain)
