"""The whole way from an annotated folder to its figures, on rendered smears whose truth is exact."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.rendered import Population, RenderedField, RenderSettings, render_field
from training.evaluation.figures import proportion
from training.evaluation.run import evaluate
from training.evaluation.truth import read_truth

SETTINGS = RenderSettings(
    width=900,
    height=700,
    population=Population.only(red_cell=9000, lymphocyte=900, neutrophil=600, platelet=1500),
)


@pytest.fixture(scope="module")
def field() -> RenderedField:
    return render_field(5, SETTINGS)


def whole_white(field: RenderedField) -> list[tuple[float, float, tuple[int, int, int, int]]]:
    kinds = {"lymphocyte", "neutrophil", "monocyte", "eosinophil", "blast"}
    return [(c.x, c.y, c.bbox) for c in field.cells if c.kind in kinds and not c.touches_border]


def points_folder(tmp_path: Path, field: RenderedField, shift_px: float = 0.0) -> Path:
    (tmp_path / "im").mkdir()
    (tmp_path / "xyc").mkdir()
    cv2.imwrite(str(tmp_path / "im" / "a.png"), cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR))
    lines = [f"{x + shift_px} {y}" for x, y, _ in whole_white(field)]
    (tmp_path / "xyc" / "a.xyc").write_text("\n".join(lines))
    return tmp_path


def boxes_folder(tmp_path: Path, field: RenderedField, scale: float = 1.0) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR))
    height, width = field.image.shape[:2]
    lines = []
    for _, _, (x, y, w, h) in whole_white(field):
        lines.append(
            f"0 {(x + w / 2) / width} {(y + h / 2) / height} {w / width * scale} {h / height * scale}"
        )
    (tmp_path / "labels" / "a.txt").write_text("\n".join(lines))
    return tmp_path


def figures(folder: Path) -> dict[str, float]:
    layout, fields = read_truth(folder)
    return {f.name: f.value for f in evaluate(layout, fields, lambda *_: None)}


def test_every_rendered_cell_is_found_and_shifted_truth_is_not(tmp_path: Path, field: RenderedField) -> None:
    assert len(whole_white(field)) >= 3
    (tmp_path / "true").mkdir()
    (tmp_path / "shifted").mkdir()
    assert figures(points_folder(tmp_path / "true", field))["blast_detected_recall"] == 1.0
    # Negative control: marks a whole cell beside the cells must not count as found.
    assert figures(points_folder(tmp_path / "shifted", field, 200.0))["blast_detected_recall"] < 0.5


def test_boxes_of_the_wrong_size_lose_the_overlap_only(tmp_path: Path, field: RenderedField) -> None:
    (tmp_path / "true").mkdir()
    (tmp_path / "small").mkdir()
    good = figures(boxes_folder(tmp_path / "true", field))
    small = figures(boxes_folder(tmp_path / "small", field, scale=0.5))
    assert good["wbc_recall_iou50"] == good["wbc_recall"] == 1.0
    assert small["wbc_recall"] == good["wbc_recall"]
    assert small["wbc_recall_iou50"] == 0.0


def test_command_prints_a_table_and_writes_figures_and_a_picture_of_the_error(
    tmp_path: Path, field: RenderedField
) -> None:
    (tmp_path / "truth").mkdir()
    folder = points_folder(tmp_path / "truth", field, shift_px=200.0)
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["evaluate", "segmentation", "--truth", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "blast_detected_recall" in result.stdout
    assert "95 % interval" in result.stdout
    document = json.loads((out / "segmentation.json").read_text())
    assert document["schema"] == "blastcount.segmentation/1"
    assert document["sources"][0]["images"] == 1
    pictures = list(out.glob("*/a.jpg"))
    assert len(pictures) == 1
    drawn = cv2.imread(str(pictures[0]))
    assert drawn.shape == field.image.shape
    assert np.abs(drawn.astype(int) - cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR)).max() > 100


def test_markdown_is_a_table_of_the_same_figures(tmp_path: Path, field: RenderedField) -> None:
    folder = points_folder(tmp_path, field)
    result = CliRunner().invoke(main, ["evaluate", "segmentation", "--truth", str(folder), "--markdown"])
    assert result.exit_code == 0, result.stderr
    header, rule, row = result.stdout.splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") == 6
    assert row.startswith(f"| {folder.name} | blast_detected_recall | 1.000 | ")


def test_command_names_a_folder_without_annotations(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["evaluate", "segmentation", "--truth", str(tmp_path)])
    assert result.exit_code == 1
    assert "no annotations found" in result.stderr
    assert result.stderr.count("\n") == 1


def test_proportion_of_nothing_is_wide_open() -> None:
    figure = proportion("x", 0, 0)
    assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 1.0)


@pytest.mark.real_data
def test_figures_equal_the_marks_in_the_real_folders(real_data: Path) -> None:
    """The readers see every annotation: as many as the folders say they hold."""
    assert sum(len(f.points or ()) for f in read_truth(real_data / "all-idb1")[1]) == 406
    assert len(read_truth(real_data / "bccd")[1]) == 182
    assert len(read_truth(real_data / "wbc-chula")[1]) == 54
    assert len(read_truth(real_data / "wbc-seg" / "set1")[1]) == 150
    assert len(read_truth(real_data / "pbc")[1]) == 800
