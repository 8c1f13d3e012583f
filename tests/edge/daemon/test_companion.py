"""The review page's process: started, started again, and stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.daemon.companion import Companion


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_it_runs_as_long_as_the_block(tmp_path: Path) -> None:
    there = tmp_path / "there"
    code = f"import pathlib, time; pathlib.Path({str(there)!r}).touch(); time.sleep(60)"
    with Companion(program(code)) as companion:
        wait(there.exists)
        process = companion._process
        assert process is not None
        companion.tend()
        assert companion.starts == 1
    assert process.poll() is not None


def test_one_that_ends_is_started_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.daemon.reconnect.FIRST_RETRY_S", 0.05)
    with Companion(program("raise SystemExit(1)")) as companion:

        def again() -> bool:
            companion.tend()
            return companion.starts == 3

        wait(again)
    assert "ended with code 1; it is started again in 0.05 s" in caplog.text


@pytest.mark.parametrize("code", [2, 3, 4])
def test_what_a_new_start_cannot_mend_is_left(code: int, caplog: pytest.LogCaptureFixture) -> None:
    with Companion(program(f"raise SystemExit({code})")) as companion:
        wait(lambda: (companion.tend(), companion._process is None)[1])
        time.sleep(0.1)
        companion.tend()
        assert companion.starts == 1
    assert f"ended with code {code} and is not started again" in caplog.text


def test_one_that_does_not_go_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.daemon.companion._STOP_S", 0.1)
    there = tmp_path / "there"
    code = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(there)!r}).touch(); time.sleep(60)"
    )
    with Companion(program(code)) as companion:
        wait(there.exists)
        process = companion._process
    assert process is not None
    assert process.returncode == -9


def test_a_program_that_is_not_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with Companion(["/absent/blastcount"]) as companion:
        companion.tend()
    assert "the review page cannot be started: " in caplog.text
