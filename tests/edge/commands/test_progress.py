"""The progress line: on terminals only, and never in the way of results."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from edge.commands import progress as progress_module
from edge.commands.progress import MIN_STEPS, Progress

ERASE = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen_by(stderr: io.StringIO, steps: int, monkeypatch: pytest.MonkeyPatch, *, fail_at: int = -1) -> str:
    """Do some work with this stderr, and give what it got."""
    monkeypatch.setattr(sys, "stderr", stderr)
    progress = Progress("counting")
    try:
        with progress.over(steps):
            for number in range(steps):
                if number == fail_at:
                    raise RuntimeError("stop")
                progress.print(f"row {number}")
                progress.step()
    finally:
        monkeypatch.undo()
    return stderr.getvalue()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Draw after every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_module, "_INTERVAL_S", 0.0)
        yield monkeypatch


def test_a_terminal_sees_it_grow_and_vanish(
    at_once: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = seen_by(Terminal(), 10, at_once)
    assert capsys.readouterr().out.splitlines() == [f"row {n}" for n in range(10)]
    drawn = seen.split(ERASE)
    assert any("counting [###############---------------] 5/10" in line for line in drawn)
    assert any("10/10, 0:00 left" in line for line in drawn)
    assert seen.endswith(ERASE)


def test_few_steps_show_nothing_and_a_file_or_pipe_gets_nothing(at_once: pytest.MonkeyPatch) -> None:
    assert seen_by(Terminal(), MIN_STEPS - 1, at_once) == ""
    assert seen_by(Terminal(), MIN_STEPS, at_once) != ""
    assert seen_by(io.StringIO(), 20, at_once) == ""


def test_it_vanishes_after_an_error_too(at_once: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    with pytest.raises(RuntimeError, match="stop"):
        seen_by(terminal, 9, at_once, fail_at=5)
    assert terminal.getvalue().endswith(ERASE)


def test_it_is_not_drawn_at_every_step_of_fast_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_module, "_INTERVAL_S", 3600.0)
        assert seen_by(Terminal(), 1000, monkeypatch).count("counting") <= 1


@pytest.mark.parametrize(("seconds", "expected"), [(0.4, "0:00"), (75.0, "1:15"), (7262.0, "2:01:02")])
def test_durations(seconds: float, expected: str) -> None:
    assert progress_module._duration(seconds) == expected
