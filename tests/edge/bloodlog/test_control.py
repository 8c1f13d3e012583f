"""Quality control in the log: rows that are only added, chained, and acknowledged once."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.control import MAX_NOTE, Found, decode_readings, encode_readings
from edge.errors import LogError
from tests.edge.bloodlog.days import log_days, readings
from tests.edge.bloodlog.fields import PROVENANCE, make_result

FOUND = Found(date(2026, 5, 3), None, "light", "1-3.5s", False, 2.2, 2.28, 0.02, 12, "lamp")


def test_readings_come_back_as_they_were(log: BloodLog) -> None:
    result = replace(make_result(), readings=readings())
    number = log.append(result, **PROVENANCE)
    logged = log.field(number)
    assert logged is not None
    assert logged.result == result
    assert decode_readings(encode_readings(readings())) == readings()


def test_what_the_charts_read(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log_days(log, range(2), monkeypatch, fields=2)
    log_days(log, [2], monkeypatch, fields=1, clock_trusted=False)
    control = log.open_control("QC-1-a", "QC-1")
    log_days(log, [3], monkeypatch, fields=1, sample_id=control.id)
    read = list(log.read_fields())
    assert [one.slide for one in read] == [None] * 5 + ["QC-1"]
    assert [one.clock_trusted for one in read] == [None] * 4 + [False, None]
    assert read[0].p is None
    assert read[5].p == pytest.approx(0.75)
    assert list(log.read_fields(read[4].id)) == read[5:]
    assert control.slide == "QC-1"
    assert [one.slide for one in log.samples()] == ["QC-1"]


def test_an_alarm_is_added_once_and_acknowledged_once(log: BloodLog) -> None:
    log.add_alarms([FOUND], clock_trusted=True)
    log.add_alarms([FOUND, replace(FOUND, slide="QC-1")])
    first, second = log.open_alarms()
    assert (first.found, second.found.slide, first.clock_trusted) == (FOUND, "QC-1", True)
    said = log.acknowledge(first.id, "Ani", note="new lamp", new_baseline=True).acknowledged
    assert said is not None
    assert (said.who, said.note, said.new_baseline) == ("Ani", "new lamp", True)
    assert [one.id for one in log.open_alarms()] == [second.id]
    with pytest.raises(LogError, match="acknowledged by Ani already"):
        log.acknowledge(first.id, "Budi")
    with pytest.raises(LogError, match="no alarm 99"):
        log.acknowledge(99, "Budi")
    with pytest.raises(LogError, match=f"{MAX_NOTE} characters"):
        log.acknowledge(second.id, "Budi", note="x" * (MAX_NOTE + 1))
    with pytest.raises(LogError, match="name"):
        log.acknowledge(second.id, "")
    assert log.verify() == ()


def test_a_patient_s_sample_is_no_control_slide(log: BloodLog) -> None:
    log.open_sample("S-1", "blood", 200)
    log.change_sample("S-1", "closed")
    with pytest.raises(LogError, match=r"S-1 is a sample, not a control slide; give .* a code of its own"):
        log.open_control("S-1-260503", "S-1")
    assert [(one.name, one.slide) for one in log.samples()] == [("S-1", None)]
    log.open_control("QC-1-260503", "QC-1")
    log.change_sample("QC-1-260503", "closed")
    with pytest.raises(LogError, match=r"QC-1 is the code of a control slide; give .* a code of its own"):
        log.open_sample("QC-1", "blood", 200)


@pytest.mark.parametrize("table", ["control_run", "alarm", "acknowledgement"])
def test_rows_are_only_added_and_a_changed_one_shows(log: BloodLog, path: Path, table: str) -> None:
    log.open_control("QC-1-a", "QC-1")
    log.add_alarms([FOUND])
    log.acknowledge(1, "Ani")
    changed = {"control_run": "slide = 'X'", "alarm": "value = 9.0", "acknowledgement": "who = 'X'"}[table]
    connection = sqlite3.connect(path)
    for statement in (f"UPDATE {table} SET {changed}", f"DELETE FROM {table}",
                      f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.execute(f"DROP TRIGGER {table}_no_update")
    connection.execute(f"UPDATE {table} SET {changed}")
    connection.commit()
    connection.close()
    assert [(fault.kind, fault.row_id) for fault in log.verify()] == [(table, 1)]
