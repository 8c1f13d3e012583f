"""Corrected cells as a data set: what `train` reads from it is what people said."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import OutputError
from edge.results.dataset import TrainingExport, export_training
from edge.results.reading import Reading
from edge.structures import CellRef
from tests.edge.results.conftest import NAME, place, read_all
from training.data.allidb import load


def export(path: Path, out: Path) -> TrainingExport:
    with BloodLog.open(path, read_only=True) as log:
        reading = Reading.of(log, log.sample(NAME).id)
    return export_training(reading, ThumbnailStore.beside(path), out)


def test_the_loader_of_train_finds_the_corrected_labels(sample_log: Path, tmp_path: Path) -> None:
    # In field 1 a normal cell is called a blast, and a blast no cell; the uncertain one becomes normal.
    read_all(sample_log, "AK", {CellRef(1, 4): "blast", CellRef(1, 1): "not_a_cell"})
    made = export(sample_log, tmp_path / "set")
    assert made == TrainingExport(4, {"blast": 12, "normal": 15}, {"no white cell to the person": 1})
    data = load(tmp_path / "set")
    assert [field.label for field in data.fields] == [1] * 4
    first = data.fields[0]
    assert [(p.x, p.y) for p in first.blasts] == [place(n) for n in (2, 3, 4)]
    assert first.others is not None
    assert [(p.x, p.y) for p in first.others] == [place(n) for n in (5, 6, 8)]
    assert sum(crop.label for crop in data.crops) == 12
    assert len(data.crops) == 27
    with (tmp_path / "set" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["crop"] for row in rows] == [crop.path.name for crop in data.crops]
    assert {row["observers"] for row in rows} == {"AK"}
    changed = next(row for row in rows if (row["field"], row["cell"]) == ("1", "4"))
    assert (changed["label"], changed["program"]) == ("blast", "normal")


def test_cells_on_which_people_differ_are_left_out(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    read_all(sample_log, "BT", {CellRef(1, 4): "blast"})
    made = export(sample_log, tmp_path / "set")
    assert made.left_out == {"people differ": 1}
    assert sum(made.cells.values()) == 27


def test_a_field_whose_picture_was_removed_is_left_out(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    with BloodLog.open(sample_log) as log:
        sha256 = log.image(1)
    assert sha256 is not None
    ThumbnailStore.beside(sample_log).remove(sha256)
    made = export(sample_log, tmp_path / "set")
    assert (made.fields, made.left_out) == (3, {"the field's picture was removed": 7})


def test_nothing_is_written_over(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    (tmp_path / "set").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        export(sample_log, tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == []


def test_without_words_nothing_is_left_behind(sample_log: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no cell of this sample has a person's word"):
        export(sample_log, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_cannot_be_made(sample_log: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="make it first"):
        export(sample_log, tmp_path / "no" / "set")
