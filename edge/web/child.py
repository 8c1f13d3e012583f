"""The page as a process beside the daemon: what happens to it never touches the count."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Self

_log = logging.getLogger(__name__)

#: A page that ended is started again after 1, 2, 4 and then every 60 seconds.
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
#: One that ran for this long had started well, and is started again soon.
_WELL_S = 60.0
#: Longest wait for the page to end when the daemon does; it is killed then.
_STOP_S = 5.0
#: Exit codes of ``blastcount review`` that no new start mends: wrong usage, unusable configuration.
_HOPELESS = frozenset({2, 3})


class ReviewChild:
    """Keeps ``blastcount review`` running while it is entered.

    The child holds one end of a pipe as its standard input, and stops when the other end closes: when this
    is left, and when this process is killed.

    Parameters
    ----------
    arguments : options of ``blastcount review``
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "edge.cli", "review", "--until-stdin-ends", *arguments]
        self._leaving = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="review page", daemon=True)

    def __enter__(self) -> Self:
        """Start it."""
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        with self._lock:
            self._leaving.set()
            process = self._process
        if process is not None:
            _end(process)
        self._keeper.join(_STOP_S)

    def _keep(self) -> None:
        wait_s = _FIRST_RETRY_S
        while True:
            with self._lock:
                if self._leaving.is_set():
                    return
                # Its messages go where ours go; what it prints for a script goes nowhere. In a session of its
                # own, so that Ctrl-C is for the daemon alone.
                self._process = process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
                )
            began_s = time.monotonic()
            code = process.wait()
            ended_soon = time.monotonic() - began_s < _WELL_S
            _end(process)
            with self._lock:
                self._process = None
            if self._leaving.is_set():
                return
            if code in _HOPELESS:
                _log.error("the review page cannot be served (exit code %d); counting goes on without", code)
                return
            wait_s = min(_LONGEST_RETRY_S, 2.0 * wait_s) if ended_soon else _FIRST_RETRY_S
            _log.warning("the review page ended (exit code %d); next start in %g s", code, wait_s)
            self._leaving.wait(wait_s)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, and kill the process where that does not end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
