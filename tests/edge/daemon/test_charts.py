"""The daemon's look at the charts: once a sample, once a day, and in every form of its status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.config import Config
from edge.daemon.charts import ChartWatch
from edge.daemon.lines import status_line
from edge.daemon.status import Counts, make_status, metrics
from edge.device.clock import WallClock
from tests.edge.bloodlog.days import FIRST, log_days


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "blood.db") as opened:
        yield opened


def now(monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    monkeypatch.setattr("edge.daemon.charts.utc_now", lambda: FIRST + timedelta(days=day, hours=2))
    monkeypatch.setattr("edge.results.control.utc_now", lambda: FIRST + timedelta(days=day, hours=2))


def test_it_looks_once_a_sample_and_once_a_day(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ChartWatch(log, WallClock())
    log_days(log, range(25), monkeypatch)
    now(monkeypatch, 25)
    watch.look(sample_changed=False)
    log_days(log, [25], monkeypatch, light=2.2)
    watch.look(sample_changed=False)
    assert watch.status() == {"alarms": []}, "not in a field's time"
    watch.look(sample_changed=True)
    (alarm,) = watch.status()["alarms"]
    assert (alarm["chart"], alarm["cause"], alarm["rule"]) == ("light", "lamp", "1-3.5s")
    log.acknowledge(alarm["alarm"], "Ani", new_baseline=True)
    assert watch.status() == {"alarms": []}


def test_a_change_of_the_day_is_enough(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ChartWatch(log, WallClock())
    log_days(log, range(25), monkeypatch)
    now(monkeypatch, 24)
    watch.look(sample_changed=False)
    log_days(log, [25], monkeypatch, um_per_px=0.2)
    now(monkeypatch, 26)
    watch.look(sample_changed=False)
    assert [alarm["cause"] for alarm in watch.status()["alarms"]] == ["objective"]


def test_alarms_in_the_metrics_and_in_the_line_for_systemd(tmp_path: Path) -> None:
    config = Config().changed(log={"path": tmp_path / "blood.db"})
    status: dict[str, Any] = make_status(None, Counts(), config, now_s=0.0, problem=None)
    status |= {"queue_age_s": None, "sample": None}
    assert "qc_open_alarms" not in metrics(status)
    alarm = {"chart": "light", "text": "light has fallen"}
    assert "blastcount_qc_open_alarms 0" in metrics(status | {"qc": {"alarms": []}})
    text = metrics(status | {"qc": {"alarms": [alarm]}})
    assert "blastcount_qc_open_alarms 1" in text
    assert 'blastcount_qc_open_alarms_of_chart{chart="light"} 1' in text
    assert "light has fallen" in status_line(status | {"qc": {"alarms": [alarm]}})
    assert "light" not in status_line(status | {"qc": {"alarms": []}})
