"""From the log's rows to alarms: days, slides, and when a chart keeps quiet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.results.control import Ledger, alarms_during, charts_of, look
from tests.edge.bloodlog.days import FIRST, log_days


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "blood.db") as opened:
        yield opened


def test_a_lamp_that_is_turned_down_is_named_on_its_day(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_days(log, range(25), monkeypatch)
    ledger = Ledger()
    assert look(log, ledger) == []
    log_days(log, [25], monkeypatch, light=2.2)
    (found,) = look(log, ledger, clock_trusted=True)
    assert (found.chart, found.rule, found.cause, found.rises) == ("light", "1-3.5s", "lamp", False)
    assert found.day == (FIRST + timedelta(25)).astimezone().date()
    log_days(log, [26], monkeypatch, light=2.2)
    assert look(log, ledger) == [], "an open alarm is said once"
    assert look(log, Ledger()) == [], "and by one who reads the log anew, too"
    assert len(log.open_alarms()) == 1


def test_a_long_log_is_taken_up_with_pauses(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.results.control._ASKED_EVERY", 10)
    log_days(log, range(25), monkeypatch)
    log_days(log, [25], monkeypatch, light=2.2)
    ledger, answers = Ledger(), iter([True, False])
    assert look(log, ledger, go_on=lambda: next(answers)) == []
    assert [found.chart for found in look(log, ledger)] == ["light"], "it goes on where it was stopped"


def test_another_objective_is_named(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log_days(log, range(25), monkeypatch)
    log_days(log, [25], monkeypatch, um_per_px=0.16)
    assert [(found.chart, found.cause) for found in look(log, Ledger())] == [("scale", "objective")]


def test_an_alarm_comes_again_after_somebody_has_seen_it_unless_it_was_on_purpose(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_days(log, range(25), monkeypatch)
    log_days(log, [25], monkeypatch, light=2.2)
    look(log, Ledger())
    monkeypatch.setattr("edge.bloodlog.control.utc_now", lambda: FIRST + timedelta(25, hours=1))
    log.acknowledge(1, "Ani")
    log_days(log, [26], monkeypatch, light=2.2)
    assert [found.chart for found in look(log, Ledger())] == ["light"]
    log.acknowledge(2, "Ani", new_baseline=True)
    log_days(log, range(27, 30), monkeypatch, light=2.2)
    assert look(log, Ledger()) == []
    charts, _ = charts_of(log)
    assert len(charts[None]["light"]) == 4, "what is usual is found anew from the alarm's day on"


def test_a_control_slide_has_charts_of_its_own(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log_days(log, range(3), monkeypatch)
    control = log.open_control("QC-1-a", "QC-1")
    log_days(log, [3], monkeypatch, sample_id=control.id)
    charts, _ = charts_of(log)
    assert "p" in charts["QC-1"]
    assert "p" not in charts[None]
    assert [len(charts[slide]["light"]) for slide in (None, "QC-1")] == [3, 1]


def test_without_a_clock_every_start_of_the_device_is_a_day(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr("edge.bloodlog.core._BOOT_ID", boot)
    for start in ("one", "two", "three"):
        boot.write_text(start)
        log_days(log, [0], monkeypatch, fields=2, clock_trusted=False)
    charts, _ = charts_of(log)
    assert [(point.n, (point.day - FIRST.date()).days) for point in charts[None]["light"]] == [
        (2, 0),
        (2, 1),
        (2, 2),
    ]
    log_days(log, [0, 1, 9], monkeypatch, fields=1, clock_trusted=True)
    charts, _ = charts_of(log)
    assert [point.n for point in charts[None]["light"]] == [2, 2, 4, 1]


def test_which_alarms_stand_on_a_sheet(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log_days(log, range(25), monkeypatch)
    log_days(log, [25], monkeypatch, light=2.2)
    look(log, Ledger())
    monkeypatch.setattr("edge.bloodlog.control.utc_now", lambda: FIRST + timedelta(27))
    log.acknowledge(1, "Ani")

    def chosen(first: int, last: int) -> int:
        return len(alarms_during(log.alarms(), FIRST + timedelta(first), FIRST + timedelta(last)))

    assert [chosen(20, 24), chosen(25, 25), chosen(26, 29), chosen(28, 29)] == [0, 1, 1, 0]
