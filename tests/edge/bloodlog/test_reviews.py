"""What observers say of cells is kept, word by word, and can be taken back word by word."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bloodlog import BloodLog, ReviewLabel
from edge.errors import LogError
from edge.structures import CellRef
from tests.edge.bloodlog.fields import PROVENANCE, make_result

LABELS: tuple[ReviewLabel, ...] = ("blast", "normal", "smudge", "not_a_cell", "lymphocyte", "other")


@pytest.fixture
def log(log: BloodLog) -> BloodLog:
    """A log with one field of three cells, in a sample."""
    log.append(make_result(cells=3), **PROVENANCE, sample_id=log.open_sample("S-1", "blood", 100).id)
    return log


def words(log: BloodLog, observer: str) -> dict[int, ReviewLabel]:
    """What holds: the last row of an observer on a cell."""
    latest = {review.cell_id: review.label for review in log.reviews(1) if review.observer == observer}
    return {cell: label for cell, label in latest.items() if label is not None}


def test_the_last_word_of_each_observer_holds(log: BloodLog) -> None:
    for label, observer in (("blast", "Ani"), ("normal", "Budi"), ("smudge", "Ani")):
        log.add_reviews({CellRef(1, 1): label}, observer)  # type: ignore[dict-item]  # plain strings
    assert words(log, "Ani") == {1: "smudge"}
    assert words(log, "Budi") == {1: "normal"}
    first, *_ = log.reviews(1)
    assert (first.id, first.cell, first.label, first.observer, first.undoes) == (
        1,
        CellRef(1, 1),
        "blast",
        "Ani",
        None,
    )
    assert [review.id for review in log.reviews(1)] == [1, 2, 3]
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
    log.undo_review("Ani", 1)
    assert log.add_reviews({CellRef(1, 3): "blast"}, "Ani") == 1


def test_undo_goes_back_word_by_word(log: BloodLog) -> None:
    log.add_reviews({CellRef(1, 1): "blast"}, "Ani")
    log.add_reviews({CellRef(1, 1): "normal"}, "Ani")
    log.add_reviews({CellRef(1, 2): "smudge"}, "Ani")
    log.add_reviews({CellRef(1, 3): "smudge"}, "Budi")
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
        log.append(make_result(cells=3), **PROVENANCE, sample_id=log.open_sample("S-1", "blood", 100).id)
        stack: list[tuple[int, ReviewLabel]] = []
        for action in actions:
            if action is None:
                assert (log.undo_review("Ani", 1) is None) == (not stack)
                stack = stack[:-1]
            else:
                log.add_reviews({CellRef(1, action[0]): action[1]}, "Ani")
                if dict(stack).get(action[0]) != action[1]:  # what holds already adds nothing
                    stack.append(action)
            assert words(log, "Ani") == dict(stack)


@pytest.mark.parametrize(
    ("cell", "label", "observer", "message"),
    [
        (CellRef(1, 5), "blast", "Ani", "there is no cell 5 in field 1"),
        (CellRef(2, 1), "blast", "Ani", "there is no cell 1 in field 2"),
        (
            CellRef(1, 1),
            "cancer",
            "Ani",
            "can be called blast, normal, smudge, not_a_cell, neutrophil, .*, other; got 'cancer'",
        ),
        (CellRef(1, 1), "blast", "", "name must be 1 to 40 characters that can be seen, .* got ''"),
        (CellRef(1, 1), "blast", "A\0", "person's name must be"),
        (CellRef(1, 1), "blast", "   ", "person's name must be"),
        (CellRef(1, 1), "blast", "A" * 41, "person's name must be"),
    ],
)
def test_words_that_cannot_be(log: BloodLog, cell: CellRef, label: str, observer: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        log.add_reviews({cell: label}, observer)  # type: ignore[arg-type]  # wrong on purpose
    assert log.reviews(1) == ()
