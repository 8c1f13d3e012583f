"""What the loop sleeps on: signals, finished frames and commands, all through one pipe."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

#: More nudges than anybody can send between two looks; they are all taken at once.
_DRAIN_BYTES = 4096


class Requests:
    """Tells the loop that it is time to stop, to re-read the configuration, or to look again.

    A signal handler may run between any two steps of the main thread, also inside the locks of
    :class:`threading.Event`. Writing to a pipe is safe there, and from any thread.
    """

    def __init__(self) -> None:
        """Open the pipe."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._is_stopping = False
        self._reload = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pipe; whoever nudges later is not heard."""
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        os.close(reader)
        os.close(writer)

    def stop(self) -> None:
        """Ask to stop. Asking twice does nothing more."""
        self._is_stopping = True
        self.nudge()

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._is_stopping

    def reload(self) -> None:
        """Ask for the configuration to be read again."""
        self._reload = True
        self.nudge()

    def take_reload(self) -> bool:
        """Whether the configuration is to be read again; asking takes the request away."""
        asked, self._reload = self._reload, False
        return asked

    def nudge(self) -> None:
        """End the loop's sleep: something has happened."""
        # A full pipe wakes the loop as well; one that is closed has no loop to wake.
        with suppress(OSError):
            os.write(self._writer, b"\0")

    def wait(self, timeout_s: float) -> bool:
        """Sleep, at most until something happens.

        Returns
        -------
        whether somebody has asked to stop
        """
        if not self._is_stopping and select.select([self._reader], [], [], max(0.0, timeout_s))[0]:
            with suppress(BlockingIOError):
                os.read(self._reader, _DRAIN_BYTES)
        return self._is_stopping

    @contextmanager
    def on_signals(self) -> Iterator[Self]:
        """Stop on the first SIGTERM or SIGINT, reload on SIGHUP. A second one to stop ends the process."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in numbers}

        def on_stop(number: int, _frame: object) -> None:
            self.stop()
            signal.signal(number, before[signal.Signals(number)])

        def on_reload(_number: int, _frame: object) -> None:
            self.reload()

        handlers: dict[signal.Signals, Callable[[int, object], None]] = {
            signal.SIGTERM: on_stop,
            signal.SIGINT: on_stop,
            signal.SIGHUP: on_reload,
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)
        try:
            yield self
        finally:
            for number in numbers:
                signal.signal(number, before[number])
