"""A verification's cells, words and end are rows of the chain, beside the samples that they are of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.export import export_jsonl
from edge.bloodlog.repair import repair
from edge.bloodlog.verifications import DrawnCell, held_words, last_word
from edge.errors import LogError
from edge.structures import CellRef

DRAWN = (DrawnCell(CellRef(3, 2), "blast", 1.0, True), DrawnCell(CellRef(2, 1), "normal", 2.5, False))
TABLES = ("verification", "verification_cell", "verification_word", "verification_event")


def test_words_are_kept_beside_the_samples_own(full: Path) -> None:
    with BloodLog.open(full) as log:
        sample = log.sample("S-1")
        content, reviews = log.content_sha256(sample.id), log.reviews(sample.id)
        opened = log.open_verification("{}", DRAWN, ["S-1"], who="Ani", role="supervisor")
        assert (opened.id, opened.who, opened.role, opened.is_open) == (1, "Ani", "supervisor", True)
        drawn = log.drawn_cells(1)
        assert [(one.cell, one.stratum, one.weight, one.twice) for one in drawn] == [
            (one.cell, one.stratum, one.weight, one.twice) for one in DRAWN
        ]
        assert log.say_verified(1, {CellRef(3, 2): "blast", CellRef(2, 1): "lymphocyte"}, "Ani") == 2
        assert log.say_verified(1, {CellRef(3, 2): "blast"}, "Ani") == 0
        assert log.say_verified(1, {CellRef(3, 2): "normal"}, "Budi", role="reader") == 1
        assert held_words(log.verified_words(1)) == {
            "Ani": {1: "blast", 2: "lymphocyte"},
            "Budi": {1: "normal"},
        }
        log.note_verification(1, "closed", "{}", who="Ani")
        log.note_verification(1, "checked", "{}")
        assert log.current_verification() is None
        assert [event.event for event in log.verification_events()] == ["closed", "checked"]
        # Nothing of it is the sample's, but that its pictures stay.
        assert (log.content_sha256(sample.id), log.reviews(sample.id)) == (content, reviews)
        assert log.sample("S-1").kept
        assert log.verify() == ()


def test_a_word_is_taken_back_step_by_step(full: Path) -> None:
    with BloodLog.open(full) as log:
        log.open_verification("{}", DRAWN)
        cell = CellRef(3, 2)
        log.say_verified(1, {cell: "normal"}, "Ani")
        log.say_verified(1, {cell: "blast"}, "Ani")
        log.say_verified(1, {CellRef(2, 1): "blast"}, "Budi")
        last = last_word(log.verified_words(1), "Ani")
        assert last is not None
        assert log.undo_verified(1, "Ani", expected=last.id - 1) is None  # a form that came twice
        for now in ("normal", None):
            undone = log.undo_verified(1, "Ani")
            assert undone is not None
            assert undone.label == now
        assert log.undo_verified(1, "Ani") is None
        assert held_words(log.verified_words(1)) == {"Ani": {}, "Budi": {2: "blast"}}


def test_what_cannot_be_is_refused(full: Path) -> None:
    with BloodLog.open(full) as log:
        with pytest.raises(LogError, match="no cell was drawn"):
            log.open_verification("{}", ())
        with pytest.raises(LogError, match="there is no verification 1"):
            log.say_verified(1, {CellRef(3, 2): "blast"}, "Ani")
        log.open_verification("{}", DRAWN)
        with pytest.raises(LogError, match="verification 1 is open since"):
            log.open_verification("{}", DRAWN)
        with pytest.raises(LogError, match="cell 1 of field 3 was not drawn"):
            log.say_verified(1, {CellRef(3, 1): "blast"}, "Ani")
        with pytest.raises(LogError, match="a cell can be called"):
            log.say_verified(1, {CellRef(3, 2): "leukaemia"}, "Ani")  # type: ignore[dict-item]  # wrong
        with pytest.raises(LogError, match="only a closed one is checked again"):
            log.note_verification(1, "checked", "{}")
        log.note_verification(1, "abandoned", "{}")
        with pytest.raises(LogError, match="was abandoned already"):
            log.note_verification(1, "closed", "{}")
        with pytest.raises(LogError, match="has ended"):
            log.say_verified(1, {CellRef(3, 2): "blast"}, "Ani")
        assert log.open_verification("{}", DRAWN).id == 2


def _filled(log: BloodLog) -> None:
    log.open_verification("{}", DRAWN)
    log.say_verified(1, {CellRef(3, 2): "blast"}, "Ani")
    log.note_verification(1, "closed", "{}")


@pytest.mark.parametrize("table", TABLES)
def test_rows_stay_and_a_change_shows(full: Path, table: str) -> None:
    column = {"verification": "who", "verification_cell": "stratum", "verification_word": "reader"}.get(
        table, "who"
    )
    with BloodLog.open(full) as log:
        _filled(log)
        with closing(sqlite3.connect(full)) as connection, connection:
            for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
                with pytest.raises(sqlite3.IntegrityError, match=f"append-only: {table}"):
                    connection.execute(statement)
            connection.execute(f"DROP TRIGGER {table}_no_update")
            connection.execute(f"UPDATE {table} SET {column} = 'x' WHERE id = 1")
        (fault,) = log.verify()
        assert f"{table} 1 was changed" in str(fault)


def test_rows_survive_a_repair_and_are_exported(full: Path, tmp_path: Path) -> None:
    with BloodLog.open(full) as log:
        _filled(log)
        text = StringIO()
        export_jsonl(log, text)
        assert all(f'"kind": "{table}"' in text.getvalue() for table in TABLES)
    salvage = repair(full, tmp_path / "new.db")
    assert [salvage.saved[table] for table in TABLES] == [1, 2, 1, 1]  # type: ignore[index]  # names of kinds
