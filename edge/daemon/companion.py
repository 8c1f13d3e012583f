"""The review page as a process of its own beside the daemon, started, watched and stopped with it."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from edge.daemon.reconnect import Reconnect

_log = logging.getLogger(__name__)

#: Exit codes that a new start cannot mend: usage, configuration, gate; as in the unit.
_FINAL = (2, 3, 4)
#: A page ends its open connections within this time.
_STOP_S = 2.0


class Companion:
    """A child process that is started again when it ends. It never takes the daemon down with it.

    Parameters
    ----------
    command : program and arguments
    clock : monotonic seconds
    """

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._command = list(command)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._reconnect = Reconnect()
        self._due_s: float | None = None
        self.starts = 0

    def __enter__(self) -> Self:
        """Start it."""
        self._start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, by force where it does not go."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def tend(self) -> None:
        """Look whether it still runs, and start it again where it does not; call it every few seconds."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code in _FINAL:
                _log.error("the review page ended with code %d and is not started again; see above", code)
                self._due_s = None
                return
            wait_s = self._reconnect.failed(f"code {code}", self._clock())
            _log.warning("the review page ended with code %d; it is started again in %g s", code, wait_s)
            self._due_s = self._clock() + wait_s
        if self._due_s is not None and self._clock() >= self._due_s:
            self._start()

    def _start(self) -> None:
        self._due_s = None
        self.starts += 1
        try:
            # Messages go where the daemon's go. A session of its own: Ctrl-C is for the daemon alone.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            _log.error("the review page cannot be started: %s", error)
