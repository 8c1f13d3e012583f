"""The loop: when it reads, what it logs, how it fails and how it stops. Time is told, not waited for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.daemon import MAX_FAILURES, Daemon, Provenance, StopRequest, Supervisor
from edge.errors import CameraError, LogError, SourceError
from edge.pipeline import ProcessedField
from edge.structures import FieldResult, Frame, ModelIdentity, Scale

PROVENANCE = Provenance("c" * 64, "0.1.0", "ai_edge_litert 2.3.0", "rendered")
IMAGE = np.zeros((60, 80, 3), np.uint8)
START_S = 1000.0


class Clock:
    """Seconds that pass only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


class Stop(StopRequest):
    """Sleeping moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.sleeps: list[float] = []
        self.stop_at_s = float("inf")

    def wait(self, timeout_s: float) -> bool:
        self.sleeps.append(timeout_s)
        self.clock.now_s = min(self.clock.now_s + timeout_s, max(self.clock.now_s, self.stop_at_s))
        if self.clock.now_s >= self.stop_at_s:
            self.set()
        return self.is_set()


class Told(Supervisor):
    """Keeps what systemd would be told."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        super().__init__()
        self.watchdog_s = watchdog_s
        self.messages: list[str] = []

    def tell(self, *assignments: str) -> None:
        self.messages.extend(assignments)


class Script:
    """A source that does what it is told: frames, None, or exceptions, in turn."""

    name = "script"

    def __init__(self, clock: Clock, *steps: object) -> None:
        self.clock = clock
        self.steps = iter(steps)
        self.reads_s: list[float] = []
        self.timeouts: list[float] = []
        self.opened = self.closed = 0
        self.open_errors: list[Exception] = []

    def __enter__(self) -> Self:
        self.opened += 1
        if self.open_errors:
            self.closed += 1
            raise self.open_errors.pop(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1

    def read(self, timeout_s: float) -> Frame | None:
        self.reads_s.append(self.clock() - START_S)
        self.timeouts.append(timeout_s)
        step = next(self.steps, "frame")
        if isinstance(step, Exception):
            raise step
        return None if step is None else Frame(IMAGE, "script#1")


class Counter:
    """A pipeline that takes a while on the told clock."""

    def __init__(self, clock: Clock, *durations_s: float) -> None:
        self.clock = clock
        self.durations_s = iter(durations_s)
        self.status: Any = "counted"

    def process(self, frame: Frame) -> ProcessedField:
        self.clock.now_s += next(self.durations_s, 0.25)
        reasons = () if self.status == "counted" else ("blank",)
        result = FieldResult(
            source=frame.source,
            width=frame.width,
            height=frame.height,
            captured_at=datetime.now(UTC),
            frame_sha256="f" * 64,
            scale=Scale(0.1, "assumed", 0.0),
            status=self.status,
            reasons=reasons,
            cells=(),
            model=ModelIdentity("m", "a" * 64),
            stage_ms={"segment": 12.0},
        )
        return ProcessedField(result, None)


class Bench:
    """Everything around a daemon."""

    def __init__(self, log: BloodLog, *steps: object, durations_s: tuple[float, ...] = ()) -> None:
        self.clock = Clock()
        self.stop = Stop(self.clock)
        self.told = Told()
        self.source = Script(self.clock, *steps)
        self.counter = Counter(self.clock, *durations_s)
        self.log = log
        self.daemon = Daemon(
            self.source, self.counter, log, PROVENANCE,
            interval_s=2.0, timeout_s=3.0, stop=self.stop, supervisor=self.told, clock=self.clock,
        )  # fmt: skip

    def run(self, fields: int | None = None) -> None:
        with self.stop:
            self.daemon.run(fields)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "blood.db") as opened:
        yield opened


def test_a_field_every_interval_without_drift(log: BloodLog) -> None:
    bench = Bench(log)
    bench.run(fields=4)
    assert bench.source.reads_s == [0.0, 2.0, 4.0, 6.0]  # although each field takes 0.25 s
    assert bench.source.timeouts == [3.0] * 4
    assert (bench.source.opened, bench.source.closed) == (1, 1)
    assert bench.daemon.logged == log.count() == 4
    (first, *_) = log.fields()
    assert replace(PROVENANCE, config_sha256=first.config_sha256) == PROVENANCE
    assert (first.software_version, first.runtime, first.source_kind) == (
        "0.1.0",
        "ai_edge_litert 2.3.0",
        "rendered",
    )


def test_a_long_field_skips_the_moments_that_it_missed(log: BloodLog) -> None:
    bench = Bench(log, durations_s=(5.0, 0.1, 2.0, 0.1))
    bench.run(fields=4)
    assert bench.source.reads_s == [0.0, 6.0, 8.0, 12.0]


def test_the_end_of_the_source_ends_the_run(log: BloodLog, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(log, "frame", "frame", None)
    with caplog.at_level(logging.INFO):
        bench.run()
    assert log.count() == 2
    assert "script has come to its end" in caplog.text
    assert "stopped: 2 fields logged, 0 of them rejected; 0 camera failures" in caplog.text


def test_one_line_a_state_change_and_none_a_field(log: BloodLog, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Bench(log).run(fields=50)
    assert len(caplog.records) == 2
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        Bench(log).run(fields=1)
    assert "field 51: script#1 0 white cells in 12 ms" in caplog.text


def test_rejected_fields_are_logged_and_counted(log: BloodLog, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(log)
    bench.counter.status = "rejected"
    with caplog.at_level(logging.DEBUG):
        bench.run(fields=2)
    assert (bench.daemon.logged, bench.daemon.rejected, log.count()) == (2, 2, 2)
    assert "field 1: script#1 rejected: blank" in caplog.text


def test_stopping_while_waiting(log: BloodLog) -> None:
    bench = Bench(log)
    bench.stop.stop_at_s = START_S + 3.0
    bench.run()
    assert bench.clock.now_s == START_S + 3.0
    assert log.count() == 2
    assert bench.source.closed == 1


def test_stopping_before_the_first_field(log: BloodLog) -> None:
    bench = Bench(log)
    bench.stop.set()
    bench.run()
    assert log.count() == 0
    assert (bench.source.opened, bench.source.closed) == (1, 1)


def test_camera_failures_back_off_and_are_counted(log: BloodLog, caplog: pytest.LogCaptureFixture) -> None:
    failures = [CameraError(f"gone {n}") for n in range(6)]
    bench = Bench(
        log, "frame", *failures, "frame", CameraError("gone again"), "frame", durations_s=(0.0,) * 9
    )
    with caplog.at_level(logging.INFO):
        bench.run(fields=3)
    assert bench.daemon.camera_failures == 7
    # 0.5, 1, 2, 4, 5, 5 s after each other, and from the start again after a frame.
    assert bench.source.reads_s == [0.0, 2.0, 2.5, 3.5, 5.5, 9.5, 14.5, 19.5, 21.5, 22.0]
    # Each failure closes the camera, and the next try opens it afresh.
    assert (bench.source.opened, bench.source.closed) == (8, 8)
    assert "camera failure 6, next try in 5 s: gone 5" in caplog.text
    assert caplog.text.count("script gives frames again") == 2
    assert "STATUS=no frames, camera failure 6 in a row: gone 5" in bench.told.messages
    assert bench.told.messages[-1].endswith("3 fields logged, 0 of them rejected; 7 camera failures")


def test_a_camera_that_cannot_be_reopened_counts_as_a_failure(log: BloodLog) -> None:
    bench = Bench(log, CameraError("gone"), "frame")
    bench.source.__class__ = ScriptThatReopensAtTheThirdTry
    bench.run(fields=1)
    assert bench.daemon.camera_failures == 3
    assert (bench.source.opened, bench.source.closed) == (4, 4)


class ScriptThatReopensAtTheThirdTry(Script):
    def __enter__(self) -> Self:
        if self.opened in (1, 2):
            self.open_errors.append(CameraError("not there"))
        return super().__enter__()


def test_too_many_failures_in_a_row_end_the_run(log: BloodLog) -> None:
    bench = Bench(log, "frame", *[CameraError("gone") for _ in range(99)])
    with pytest.raises(CameraError, match=rf"^gone \(gave up after {MAX_FAILURES} failures in a row\)$"):
        bench.run()
    assert bench.daemon.camera_failures == MAX_FAILURES
    assert log.count() == 1
    assert bench.source.opened == bench.source.closed == MAX_FAILURES
    assert bench.clock.now_s - START_S < 60.0


def test_a_camera_that_is_not_there_at_the_start_ends_the_run(log: BloodLog) -> None:
    bench = Bench(log)
    bench.source.open_errors.append(CameraError("no such camera"))
    with pytest.raises(CameraError, match=r"^no such camera$"):
        bench.run()
    assert "READY=1" not in bench.told.messages


def test_other_errors_are_not_swallowed(log: BloodLog) -> None:
    bench = Bench(log, SourceError("files gone"))
    with pytest.raises(SourceError, match="files gone"):
        bench.run()
    assert bench.source.closed == 1
    log.close()
    bench = Bench(log)
    with pytest.raises(LogError, match="not logged"):
        bench.run()
    assert bench.source.closed == 1


def test_stopping_during_the_back_off(log: BloodLog) -> None:
    bench = Bench(log, *[CameraError("gone") for _ in range(99)])
    bench.stop.stop_at_s = START_S + 2.0
    bench.run()
    assert bench.clock.now_s == START_S + 2.0


def test_systemd_is_told(log: BloodLog) -> None:
    bench = Bench(log)
    bench.told.watchdog_s = 1.0
    bench.run(fields=3)
    messages = bench.told.messages
    assert messages[:2] == ["READY=1", "STATUS=counting from script"]
    assert "STATUS=counting from script: 3 fields logged, 0 of them rejected; 0 camera failures" in messages
    # Never longer without a sign of life than half of what systemd allows.
    assert max(bench.stop.sleeps) == 0.5
    assert messages.count("WATCHDOG=1") >= len(bench.stop.sleeps)


def test_the_watchdog_is_fed_while_the_camera_is_gone(log: BloodLog) -> None:
    bench = Bench(log, *[CameraError("gone") for _ in range(4)])
    bench.told.watchdog_s = 1.0
    bench.run(fields=1)
    assert max(bench.stop.sleeps) == 0.5


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = str(tmp_path / "notify")
        listener.bind(address)
        listener.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listener


def test_the_notification_socket(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with Supervisor() as supervisor:
        assert supervisor.watchdog_s == 20.0
        supervisor.tell("READY=1", "STATUS=ok")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=ok"
    assert systemd.recv(1000) == b"STOPPING=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with Supervisor() as supervisor:
        supervisor.tell("READY=1")
        assert supervisor.watchdog_s is None


def test_a_watchdog_meant_for_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Supervisor().watchdog_s is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Supervisor().watchdog_s == 1.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_wait_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop, stop.on_signals():
        killer = threading.Timer(0.1, os.kill, (os.getpid(), number))
        killer.start()
        started = time.monotonic()
        assert stop.wait(20.0)
        assert time.monotonic() - started < 5.0
        assert stop.is_set()
        # The second signal is not caught any more.
        assert signal.getsignal(number) is before
        killer.join()
    assert signal.getsignal(number) is before


def test_waiting_without_a_request_ends_by_itself() -> None:
    with StopRequest() as stop:
        assert not stop.wait(0.01)
        assert not stop.wait(-1.0)
        stop.set()
        stop.set()
        assert stop.wait(20.0)
        assert stop.wait(20.0)
