"""Roles, settlements and signatures are rows of the chain, and a signature is of what was seen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.export import export_jsonl
from edge.bloodlog.repair import repair
from edge.errors import LogBehindError, LogError
from edge.structures import CellRef
from tests.edge.bloodlog.fields import PROVENANCE, make_result

NONCE = "n" * 22


@pytest.fixture
def log(log: BloodLog) -> BloodLog:
    """A log with a closed sample of three cells that somebody has closed and read as a user."""
    log.append(make_result(cells=3), **PROVENANCE, sample_id=log.open_sample("S-1", "blood", 3).id)
    log.add_reviews({CellRef(1, 1): "blast"}, "Ani", role="reader")
    log.change_sample("S-1", "closed", who="Citra", role="supervisor")
    return log


def sign(log: BloodLog, nonce: str = NONCE, seen: str | None = None) -> None:
    seen = log.content_sha256(1) if seen is None else seen
    log.sign("S-1", "checked", "Citra", "supervisor", seen_sha256=seen, nonce=nonce, clock_trusted=False)


def test_who_had_signed_in_stands_in_the_row(log: BloodLog) -> None:
    sample = log.sample("S-1")
    assert (sample.closed_by, sample.closed_as) == ("Citra", "supervisor")
    assert [review.role for review in log.reviews(1)] == ["reader"]
    undone = log.undo_review("Ani", 1, role="reader")
    assert undone is not None
    assert undone.role == "reader"
    # A name that was given on trust bears no role.
    log.change_sample("S-1", "reopened", who="Citra")
    log.change_sample("S-1", "closed", who="Citra")
    assert log.sample("S-1").closed_as is None


def test_a_signature_is_of_what_was_seen(log: BloodLog) -> None:
    seen = log.content_sha256(1)
    sign(log, seen=seen)
    (signature,) = log.signatures(1)
    assert (signature.who, signature.role, signature.meaning) == ("Citra", "supervisor", "checked")
    assert signature.clock_trusted is False
    assert signature.content_sha256 == seen == log.content_sha256(1)
    # Neither another sample nor what becomes of pictures changes it.
    log.change_sample("S-1", "kept")
    log.open_sample("S-2", "blood", 3)
    assert log.content_sha256(1) == seen
    log.add_reviews({CellRef(1, 1): "normal"}, "Ani")
    assert log.content_sha256(1) != seen
    with pytest.raises(LogBehindError, match="S-1 has changed since it was looked at"):
        sign(log, "m" * 22, seen)
    assert log.verify() == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.add_reviews({CellRef(1, 2): "blast"}, "Budi"),
        lambda log: log.undo_review("Ani", 1),
        lambda log: log.settle({CellRef(1, 1): "normal"}, "Citra"),
        lambda log: log.change_sample("S-1", "reopened"),
    ],
)
def test_everything_that_is_said_changes_what_was_signed(log: BloodLog, change: object) -> None:
    before = log.content_sha256(1)
    change(log)  # type: ignore[operator]  # one of those above
    assert log.content_sha256(1) != before


@pytest.mark.requirement(18)
def test_no_form_signs_twice_and_nothing_that_is_open_is_signed(log: BloodLog) -> None:
    sign(log)
    with pytest.raises(LogError, match="form has signed already"):
        sign(log)
    with pytest.raises(LogError, match="means counted or checked; got 'approved'"):
        log.sign("S-1", "approved", "C", "reader", seen_sha256="", nonce="")  # type: ignore[arg-type]  # wrong
    log.change_sample("S-1", "reopened")
    with pytest.raises(LogError, match="S-1 is open; close it"):
        sign(log, "m" * 22)
    assert len(log.signatures(1)) == 1


def test_settlements_are_kept_beside_the_words(log: BloodLog) -> None:
    log.settle({CellRef(1, 1): "normal"}, "Citra")
    log.add_reviews({CellRef(1, 2): "blast"}, "Ani")
    log.settle({CellRef(1, 1): None}, "Citra")
    said = [(one.cell, one.label, one.who, one.after_review) for one in log.settlements(1)]
    assert said == [(CellRef(1, 1), "normal", "Citra", 1), (CellRef(1, 1), None, "Citra", 2)]
    assert len(log.reviews(1)) == 2
    with pytest.raises(LogError, match="there is no cell 9 in field 1"):
        log.settle({CellRef(1, 9): "blast"}, "Citra")
    assert log.settlements(2) == ()


@pytest.mark.parametrize("table", ["settlement", "signature"])
def test_they_stay_and_a_change_shows(log: BloodLog, table: str) -> None:
    log.settle({CellRef(1, 1): "normal"}, "Citra")
    sign(log)
    with closing(sqlite3.connect(log.path)) as connection, connection:
        for statement in (f"UPDATE {table} SET who = 'Budi'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match=f"append-only: {table}"):
                connection.execute(statement)
        connection.execute(f"DROP TRIGGER {table}_no_update")
        connection.execute(f"UPDATE {table} SET who = 'Budi'")
    (fault,) = log.verify()
    assert f"{table} 1 was changed" in str(fault)


def test_they_are_exported_and_survive_a_repair(log: BloodLog, tmp_path: Path) -> None:
    log.settle({CellRef(1, 1): "normal"}, "Citra")
    sign(log)
    seen, text = log.content_sha256(1), StringIO()
    export_jsonl(log, text, log.sample("S-1"))
    assert '"kind": "settlement"' in text.getvalue()
    assert '"kind": "signature"' in text.getvalue()
    salvage = repair(log.path, tmp_path / "new.db")
    assert (salvage.saved["settlement"], salvage.saved["signature"]) == (1, 1)
    with BloodLog.open(tmp_path / "new.db", read_only=True) as repaired:
        # The links are others, what was signed is not.
        assert repaired.content_sha256(1) == seen
