"""What observers say of cells is kept, word by word, and can be taken back word by word."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bloodlog import BloodLog, ReviewLabel
from edge.errors import LogError
from edge.structures import Cell, CellRef, ClassifiedCell, FieldResult, ModelIdentity, Scale

LABELS: tuple[ReviewLabel, ...] = ("blast", "normal", "smudge", "not_a_cell")


def log_field(log: BloodLog, sample_id: int) -> int:
    cell = Cell(1, 10.0, 10.0, (5, 5, 10, 10), 80, 40, "wbc", touches_border=False)
    cells = tuple(ClassifiedCell(replace(cell, id=number), "normal", 0.2) for number in (1, 2, 3))
    result = FieldResult(
        "x.jpg",
        640,
        480,
        None,
        "f" * 64,
        Scale(0.1, "assumed", 0.1),
        "counted",
        (),
        cells,
        ModelIdentity("m", "a" * 64),
    )
    return log.append(
        result, config_sha256="c" * 64, software_version="0.1", runtime="r", sample_id=sample_id
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "blood.db") as opened:
        opened.open_sample("S-1", "blood", 100)
        log_field(opened, 1)
        yield opened


def words(log: BloodLog, observer: str) -> dict[int, ReviewLabel]:
    """What holds: the last row of an observer on a cell."""
    latest = {review.cell_id: review.label for review in log.reviews(1) if review.observer == observer}
    return {cell: label for cell, label in latest.items() if label is not None}


def test_the_last_word_of_each_observer_holds(log: BloodLog) -> None:
    said = log.add_review(CellRef(1, 1), "blast", "Ani")
    assert (said.id, said.cell, said.label, said.observer, said.undoes) == (
        1,
        CellRef(1, 1),
        "blast",
        "Ani",
        None,
    )
    log.add_review(CellRef(1, 1), "normal", "Budi")
    log.add_review(CellRef(1, 1), "smudge", "Ani")
    assert words(log, "Ani") == {1: "smudge"}
    assert words(log, "Budi") == {1: "normal"}
    assert [review.id for review in log.reviews(1)] == [1, 2, 3]
    assert log.reviews(1)[0] == said
    assert log.reviews(2) == ()


def test_many_words_are_written_together_or_not_at_all(log: BloodLog) -> None:
    assert log.add_reviews({CellRef(1, 1): "blast", CellRef(1, 3): "normal"}, "Ani") == 2
    assert words(log, "Ani") == {1: "blast", 3: "normal"}
    with pytest.raises(LogError, match="there is no cell 9 in field 1"):
        log.add_reviews({CellRef(1, 2): "blast", CellRef(1, 9): "normal"}, "Ani")
    assert words(log, "Ani") == {1: "blast", 3: "normal"}
    assert log.add_reviews({}, "Ani") == 0
    # What holds already adds nothing; what was taken back holds no more.
    assert log.add_reviews({CellRef(1, 1): "blast", CellRef(1, 3): "blast"}, "Ani") == 1
    log.add_review(CellRef(1, 1), None, "Ani")
    assert log.add_reviews({CellRef(1, 1): "blast"}, "Ani") == 1


def test_undo_goes_back_word_by_word(log: BloodLog) -> None:
    log.add_review(CellRef(1, 1), "blast", "Ani")
    log.add_review(CellRef(1, 1), "normal", "Ani")
    log.add_review(CellRef(1, 2), "smudge", "Ani")
    log.add_review(CellRef(1, 3), "smudge", "Budi")
    steps = []
    while (undone := log.undo_review("Ani", 1)) is not None:
        steps.append((undone.cell_id, undone.label))
    assert steps == [(2, None), (1, "blast"), (1, None)]
    assert words(log, "Ani") == {}
    assert words(log, "Budi") == {3: "smudge"}
    assert len(log.reviews(1)) == 7  # nothing was removed


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.sampled_from(LABELS)))))
def test_undo_is_that_of_an_editor(actions: list[tuple[int, ReviewLabel] | None]) -> None:
    """Against the obvious model: a stack of words."""
    with tempfile.TemporaryDirectory() as folder, BloodLog.open(Path(folder) / "blood.db") as log:
        log.open_sample("S-1", "blood", 100)
        log_field(log, 1)
        stack: list[tuple[int, ReviewLabel]] = []
        for action in actions:
            if action is None:
                assert (log.undo_review("Ani", 1) is None) == (not stack)
                stack = stack[:-1]
            else:
                log.add_review(CellRef(1, action[0]), action[1], "Ani")
                stack.append(action)
            assert words(log, "Ani") == dict(stack)


@pytest.mark.parametrize(
    ("cell", "label", "observer", "message"),
    [
        (CellRef(1, 4), "blast", "Ani", "there is no cell 4 in field 1"),
        (CellRef(2, 1), "blast", "Ani", "there is no cell 1 in field 2"),
        (CellRef(1, 1), "cancer", "Ani", "can be called blast, normal, smudge, not_a_cell; got 'cancer'"),
        (CellRef(1, 1), "blast", "", "observer's name must be 1 to 64 printable characters, got ''"),
        (CellRef(1, 1), "blast", "A\0", "observer's name must be"),
    ],
)
def test_words_that_cannot_be(log: BloodLog, cell: CellRef, label: str, observer: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        log.add_review(cell, label, observer)  # type: ignore[arg-type]  # wrong on purpose
    assert log.reviews(1) == ()


def test_words_are_never_changed(log: BloodLog) -> None:
    log.add_review(CellRef(1, 1), "blast", "Ani")
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        for statement in (
            "UPDATE review SET label = 'normal'",
            "DELETE FROM review",
            "INSERT OR REPLACE INTO review SELECT * FROM review",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only: review"):
                connection.execute(statement)
