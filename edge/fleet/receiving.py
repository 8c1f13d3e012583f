"""Hears the broker, and tells it that messages are kept once they are on the disk."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from edge.config import CollectConfig
from edge.device.printable import printable
from edge.fleet.broker import BrokerError, Closed, Connection, Received, Session, retry_wait_s
from edge.fleet.collecting import Collector
from edge.fleet.database import DatabaseError
from edge.fleet.messages import ROOT

_log = logging.getLogger(__name__)

#: All that devices say.
TOPICS = (f"{ROOT}/#",)
#: Messages in one transaction at most, and so on their way from the broker at once.
BATCH = 500
#: A batch is written when it is full, or when nothing more has come for this time, s.
_PAUSE_S = 0.02
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
#: How often what is to be done from time to time is done, s.
ROUTINE_S = 10.0


class Receiver:
    """Collects from one broker.

    Parameters
    ----------
    config : the section ``[collect]``, with a broker
    open_collector : opens the database anew, for each connection
    routine : called every ``ROUTINE_S``, and at the start
    """

    def __init__(
        self,
        config: CollectConfig,
        open_collector: Callable[[], Any],
        routine: Callable[[Any], None] = lambda _database: None,
    ) -> None:
        self._config = config
        self._open = open_collector
        self._routine = routine
        self._stopping = threading.Event()
        self._events: queue.SimpleQueue[Any] | None = None

    @property
    def session(self) -> Session:
        """How the broker knows the collector: it keeps what comes while the collector is away."""
        return Session(f"blastcount-{self._config.user}", self._config.user, keep=True, window=BATCH)

    def stop(self) -> None:
        """End soon; called from a signal."""
        self._stopping.set()
        if self._events is not None:
            self._events.put(Closed("stopped"))

    def run(self, connect: Callable[[], Any]) -> None:
        """Collect until told to stop, over as many connections as it takes."""
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._open() as database, connect() as connection:
                    _log.info("connected to %s", self._config.broker)
                    failures = 0
                    self.collect(connection, database)
            except (BrokerError, DatabaseError) as error:
                if self._stopping.is_set():
                    return
                wait_s = retry_wait_s(failures, _FIRST_WAIT_S, _LONGEST_WAIT_S)
                failures += 1
                _log.warning("%s; next try in %.0f s", printable(error), wait_s)
                self._stopping.wait(wait_s)

    def collect(self, connection: Connection, database: Any) -> None:  # noqa: ANN401  # a test's double, too
        """Collect over one connection until it is lost or this is stopped.

        Raises
        ------
        BrokerError
            The connection was lost.
        DatabaseError
            The database was; the broker still has what was not written.
        """
        self._events = connection.events
        collector, due_s = Collector(database), 0.0
        try:
            while not self._stopping.is_set():
                if time.monotonic() >= due_s:
                    self._routine(database)
                    due_s = time.monotonic() + ROUTINE_S
                batch, closed = self._batch(connection)
                if batch:
                    collector.take(batch)
                    for message in batch:
                        connection.acknowledge(message)
                if closed is not None:
                    raise BrokerError(f"the connection was lost: {closed.why}", "lost")
        finally:
            self._events = None

    @staticmethod
    def _batch(connection: Connection) -> tuple[list[Received], Closed | None]:
        batch: list[Received] = []
        wait_s = ROUTINE_S
        while len(batch) < BATCH:
            try:
                event = connection.events.get(timeout=wait_s)
            except queue.Empty:
                break
            if isinstance(event, Closed):
                return batch, event
            if isinstance(event, Received):
                batch.append(event)
                wait_s = _PAUSE_S
        return batch, None
