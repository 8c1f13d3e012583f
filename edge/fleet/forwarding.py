"""Sends the log's links to a broker, in order, and remembers how far: what ``blastcount forward`` does.

Nothing is subscribed to, so that nothing that arrives can change the device.

What a broker has taken it may lose again when its machine fails before it has saved. So the cursor on the
disk moves to a link only when the broker, on the same connection, took something `broker_saves_s` later: it
was running all that time, and has saved. After a lost connection everything behind that cursor is sent again,
and the collector drops what it has by its number.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.bloodlog.chain import Head
from edge.config import ForwardConfig
from edge.device.printable import printable
from edge.errors import LogBlockedError, NoLogError
from edge.fleet.broker import NO_SUBSCRIBERS, BrokerError, Closed, Connection, Session, Taken, retry_wait_s
from edge.fleet.messages import encoded, topic
from edge.fleet.outbox import Cursor, Outbox, Outgoing, State

_log = logging.getLogger(__name__)

#: Waits after a lost or refused connection, s.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
#: At rest the log is looked at this often, s: a field takes longer than that.
POLL_S = 2.0
#: Links that are read from the log at once.
_BATCH = 200
#: Longest wait for the broker to take anything while more is ready, s: silence is the keep-alive's affair.
_STALLED_S = 1.0
#: Times that are remembered within `broker_saves_s`, so that memory does not grow with what is sent.
_MARKS = 50
#: The cursor is forced to the disk at most this often, s; each time costs an SD card a write.
_WRITE_S = 2.0
#: First code of MQTT 5 that says no.
_FAILURE = 0x80

#: Makes the status message, of the end of the log and what is on its way.
MakeStatus = Callable[[Head, Cursor], dict[str, Any]]


@dataclass
class Progress:
    """What the broker has taken on one connection, and what of it is safe.

    Attributes
    ----------
    safe : the last link that the broker must have saved since it took it
    taken : the last link up to which everything was taken
    """

    safe: Cursor
    taken: Cursor
    _saves_s: float
    #: When a mark was begun, when its last link was taken, and that link. All of a mark is safe at once.
    _marks: deque[tuple[float, float, Cursor]] = field(default_factory=deque)

    def take(self, cursor: Cursor, now_s: float) -> None:
        """Note that everything up to a link was taken."""
        self.taken, begun_s = cursor, now_s
        if self._marks and now_s - self._marks[-1][0] < self._saves_s / _MARKS:
            begun_s, _, _ = self._marks.pop()
        self._marks.append((begun_s, now_s, cursor))

    def hear(self, now_s: float) -> None:
        """Note that the broker has answered, so that it was running."""
        while self._marks and self._marks[0][1] <= now_s - self._saves_s:
            self.safe = self._marks.popleft()[2]


@dataclass
class _Underway:
    outgoing: Outgoing
    is_taken: bool = False


class Forwarder:
    """Sends one log to one broker.

    Parameters
    ----------
    config : the section ``[forward]``, with broker and device
    outbox : the log
    state : where the cursor is kept
    make_status : makes the status message
    announcements : retained messages of each connection: topic and payload
    clock : monotonic seconds
    """

    def __init__(
        self,
        config: ForwardConfig,
        outbox: Outbox,
        state: State,
        make_status: MakeStatus,
        announcements: tuple[tuple[str, bytes], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert config.device is not None  # the command has asked for it
        self._config = config
        self._device = config.device
        self._outbox = outbox
        self._state = state
        self._make_status = make_status
        self._announcements = announcements
        self._clock = clock
        self._stopping = threading.Event()
        self._is_heard = False  # whether the broker has taken anything on this connection
        self._events: queue.SimpleQueue[Any] | None = None

    @property
    def session(self) -> Session:
        """How the broker knows this device."""
        device = self._device
        will = (topic(device, "online"), b"offline")
        return Session(f"blastcount-{device}", device, will, window=self._config.window)

    def stop(self) -> None:
        """End soon; called from a signal."""
        self._stopping.set()
        if self._events is not None:
            self._events.put(Closed("stopped"))

    def run(self, connect: Callable[[], Any], *, once: bool = False) -> None:
        """Send until told to stop, over as many connections as it takes; wait for a log that is not there.

        Parameters
        ----------
        connect : makes a connection, to be entered
        once : end when the broker has taken all that is in the log now; no broker or no log is an error then

        Raises
        ------
        LogError
            The log cannot be read, or is not the one that was sent before; with ``once``: there is none.
        BrokerError
            With ``once``: it cannot be sent.
        """
        failures = 0
        while not self._stopping.is_set():
            self._is_heard = False
            try:
                self._outbox.head()  # before anything is said in the device's name
                with connect() as connection:
                    _log.info("connected to %s as %s", self._config.broker, self._device)
                    self.send(connection, once=once)
                if once:
                    return
            except (BrokerError, LogBlockedError, NoLogError) as error:
                if self._stopping.is_set():
                    return
                if once:
                    raise
                failures = 0 if self._is_heard else failures
                wait_s = retry_wait_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S)
                failures += 1
                _log.warning("%s; next try in %.0f s", printable(error), wait_s)
                self._stopping.wait(wait_s)

    def send(self, connection: Connection, *, once: bool = False) -> None:
        """Send over one connection until it is lost or this is stopped.

        Raises
        ------
        BrokerError
            The connection was lost, or the broker does not take what it gets.
        """
        self._events = connection.events
        start = self._state.read()
        sending = _Sending(connection, Progress(start, start, self._config.broker_saves_s))
        for where, payload in ((topic(self._device, "online"), b"online"), *self._announcements):
            connection.publish(where, payload, retain=True)
        ready: deque[Outgoing] = deque()
        read, look_s, status_s, written_s, written = start, 0.0, 0.0, self._clock(), start
        try:
            while not self._stopping.is_set():
                now_s = self._clock()
                if not ready and now_s >= look_s:
                    ready.extend(self._outbox.after(read, _BATCH))
                    read = ready[-1].after if ready else read
                    look_s = now_s if ready else now_s + POLL_S
                while ready and sending.has_room:
                    outgoing = ready.popleft()
                    sending.publish(topic(self._device, outgoing.what), outgoing)
                if now_s >= status_s:
                    status = self._make_status(self._outbox.head(), sending.progress.taken)
                    connection.publish(topic(self._device, "status"), encoded(status), retain=True)
                    status_s = now_s + self._config.status_s
                if once and not ready and not sending.waiting:
                    return
                self._hear(sending, POLL_S if not ready else _STALLED_S)
                safe = sending.progress.safe
                if safe != written and self._clock() - written_s >= _WRITE_S:
                    self._state.write(safe)
                    written, written_s = safe, self._clock()
        finally:
            self._events = None
            if sending.progress.safe != written:
                self._state.write(sending.progress.safe)

    def _hear(self, sending: _Sending, wait_s: float) -> None:
        """Wait for the broker's word on anything, and take in all that has come."""
        try:
            event = sending.connection.events.get(timeout=wait_s)
            while True:
                if isinstance(event, Closed):
                    raise BrokerError(f"the connection was lost: {event.why}", "lost")
                if isinstance(event, Taken):
                    self._refuse(event, sending)
                    self._is_heard |= event.code == 0  # somebody keeps what is said
                    sending.take(event.mid, self._clock())
                event = sending.connection.events.get_nowait()
        except queue.Empty:
            pass

    def _refuse(self, event: Taken, sending: _Sending) -> None:
        if event.code >= _FAILURE:
            raise BrokerError(
                f"the broker does not take what {self._device} sends (code {event.code:#x}): it needs the "
                f"right to write {topic(self._device, '#')}; see docs/fleet.md",
                "refused",
            )
        if event.code == NO_SUBSCRIBERS and event.mid in sending.waiting:
            raise BrokerError(
                "the broker has nobody to keep the rows for; start `blastcount collect run` before this",
                "no_collector",
            )


class _Sending:
    """What is on its way over one connection, in the order of the links."""

    def __init__(self, connection: Connection, progress: Progress) -> None:
        self.connection = connection
        self.progress = progress
        self.waiting: dict[int, _Underway] = {}
        self._order: deque[_Underway] = deque()

    @property
    def has_room(self) -> bool:
        """Whether one more may be on its way."""
        return len(self.waiting) < self.connection.window

    def publish(self, where: str, outgoing: Outgoing) -> None:
        """Send one message."""
        underway = _Underway(outgoing)
        self.waiting[self.connection.publish(where, outgoing.payload)] = underway
        self._order.append(underway)

    def take(self, mid: int, now_s: float) -> None:
        """Note that the broker has taken a message, whichever."""
        if (underway := self.waiting.pop(mid, None)) is not None:
            underway.is_taken = True
            while self._order and self._order[0].is_taken:
                self.progress.take(self._order.popleft().outgoing.after, now_s)
        self.progress.hear(now_s)
