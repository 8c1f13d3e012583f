from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataSetError
from training.evaluation.truth import find_layout, read_nucleus_and_cell, read_truth


def write(path: Path, image: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((60, 80, 3), 200, np.uint8) if image is None else image)
    return path


def test_points_with_blank_lines_missing_files_and_expert_masks(tmp_path: Path) -> None:
    write(tmp_path / "im" / "a_1.jpg")
    write(tmp_path / "im" / "b_0.jpg")
    (tmp_path / "xyc").mkdir()
    (tmp_path / "xyc" / "a_1.xyc").write_text("10\t20\n\n 30.5 40 \n")
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 255
    mask[50:55, 5:10] = 255  # a speck of the drawing tool
    write(tmp_path / "masks" / "a_1_WBCs.tif", mask)
    layout, fields = read_truth(tmp_path)
    assert layout == "points"
    assert [f.points for f in fields] == [((10.0, 20.0), (30.5, 40.0)), ()]
    assert [f.boxes for f in fields] == [((20.0, 10.0, 30.0, 30.0),), None]


VOC = """<annotation><object><name>WBC</name>
<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>60</ymax>
</bndbox></object><object><name>RBC</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>
</object></annotation>"""


def test_voc_keeps_white_cells_only(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.jpg")
    write(tmp_path / "images" / "unmarked.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text(VOC)
    layout, fields = read_truth(tmp_path)
    assert layout == "voc"
    assert [f.boxes for f in fields] == [((10.0, 20.0, 30.0, 40.0),)]


@pytest.mark.parametrize("text", ["<annotation>", VOC.replace("<xmin>10</xmin>", "")])
def test_malformed_voc_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path / "images" / "a.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text(text)
    with pytest.raises(DataSetError, match=r"a\.xml: not a Pascal VOC annotation"):
        read_truth(tmp_path)


def test_yolo_fractions_become_pixels(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("3 0.5 0.5 0.25 0.5\n")
    layout, fields = read_truth(tmp_path)
    assert layout == "yolo"
    assert fields[0].boxes == ((30.0, 15.0, 20.0, 30.0),)


def test_malformed_yolo_and_unreadable_images_are_named(tmp_path: Path) -> None:
    image = write(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("3 0.5\n")
    with pytest.raises(DataSetError, match=r"a\.txt:1: expected 'class x y width height'"):
        read_truth(tmp_path)
    image.write_bytes(b"no image")
    with pytest.raises(DataSetError, match=r"a\.jpg: not a readable image"):
        read_truth(tmp_path)


def test_both_mask_codings_say_the_same(tmp_path: Path) -> None:
    grey = np.zeros((60, 80), np.uint8)
    grey[10:50, 10:60] = 128
    grey[20:40, 20:40] = 255
    colour = np.full((60, 80, 3), 255, np.uint8)
    colour[10:50, 10:60] = (255, 0, 0)
    colour[20:40, 20:40] = (255, 255, 0)
    for one, other in zip(
        read_nucleus_and_cell(write(tmp_path / "grey.png", grey)),
        read_nucleus_and_cell(write(tmp_path / "colour.tif", colour)),
        strict=True,
    ):
        assert np.array_equal(one, other)
        assert one.any()


def test_unreadable_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(b"no image")
    with pytest.raises(DataSetError, match=r"m\.png: the mask is not a readable image"):
        read_nucleus_and_cell(path)
    write(tmp_path / "im" / "a_1.jpg")
    (tmp_path / "xyc").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a_1_WBCs.tif").write_bytes(b"no image")
    with pytest.raises(DataSetError, match=r"a_1_WBCs\.tif: the mask is not a readable image"):
        read_truth(tmp_path)


def test_masks_beside_images_and_in_a_folder(tmp_path: Path) -> None:
    beside, folder = tmp_path / "beside", tmp_path / "folder"
    write(beside / "001.bmp")
    write(beside / "001.png", np.zeros((60, 80), np.uint8))
    write(beside / "002.bmp")
    write(folder / "img" / "a.tif")
    write(folder / "masks" / "a.tif")
    assert read_truth(beside)[0] == read_truth(folder)[0] == "masks"
    assert [f.image.name for f in read_truth(beside)[1]] == ["001.bmp"]


def test_classes(tmp_path: Path) -> None:
    write(tmp_path / "monocyte" / "1.jpg")
    write(tmp_path / "platelet" / "2.jpg")
    layout, fields = read_truth(tmp_path)
    assert layout == "classes"
    assert [f.class_name for f in fields] == ["monocyte", "platelet"]


def test_unknown_layout_missing_folder_and_nothing_marked_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="not a folder; --truth names a folder"):
        find_layout(tmp_path / "absent")
    with pytest.raises(DataSetError, match="no annotations found; expected im/ "):
        find_layout(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataSetError, match="layout 'yolo' but no image with an annotation"):
        read_truth(tmp_path)
