"""Progress for people: on stderr where that is a terminal, elsewhere nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def bar(label: str, length: int) -> Iterator[Callable[[], None]]:
    """Show a bar; what is yielded is called after each of ``length`` steps."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True) as shown:
        yield lambda: shown.update(1)
