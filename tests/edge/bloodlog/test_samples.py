"""Samples are opened, closed, reopened and kept; fields, pictures and cells seen before belong to them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up
from edge.bloodlog.export import export_csv, export_jsonl
from edge.bloodlog.repair import repair
from edge.bloodlog.samples import SampleChange
from edge.counting.tally import tally
from edge.errors import LogError
from edge.structures import CellRef, FieldResult
from tests.edge.bloodlog.fields import PROVENANCE, make_result


def field(seen: CellRef | None = None) -> FieldResult:
    (cell,) = make_result(cells=1).cells[:1]
    return replace(make_result(), cells=(replace(cell, seen_before=seen),))


def test_a_sample_is_open_until_it_is_closed_also_after_a_restart(path: Path) -> None:
    with BloodLog.open(path) as log:
        assert log.current_sample() is None
        opened = log.open_sample("S-0142", "blood", 200, who="Ani")
        assert (opened.name, opened.specimen, opened.quota, opened.kept) == ("S-0142", "blood", 200, False)
        assert opened.is_open
    with BloodLog.open(path) as log:
        assert log.current_sample() == opened
        closed = log.change_sample("S-0142", "closed")
        assert closed.closed_at is not None
        assert closed.closed_at >= opened.opened_at
        assert log.current_sample() is None
        assert log.change_sample("S-0142", "closed") == closed
        assert log.change_sample("S-0142", "reopened") == opened
        assert log.samples() == (opened,)


def test_keeping_is_apart_from_closing(log: BloodLog) -> None:
    log.open_sample("S-1", "marrow", 500)
    assert log.change_sample("S-1", "kept").kept
    assert log.change_sample("S-1", "closed").kept
    assert not log.change_sample("S-1", "released").kept
    assert not log.sample("S-1").is_open


def test_the_open_sample_costs_the_same_however_many_there_are(log: BloodLog) -> None:
    steps = []
    for number in range(40):
        log.open_sample(f"S-{number}", "blood", 200)
        log._connection.set_progress_handler(lambda: steps.append(1) or 0, 1)
        assert log.current_sample() == log.sample(f"S-{number}")
        log._connection.set_progress_handler(None, 1)
        log.change_sample(f"S-{number}", "closed")
        assert log.current_sample() is None
        if number == 10:
            few = len(steps) / 11
    assert len(steps) / 40 < 2 * few


def test_two_samples_are_never_open(log: BloodLog) -> None:
    log.open_sample("S-1", "blood", 100)
    with pytest.raises(LogError, match="sample S-1 is open; close it before you open S-2"):
        log.open_sample("S-2", "blood", 100)
    log.change_sample("S-1", "closed")
    log.open_sample("S-2", "blood", 100)
    with pytest.raises(LogError, match="sample S-2 is open"):
        log.change_sample("S-1", "reopened")
    assert [sample.name for sample in log.samples()] == ["S-1", "S-2"]


@pytest.mark.parametrize("who", ["", "   ", " Ani", "A" * 41, "A\nB\x1b[31mred"])
def test_nothing_is_put_down_to_what_is_no_name(log: BloodLog, who: str) -> None:
    log.open_sample("S-1", "blood", 100)
    log.append(make_result(), **PROVENANCE)
    for change in (
        lambda: log.change_sample("S-1", "closed", who=who),
        lambda: log.assign_fields("S-1", [1], who=who),
        lambda: log.sign("S-1", "checked", who, "supervisor", seen_sha256="", nonce=""),
        lambda: log.settle({CellRef(1, 1): "blast"}, who),
    ):
        with pytest.raises(LogError, match="a person's name must be 1 to 40 characters"):
            change()
    log.change_sample("S-1", "closed")
    with pytest.raises(LogError, match="a person's name must be"):
        log.open_sample("S-2", "blood", 100, who=who)
    assert len(log.samples()) == 1


@pytest.mark.parametrize(
    ("name", "specimen", "quota", "message"),
    [
        ("S-1", "blood", 100, "sample S-1 exists already, closed since .* UTC; choose another id"),
        ("", "blood", 100, "1 to 64 printable characters, got ''"),
        ("a" * 65, "blood", 100, "1 to 64 printable"),
        ("a\nb", "blood", 100, "1 to 64 printable"),
        ("S-2", "urine", 100, "specimen must be blood or marrow, got 'urine'"),
        ("S-2", "blood", 0, "quota must be 1 or more white cells, got 0"),
    ],
)
def test_samples_that_cannot_be(log: BloodLog, name: str, specimen: str, quota: int, message: str) -> None:
    log.open_sample("S-1", "blood", 100)
    log.change_sample("S-1", "closed")
    with pytest.raises(LogError, match=message):
        log.open_sample(name, specimen, quota)  # type: ignore[arg-type]  # wrong on purpose
    assert len(log.samples()) == 1
    assert log.current_sample() is None


def test_a_search_is_a_fact_of_its_row_and_other_rows_are_as_they_were(path: Path) -> None:
    with BloodLog.open(path) as log:
        with pytest.raises(LogError, match="a search counts to 500, 1000, 2000 white cells, got 300"):
            log.open_sample("S-1", "blood", 300, search=True)
        searched = log.open_sample("S-1", "blood", 1000, search=True)
        log.change_sample("S-1", "closed")
        usual = log.open_sample("S-2", "blood", 200)
    with BloodLog.open(path) as log:
        assert (log.sample("S-1").search, log.current_sample()) == (True, usual)
        assert searched.search
        assert not usual.search
        assert not log.verify()
        rows = io.StringIO()
        export_jsonl(log, rows)
        written = [json.loads(line)["row"] for line in rows.getvalue().splitlines()]
        assert [set(row) for row in written if "quota" in row] == [
            {"id", "name", "specimen", "quota", "opened_at", "search"},
            {"id", "name", "specimen", "quota", "opened_at"},  # what its link has always vouched for
        ]
        with pytest.raises(LogError, match="was not"), log.writing("it was not") as connection:
            connection.execute("INSERT INTO sample (name, specimen, quota, opened_at, search)"
                               " VALUES ('S-3', 'blood', 500, '', 2)")  # fmt: skip


def test_a_sample_that_is_not_there(log: BloodLog) -> None:
    for change in get_args(SampleChange):
        with pytest.raises(LogError, match="there is no sample S-9; `blastcount sample list`"):
            log.change_sample("S-9", change)
    with pytest.raises(LogError, match="there is no sample S-9"):
        log.sample("S-9")


def test_fields_come_back_with_sample_place_pictures_and_clock(log: BloodLog) -> None:
    assert log.last_field() is None
    sample = log.open_sample("S-1", "blood", 100)
    placed = replace(field(), stage_um=(12.5, -3.0))
    with_sample = {"sample_id": sample.id, "clock_trusted": False}
    first = log.append(placed, **PROVENANCE, **with_sample, thumbnails={1: "b" * 64}, image_sha256="d" * 64)
    again = field(seen=CellRef(first, 1))
    second = log.append(again, **PROVENANCE, **with_sample)
    log.append(field(), **PROVENANCE)
    fields = list(log.fields(sample.id))
    assert [f.id for f in fields] == [first, second]
    assert [f.result for f in fields] == [placed, again]
    assert fields[0].thumbnails == {1: "b" * 64}
    assert fields[1].thumbnails == {}
    assert [f.image_sha256 for f in fields] == ["d" * 64, None]
    assert [f.clock_trusted for f in log.fields()] == [False, False, None]
    assert [f.sample_id for f in log.fields()] == [sample.id, sample.id, None]
    assert log.field(second) == fields[1]
    assert log.field(99) is None
    assert log.last_field() == list(log.fields())[-1]
    assert (log.thumbnail(CellRef(first, 1)), log.thumbnail(CellRef(second, 1))) == ("b" * 64, None)
    assert log.thumbnail(CellRef(first, 99)) is None
    assert (log.image(first), log.image(second), log.image(99)) == ("d" * 64, None, None)
    # The cell was seen in two fields of the sample and is one cell.
    assert tally(f.result for f in fields).wbc == 1


def test_what_refers_to_nothing_is_refused(log: BloodLog) -> None:
    with pytest.raises(LogError, match="FOREIGN KEY"):
        log.append(field(), **PROVENANCE, sample_id=7)
    with pytest.raises(LogError, match="CHECK"):
        log.append(field(seen=CellRef(99, 1)), **PROVENANCE)
    with pytest.raises(LogError, match="CHECK"):
        log.append(field(), **PROVENANCE, image_sha256="short")
    assert log.count() == 0


def test_the_newest_time_that_can_be_believed(log: BloodLog) -> None:
    assert log.newest_trusted() is None
    for trusted in (True, True, False, None):
        log.append(field(), **PROVENANCE, clock_trusted=trusted)
    assert log.newest_trusted() == list(log.fields())[1].logged_at


def test_fields_are_put_into_a_sample_afterwards(path: Path) -> None:
    with BloodLog.open(path) as log:
        for _ in range(4):
            log.append(make_result(), **PROVENANCE)
        rejected = replace(make_result(), status="rejected", reasons=("blank",), cells=())
        log.append(rejected, **PROVENANCE)
        sample = log.open_sample("S-1", "blood", 200)
        log.append(make_result(), **PROVENANCE, sample_id=sample.id)
        assert log.unassigned_fields() == [1, 2, 3, 4, 5]
        assert log.assign_fields("S-1", [2, 4, 5, 4], who="AK") == 3
        assert log.assign_fields("S-1", [2, 4]) == 0
        assert log.unassigned_fields() == [1, 3]
        inside = list(log.fields(sample.id))
        assert log.count(sample.id) == len(inside)
        assert [(field.id, field.sample_id, field.result.warnings) for field in inside] == [
            (2, 1, ("assigned",)), (4, 1, ("assigned",)), (5, 1, ()), (6, 1, ()),
        ]  # fmt: skip
        # Nothing else of them has changed, and what is said of their cells belongs to the sample.
        assert replace(inside[0].result, warnings=()) == make_result()
        log.add_reviews({CellRef(4, 1): "blast"}, "AK")
        assert [review.field_id for review in log.reviews(sample.id)] == [4]
        # A slip is taken back by another row.
        before = log.last_assignment()
        assert log.assign_fields(None, [4, 1], who="AK") == 1
        assert log.last_assignment() == before + 1
        assert log.reviews(sample.id) == ()
        assert log.field(4) == replace(inside[1], sample_id=None, result=make_result())
        log.assign_fields("S-1", [4])
        assert [field.id for field in log.fields(sample.id, after=2)] == [4, 5, 6]
        assert log.verify() == ()


def test_what_cannot_be_put_into_a_sample(path: Path) -> None:
    with BloodLog.open(path) as log:
        log.append(make_result(), **PROVENANCE)
        first = log.open_sample("S-1", "blood", 200)
        log.append(make_result(), **PROVENANCE, sample_id=first.id)
        log.assign_fields("S-1", [1])
        for name, fields, message in (
            ("S-1", [1, 9], "there is no field 9"),
            ("S-9", [1], "there is no sample S-9"),
            (None, [2], "field 2 was counted into sample S-1, and stays there"),
        ):
            with pytest.raises(LogError, match=message):
                log.assign_fields(name, fields)
        log.change_sample("S-1", "closed")
        with pytest.raises(LogError, match="S-1 is closed; `blastcount sample reopen S-1`"):
            log.assign_fields(None, [1])
        log.open_sample("S-2", "blood", 200)
        with pytest.raises(LogError, match="sample S-1 is closed"):
            log.assign_fields("S-1", [1, 2, 9])
        with pytest.raises(LogError, match=r"field 1 was put into sample S-1; .*unassign 1` first"):
            log.assign_fields("S-2", [1])
        assert log.last_assignment() == 1


@pytest.mark.parametrize("statement", ["UPDATE assignment SET sample_id = 2", "DELETE FROM assignment"])
def test_assignments_stay(path: Path, statement: str) -> None:
    with BloodLog.open(path) as log:
        log.append(make_result(), **PROVENANCE)
        log.open_sample("S-1", "blood", 200)
        log.assign_fields("S-1", [1])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only: assignment"):
            connection.execute(statement)
        connection.execute("DROP TRIGGER assignment_no_update")
        connection.execute("UPDATE assignment SET who = 'somebody else'")
    with BloodLog.open(path, read_only=True) as log:
        assert [str(fault) for fault in log.verify()] == [
            "link 4: assignment 1 was changed, or its place in the order was"
        ]


def test_backup_repair_and_exports_know_who_was_put_where(path: Path, tmp_path: Path) -> None:
    with BloodLog.open(path) as log:
        for _ in range(3):
            log.append(make_result(), **PROVENANCE)
        sample = log.open_sample("S-1", "blood", 200)
        log.assign_fields("S-1", [1, 3])
        log.assign_fields(None, [3])
        expected = list(log.fields(sample.id))
        assert [field.id for field in expected] == [1]
        assert back_up(log, log.pictures, tmp_path / "backup").faults == ()
        lines, table = io.StringIO(), io.StringIO()
        export_jsonl(log, lines, sample)
        export_csv(log, table, sample)
        everything = io.StringIO()
        export_csv(log, everything)
    assert lines.getvalue().count('"kind": "assignment"') == 3
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert {(row["field"], row["sample"], row["warnings"]) for row in rows} == {("1", "S-1", "assigned")}
    rows = list(csv.DictReader(io.StringIO(everything.getvalue())))
    assert {(row["field"], row["sample"], row["warnings"]) for row in rows} == {
        ("1", "S-1", "assigned"), ("2", "", ""), ("3", "", ""),
    }  # fmt: skip
    salvage = repair(path, tmp_path / "new.db")
    assert salvage.saved["assignment"] == 3
    with BloodLog.open(tmp_path / "new.db") as log:
        assert list(log.fields(sample.id)) == expected
