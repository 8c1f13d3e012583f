"""A progress line on stderr that keeps out of the way of results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

#: Fewer steps are over before a bar is read.
MIN_STEPS = 4
_WIDTH = 30
#: Seconds between two drawings; more often is flicker, and slow over a serial console.
_INTERVAL_S = 0.1
_ERASE_LINE = "\r\x1b[K"


class Progress:
    """Shows how far a long work is, on a terminal only.

    Everything else that is printed meanwhile goes through :meth:`print`, which takes the line away first::

        with progress.over(len(files)):
            for file in files:
                ...
                progress.step()

    Parameters
    ----------
    label : what is being done
    quiet : never show it
    """

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._steps = 0
        self._label = label
        self._done = 0
        self._shown = False
        self._drawn_at = 0.0
        self._started_at = 0.0
        self._visible = False

    @contextmanager
    def over(self, steps: int) -> Iterator[None]:
        """Show the line until the end of a ``with`` block of this many steps."""
        self._steps, self._done = steps, 0
        self._visible = not self._quiet and steps >= MIN_STEPS and sys.stderr.isatty()
        self._started_at = time.monotonic()
        try:
            yield
        finally:
            self._erase()

    def step(self, number: int = 1) -> None:
        """Note that so many more steps are done."""
        self._done += number
        now = time.monotonic()
        if self._visible and now - self._drawn_at >= _INTERVAL_S:
            self._drawn_at = now
            self._draw(now)

    def print(self, line: str, *, err: bool = False) -> None:
        """Print a line of its own, at once."""
        self._erase()
        click.echo(line, err=err)

    def _draw(self, now: float) -> None:
        filled = _WIDTH * self._done // self._steps
        left_s = (now - self._started_at) / max(self._done, 1) * (self._steps - self._done)
        bar = "#" * filled + "-" * (_WIDTH - filled)
        text = f"{self._label} [{bar}] {self._done}/{self._steps}, {_duration(left_s)} left"
        click.echo(_ERASE_LINE + text, err=True, nl=False)
        self._shown = True

    def _erase(self) -> None:
        if self._shown:
            click.echo(_ERASE_LINE, err=True, nl=False)
            self._shown = False


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
