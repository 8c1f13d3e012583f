"""The loop of ``blastcount run``: a frame every interval, through the pipeline, into the log."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import sdnotify

from edge.bloodlog import BloodLog
from edge.camera.source import FrameSource
from edge.errors import CameraError
from edge.pipeline import ProcessedField
from edge.structures import FieldResult, Frame

_log = logging.getLogger(__name__)

#: A camera that failed is opened again after 0.5, 1, 2, 4 and then every 5 seconds: soon enough to be back
#: within 10 s of its return, seldom enough not to fill the journal.
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
#: Failures in a row after which the daemon gives up, about 30 s after the first one. A new process, started
#: by systemd, also gets rid of whatever state a driver's library was left in.
MAX_FAILURES = 10


class StopRequest:
    """Told by SIGTERM or SIGINT that it is time to stop; can be waited for.

    A signal handler may run between any two steps of the main thread, also inside the locks of
    :class:`threading.Event`. Writing to a pipe is safe there.
    """

    def __init__(self) -> None:
        """Open the pipe."""
        self._reader, self._writer = os.pipe()
        self._is_set = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pipe."""
        os.close(self._reader)
        os.close(self._writer)

    def set(self) -> None:
        """Ask to stop. Asking twice does nothing more."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"\0")

    def is_set(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Sleep, at most until somebody asks to stop.

        Returns
        -------
        whether somebody has
        """
        select.select([self._reader], [], [], max(0.0, timeout_s))
        return self._is_set

    @contextmanager
    def on_signals(self) -> Iterator[Self]:
        """Stop on the first SIGTERM or SIGINT. A second one ends the process at once."""
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.getsignal(number) for number in signals}

        def ask(number: int, _frame: object) -> None:
            self.set()
            signal.signal(number, before[signal.Signals(number)])

        for number in signals:
            signal.signal(number, ask)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Supervisor:
    """What systemd is told over its notification socket; without one, nothing is sent [1]_.

    Attributes
    ----------
    watchdog_s : seconds after which systemd kills a service that does not report, or None

    References
    ----------
    .. [1] https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """

    def __init__(self) -> None:
        """Connect to the socket that ``NOTIFY_SOCKET`` names."""
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None
        # systemd also says whom it watches; a variable inherited from another service is not ours.
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = os.environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog_us) / 1e6 if ours and watchdog_us.isdecimal() else None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say that the service is stopping, and close the socket."""
        self.tell("STOPPING=1")
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1`` in one message."""
        if self._notifier is not None:
            self._notifier.notify("\n".join(assignments))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every row of the log says about its making; see :meth:`edge.bloodlog.BloodLog.append`."""

    config_sha256: str
    software_version: str
    runtime: str
    source_kind: str


class FieldCounter(Protocol):
    """What the daemon needs of :class:`edge.pipeline.Pipeline`."""

    def process(self, frame: Frame) -> ProcessedField:
        """Count one field."""
        ...


class Daemon:
    """Counts a field every interval until it is stopped.

    Parameters
    ----------
    source : where frames come from; opened and closed here
    counter : the pipeline
    log : where results go
    provenance : what the rows say about their making
    interval_s : time from one field to the next. A field that takes longer skips the moments it missed
    timeout_s : longest wait for a frame
    stop : asked between any two steps
    supervisor : told about readiness, status and that the loop is alive
    clock : monotonic seconds

    Attributes
    ----------
    logged, rejected : fields written to the log, and how many of them the quality gate had rejected
    camera_failures : camera errors since the start
    """

    def __init__(
        self,
        source: FrameSource,
        counter: FieldCounter,
        log: BloodLog,
        provenance: Provenance,
        *,
        interval_s: float,
        timeout_s: float,
        stop: StopRequest,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._counter = counter
        self._log = log
        self._provenance = provenance
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._stop = stop
        self._supervisor = supervisor
        self._clock = clock
        self._failures_in_a_row = 0
        self.logged = 0
        self.rejected = 0
        self.camera_failures = 0

    def run(self, fields: int | None = None) -> None:
        """Count until stopped, until the source ends, or until so many fields are logged.

        Parameters
        ----------
        fields : number of fields to log, or None for no limit

        Raises
        ------
        CameraError
            The camera could not be opened at the start, or failed ``MAX_FAILURES`` times in a row.
        SourceError
            The files to be replayed are missing or unusable.
        LogError
            A field could not be logged.
        """
        with ExitStack() as connection:
            connection.enter_context(self._source)
            _log.info("counting from %s, a field every %g s", self._source.name, self._interval_s)
            self._supervisor.tell("READY=1", f"STATUS=counting from {self._source.name}")
            self._loop(connection, fields)
        _log.info(
            "stopped: %d fields logged, %d of them rejected; %d camera failures",
            self.logged,
            self.rejected,
            self.camera_failures,
        )

    def _loop(self, connection: ExitStack, fields: int | None) -> None:
        due_s = self._clock()
        while fields is None or self.logged < fields:
            if self._sleep_until(due_s):
                return
            try:
                if self._failures_in_a_row:
                    connection.enter_context(self._source)
                frame = self._source.read(self._timeout_s)
            except CameraError as error:
                # Leaving the source closes it, so that the next try opens it afresh.
                connection.close()
                due_s = self._clock() + self._retry_after(error)
                continue
            if frame is None:
                _log.info("%s has come to its end", self._source.name)
                return
            if self._failures_in_a_row:
                _log.info("%s gives frames again", self._source.name)
                self._failures_in_a_row = 0
            self._count(frame)
            due_s = self._next_due(due_s)

    def _count(self, frame: Frame) -> None:
        result = self._counter.process(frame).result
        provenance = self._provenance
        row = self._log.append(
            result,
            config_sha256=provenance.config_sha256,
            software_version=provenance.software_version,
            runtime=provenance.runtime,
            source_kind=provenance.source_kind,
        )
        self.logged += 1
        self.rejected += result.status == "rejected"
        _log.debug("field %d: %s", row, _describe(result))
        self._supervisor.tell(
            f"STATUS=counting from {self._source.name}: {self.logged} fields logged, "
            f"{self.rejected} of them rejected; {self.camera_failures} camera failures"
        )

    def _retry_after(self, error: CameraError) -> float:
        """Record a failure; return the seconds to wait, or raise where it was one too many."""
        self.camera_failures += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES:
            raise CameraError(f"{error} (gave up after {MAX_FAILURES} failures in a row)") from error
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (self._failures_in_a_row - 1))
        _log.warning("camera failure %d, next try in %g s: %s", self._failures_in_a_row, wait_s, error)
        self._supervisor.tell(f"STATUS=no frames, camera failure {self._failures_in_a_row} in a row: {error}")
        return wait_s

    def _next_due(self, due_s: float) -> float:
        """Return the next moment on the grid of intervals: no drift, and no burst after a long field."""
        missed = math.floor((self._clock() - due_s) / self._interval_s)
        return due_s + (max(0, missed) + 1) * self._interval_s

    def _sleep_until(self, due_s: float) -> bool:
        """Sleep, feeding the watchdog; return whether it is time to stop."""
        while True:
            self._supervisor.tell("WATCHDOG=1")
            left_s = due_s - self._clock()
            if self._stop.is_set() or left_s <= 0:
                return self._stop.is_set()
            # sd_watchdog_enabled(3) recommends half the time that systemd allows.
            self._stop.wait(min(left_s, (self._supervisor.watchdog_s or math.inf) / 2, 3600.0))


def _describe(result: FieldResult) -> str:
    if result.status == "rejected":
        return f"{result.source} rejected: {', '.join(result.reasons)}"
    return f"{result.source} {result.wbc} white cells in {sum(result.stage_ms.values()):.0f} ms"
