"""The loop: what it logs, how it ends, and the signs of life that it gives."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.locks import Patience
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration import Calibration
from edge.calibration.correction import Correction
from edge.config import Config
from edge.daemon.status import Counts, make_status, write_heartbeat
from edge.errors import ControlError, DiskFullError, LogError, SourceError
from edge.structures import Frame
from tests.edge.daemon.troubles import hanging
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.usefixtures("short")
MakeBench = Callable[..., Any]


def test_a_field_every_interval(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.run(fields=5)
    assert [field.result.source for field in bench.fields()] == [f"script#{n}" for n in range(1, 6)]
    steps = [later - earlier for earlier, later in pairwise(bench.source.reads_s)]
    assert sum(steps) >= 0.15  # no burst; that there is no drift is the trigger's test
    assert (bench.source.opened, bench.source.closed) == (1, 1)
    first = bench.fields()[0]
    assert (first.software_version, first.runtime, first.source_kind) == (
        "0.1.0",
        "ai_edge_litert 2.3.0",
        "rendered",
    )


@pytest.mark.parametrize("raised", [MemoryError(), RecursionError(), RuntimeError("an OpenCV call")])
def test_a_field_on_which_a_library_fails_is_booked_and_counting_goes_on(
    make_bench: MakeBench, raised: Exception
) -> None:
    bench = make_bench("frame", "frame", "frame", None)
    fails = iter([False, True, False])

    def work() -> None:
        if next(fails):
            raise raised

    bench.counter.work = work
    bench.run()
    assert [field.result.source for field in bench.fields()] == ["script#1", "script#3"]
    assert (bench.daemon.counts.logged, bench.daemon.counts.failed) == (2, 1)
    assert bench.daemon.status()["fields"]["failed"] == 1


def test_a_trigger_that_fails_on_a_frame_ends_nothing(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench("frame", "frame", "frame", None)
    looks = iter([True, MemoryError(), True])

    def wants(self: object, frame: Frame) -> bool:
        look = next(looks)
        if isinstance(look, MemoryError):
            raise look
        return look

    def counted(self: object, frame: Frame, now_s: float) -> None:
        raise cv2.error("(-215:Assertion failed)")

    monkeypatch.setattr("edge.daemon.trigger.Interval.wants", wants)
    monkeypatch.setattr("edge.daemon.trigger.Interval.counted", counted)
    bench.run()
    assert [field.result.source for field in bench.fields()] == ["script#1", "script#3"]
    assert bench.daemon.counts.failed == 1


def test_a_calibration_that_does_not_fit_is_in_the_status(make_bench: MakeBench) -> None:
    bench = make_bench("frame", None)
    bench.correction = Correction(Calibration(800, 600, datetime(2026, 1, 31, tzinfo=UTC)))
    bench.run()
    assert "800x600" in bench.daemon.status()["calibration_problem"]


def test_the_end_of_the_source_ends_the_run(make_bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_bench("frame", "frame", None)
    with caplog.at_level(logging.INFO):
        bench.run()
    assert len(bench.fields()) == 2
    assert "script has come to its end" in caplog.text
    assert "stopped: 2 fields logged, 0 of them rejected; 0 camera failures" in caplog.text


def test_one_line_a_state_change_and_none_a_field(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.configure(camera={"interval_s": 0.05})
    with caplog.at_level(logging.INFO):
        bench.run(fields=10)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "counting from script, mode interval",
        "stopped",
    ]


def test_rejected_fields_are_logged_with_their_reasons(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.counter.reasons = ("out_of_focus", "underexposed")
    with caplog.at_level(logging.DEBUG):
        bench.run(fields=2)
    assert [field.result.reasons for field in bench.fields()] == [("out_of_focus", "underexposed")] * 2
    assert "field 1: script#1 rejected: out_of_focus, underexposed" in caplog.text
    assert any(
        "2 fields logged, 2 of them rejected (2 out of focus, 2 too dark)" in m for m in bench.told.messages
    )


def test_fields_with_a_warning_show_in_log_journal_status_and_metrics(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.counter.warnings = ("overlay", "scale_changed")
    with caplog.at_level(logging.DEBUG):
        bench.run(fields=2)
    assert [field.result.warnings for field in bench.fields()] == [("overlay", "scale_changed")] * 2
    assert "warning: overlay, scale_changed" in caplog.text
    assert any(
        "2 fields logged, 0 of them rejected, 2 with a warning (2 lettering in the picture, 2 another scale)"
        in message
        for message in bench.told.messages
    )
    status = json.loads((bench.folder / "run/status.json").read_text())
    assert status["fields"]["warned"] == 2
    assert status["fields"]["by_warning"] == {"overlay": 2, "scale_changed": 2}
    assert status["last_field"]["warnings"] == ["overlay", "scale_changed"]
    metrics = (bench.folder / "run/metrics.prom").read_text()
    assert 'blastcount_warned_total{warning="overlay"} 2' in metrics


def test_stopping_is_quick_and_clean(make_bench: MakeBench) -> None:
    bench = make_bench()
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 2, "fields")
    assert bench.error is None
    assert bench.source.closed == 1
    assert not (bench.folder / "run/control.sock").exists()
    assert json.loads((bench.folder / "run/status.json").read_text())["state"] == "stopped"


def test_other_errors_are_not_swallowed(make_bench: MakeBench) -> None:
    bench = make_bench(SourceError("files gone"))
    with pytest.raises(SourceError, match="files gone"):
        bench.run()
    assert bench.source.closed == 1


def test_a_log_that_cannot_be_written_ends_the_run(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise LogError("not logged")

    monkeypatch.setattr(BloodLog, "append", refuse)
    bench = make_bench()
    with pytest.raises(LogError, match="not logged"):
        bench.run()
    assert bench.source.closed == 1


def test_the_watchdog_is_fed_by_the_loop_and_by_nothing_else(make_bench: MakeBench) -> None:
    bench = make_bench()
    hangs, go_on = threading.Event(), threading.Event()

    def work() -> None:
        hangs.set()
        go_on.wait(300.0)

    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 2, "fields")
        bench.counter.work = work  # the loop hangs, camera and control socket do not
        assert hangs.wait(PATIENCE_S)
        fed, age_s = bench.told.messages.count("WATCHDOG=1"), bench.ask("status")["loop_age_s"]
        bench.wait(lambda: bench.ask("status")["loop_age_s"] > age_s + 0.2, "the loop being late")
        assert bench.told.messages.count("WATCHDOG=1") == fed
        go_on.set()
    assert bench.error is None


def test_a_full_disk_stops_counting_and_nothing_else(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    with caplog.at_level(logging.INFO), bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        bench.problem = DiskFullError("3 MB free on /var, 100 MB are needed; free some space")
        bench.wait(lambda: bench.ask("status")["state"] == "disk_full", "the stop")
        before = bench.ask("status")["fields"]["logged"]
        with pytest.raises(ControlError, match="3 MB free") as refusal:
            bench.ask("capture")
        assert refusal.value.reason == "disk_full"
        reads = len(bench.told.messages)
        bench.wait(lambda: len(bench.told.messages) > reads + 5, "more beats")
        assert bench.ask("status")["fields"]["logged"] == before
        assert bench.ask("status")["disk"]["problem"] == bench.ask("status")["problem"] == str(bench.problem)
        assert any("not counting: 3 MB free on /var" in m for m in bench.told.messages)
        bench.problem = None
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > before, "fields again")
    assert "not counting: 3 MB free on /var" in caplog.text
    assert "counting goes on" in caplog.text


def test_a_second_daemon_with_the_same_log_is_refused(make_bench: MakeBench) -> None:
    bench = make_bench()
    second = make_bench()
    second.folder = bench.folder
    with bench.running():
        with pytest.raises(ControlError, match="another daemon with this log is running; stop it first"):
            second.run(fields=1)
        assert bench.ask("status")["state"] == "counting"


def test_whoever_watches_the_device_reads_the_metrics_alone(
    tmp_path: Path, set_umask: Callable[[int], int]
) -> None:
    status = make_status(None, Counts(), Config(), now_s=0.0, problem=None) | {"queue_age_s": None}
    set_umask(0o077)
    write_heartbeat(tmp_path, status)
    assert (tmp_path / "metrics.prom").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "status.json").stat().st_mode & 0o007 == 0


def test_the_heartbeat_is_whole_and_private(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.counter.reasons = ("blank",)
    with bench.running():
        run = bench.folder / "run"
        for _ in range(20):
            assert json.loads((run / "status.json").read_text())["schema"] == "blastcount.status/1"
            time.sleep(0.01)
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        metrics = (run / "metrics.prom").read_text()
        assert (run / "control.sock").stat().st_mode & 0o777 == 0o660
        assert run.stat().st_mode & 0o777 == 0o700
    assert 'blastcount_rejected_total{reason="blank"} ' in metrics
    assert "blastcount_up 1" in metrics
    assert sorted(path.name for path in run.iterdir()) == ["metrics.prom", "status.json"]


def test_a_log_that_is_lost_is_named_and_counted_into_again_where_it_comes_back(
    make_bench: MakeBench,
) -> None:
    bench = make_bench()
    log, away = bench.folder / "blood.db", bench.folder / "away.db"
    with bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        log.rename(away)
        bench.wait(lambda: bench.ask("status")["state"] == "log_lost", "the loss")
        with pytest.raises(ControlError, match="was deleted or moved while it was open") as refusal:
            bench.ask("capture")
        assert refusal.value.reason == "log_lost"
        assert "was deleted or moved" in bench.ask("status")["problem"]
        acknowledged = bench.ask("status")["fields"]["logged"]
        away.rename(log)
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > acknowledged, "fields again")
        acknowledged = bench.ask("status")["fields"]["logged"]
    assert bench.error is None
    assert len(bench.fields()) >= acknowledged


def test_a_folder_that_vanishes_under_a_daemon_at_rest_is_named(make_bench: MakeBench) -> None:
    bench = make_bench()
    (bench.folder / "log").mkdir()
    bench.log = bench.folder / "log" / "blood.db"
    bench.configure(trigger={"mode": "manual"}, log={"path": str(bench.log)})
    with bench.running():
        assert bench.ask("status")["disk"]["free_bytes"] > 0
        shutil.rmtree(bench.log.parent)
        bench.wait(lambda: bench.ask("status")["state"] == "log_lost", "the loss")
        assert bench.ask("status")["disk"]["free_bytes"] is None
    assert bench.error is None


@pytest.mark.parametrize("held", ["write lock", "pictures"])
def test_a_lock_that_somebody_holds_is_named_and_holds_up_nothing_else(
    make_bench: MakeBench, held: str
) -> None:
    bench = make_bench()
    bench.patience = Patience(0.0)
    with BloodLog.open(bench.folder / "blood.db") as log:
        log.open_sample("S-1", "blood", 200)
    with bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        with ExitStack() as holder:
            if held == "pictures":
                holder.enter_context(ThumbnailStore.beside(bench.folder / "blood.db").tidying())
            else:
                other = sqlite3.connect(bench.folder / "blood.db", isolation_level=None)
                holder.enter_context(closing(other))
                other.execute("BEGIN IMMEDIATE")
            bench.wait(lambda: bench.ask("status")["state"] == "log_busy", "the lock being noticed")
            logged = bench.ask("status")["fields"]["logged"]
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > logged, "fields again")
    assert bench.error is None


def test_a_loop_that_hangs_is_named(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench()
    with hanging() as hang, bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        monkeypatch.setattr("edge.daemon.loop.STALLED_S", 0.1)
        bench.counter.work = hang  # as a disk that takes seconds to write
        bench.wait(lambda: bench.ask("status")["state"] == "stalled", "the delay being named")
        assert "no sign of life" in bench.ask("status")["problem"]
        bench.counter.work = lambda: None
        hang.__closure__[0].cell_contents.set()  # type: ignore[index]
    assert bench.error is None
