"""The progress line: on terminals only, and never in the way of results."""

from __future__ import annotations

import io

import pytest

from edge.commands import progress as progress_module
from edge.commands.progress import MIN_STEPS, Progress

ERASE = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen_by(stderr: io.StringIO, steps: int, *, fail_at: int = -1, interval_s: float = 0.0) -> str:
    """Do some work with this stderr, and give what it got; drawn after every step unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        patch.setattr(progress_module, "_INTERVAL_S", interval_s)
        progress = Progress("counting")
        with progress.over(steps):
            for number in range(steps):
                if number == fail_at:
                    raise RuntimeError("stop")
                progress.print(f"row {number}")
                progress.step()
    return stderr.getvalue()


def test_a_terminal_sees_it_grow_and_vanish(capsys: pytest.CaptureFixture[str]) -> None:
    seen = seen_by(Terminal(), 10)
    assert capsys.readouterr().out.splitlines() == [f"row {n}" for n in range(10)]
    drawn = seen.split(ERASE)
    assert any("counting [###############---------------] 5/10" in line for line in drawn)
    assert any("10/10, 0:00 left" in line for line in drawn)
    assert seen.endswith(ERASE)
    terminal = Terminal()
    with pytest.raises(RuntimeError, match="stop"):
        seen_by(terminal, 9, fail_at=5)
    assert terminal.getvalue().endswith(ERASE)


def test_few_steps_and_pipes_get_nothing_and_fast_work_little() -> None:
    assert seen_by(Terminal(), MIN_STEPS - 1) == ""
    assert seen_by(Terminal(), MIN_STEPS) != ""
    assert seen_by(io.StringIO(), 20) == ""
    assert seen_by(Terminal(), 1000, interval_s=3600.0).count("counting") <= 1


@pytest.mark.parametrize(("seconds", "expected"), [(0.4, "0:00"), (75.0, "1:15"), (7262.0, "2:01:02")])
def test_durations(seconds: float, expected: str) -> None:
    assert progress_module._duration(seconds) == expected
