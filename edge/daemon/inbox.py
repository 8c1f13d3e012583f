"""What clients and the button ask of the loop, and the captures that are still waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from edge.errors import ControlError

#: Longest wait of a client for its answer; the client's own limit is 30 s.
ANSWER_TIMEOUT_S = 25.0

Answer = Future[dict[str, Any]]


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
