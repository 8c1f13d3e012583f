"""What the loop sleeps on, through one pipe: signals, frames, and what clients and the button ask."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Self

from edge.errors import ControlError

_log = logging.getLogger(__name__)

#: More nudges than anybody can send between two looks; they are all taken at once.
_DRAIN_BYTES = 4096
#: From a signal to stop to the end of the process, whatever holds it up; systemd and people wait for 5 s.
STOP_DEADLINE_S = 4.0
#: Longest wait of a client for its answer; the client's own limit is 30 s.
ANSWER_TIMEOUT_S = 25.0
Answer = Future[dict[str, Any]]


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

    def __exit__(self, *_raised: object) -> None:
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
            with _ending_in_time():
                yield self
        finally:
            for number in numbers:
                signal.signal(number, before[number])


@contextmanager
def _ending_in_time() -> Iterator[None]:
    """End the process where the block is not left within ``STOP_DEADLINE_S`` of a signal to stop.

    The main thread may be inside a call that no signal ends, to a disk that takes seconds for example;
    Python's own handlers wait for it. The kernel's notice reaches another thread through a pipe [1]_. Nothing
    that was acknowledged is lost: a row is on the disk before anybody is told of it.

    References
    ----------
    .. [1] https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while numbers := os.read(reader, _DRAIN_BYTES):
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                if not select.select([reader], [], [], STOP_DEADLINE_S)[0]:
                    _log.warning("ended without waiting for what holds it up; the log is whole")
                    os._exit(0)
                return

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writer, b"\0")
        os.close(writer)
        watcher.join()
        os.close(reader)


@dataclass(slots=True)
class Wanted:
    """A capture that somebody asked for.

    Attributes
    ----------
    answer : where its result goes; nobody may be looking
    request : number of the frame's request, 0 before it was made
    """

    answer: Answer
    request: int = 0


class Inbox:
    """Hands commands from threads to the loop.

    Parameters
    ----------
    nudge : wakes the loop
    """

    def __init__(self, nudge: Callable[[], None]) -> None:
        self._nudge = nudge
        self._commands: SimpleQueue[tuple[str, Answer]] = SimpleQueue()
        self.wanted: list[Wanted] = []

    def ask(self, command: str) -> dict[str, Any]:
        """Have a command done; called in a client's thread.

        Raises
        ------
        ControlError
            It cannot be done, or not in time.
        """
        answer: Answer = Future()
        self._commands.put((command, answer))
        self._nudge()
        try:
            return answer.result(ANSWER_TIMEOUT_S)
        except FutureTimeoutError as error:
            raise ControlError(f"{command}: not done within {ANSWER_TIMEOUT_S:g} s", "hung") from error

    def press(self) -> None:
        """Ask for a capture without waiting, in whatever thread a button is noticed."""
        self._commands.put(("capture", Future()))
        self._nudge()

    def take(self) -> Iterator[tuple[str, Answer]]:
        """Go through what was asked since; called by the loop."""
        while True:
            try:
                yield self._commands.get_nowait()
            except Empty:
                return

    def want(self, answer: Answer) -> None:
        """Keep a capture until its frame has come."""
        self.wanted.append(Wanted(answer))

    def due(self, request: int) -> list[Wanted]:
        """Take out the captures that the frame of this request answers."""
        due = [wanted for wanted in self.wanted if 0 < wanted.request <= request]
        self.wanted = [wanted for wanted in self.wanted if wanted not in due]
        return due

    def refuse(self, error: ControlError) -> None:
        """Let nobody wait for a capture any longer."""
        for wanted in self.wanted:
            wanted.answer.set_exception(error)
        self.wanted = []

    def refuse_all(self, error: ControlError) -> None:
        """Let nobody wait for anything."""
        self.refuse(error)
        for _, answer in self.take():
            answer.set_exception(error)
