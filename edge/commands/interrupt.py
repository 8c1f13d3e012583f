"""Ctrl-C that lets the step at hand end, so that what is printed and what is logged agree."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Interrupt:
    """Notes the first Ctrl-C; a second one ends the program as usual.

    Attributes
    ----------
    asked : whether somebody pressed it
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """Take the signal in this block, which the main thread must be in."""
        before = signal.getsignal(signal.SIGINT)

        def ask(_number: int, _frame: object) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, ask)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
