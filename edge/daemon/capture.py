"""The camera in a thread of its own, so that one that hangs never stops the loop.

The thread reads a frame when it is asked to, and puts it where the newest frame lies: one place, in which a
newer frame replaces an older one. It drops frames that a camera should not have given, and opens the camera
again where they go on and after failures. A call into a driver that does not come back by its deadline is
left alone with its thread, and another thread tries anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.camera.failure import driver_failure
from edge.camera.source import FrameSource
from edge.errors import CameraError, DamagedFrameError, EdgeError, ImageError, RuntimeMissingError
from edge.quality import ADVICE, FrameWatch
from edge.structures import Frame

_log = logging.getLogger(__name__)

#: Longest time that opening may take: a Pi camera's own deadlines are 10 s to start, 3 s to its first frame
#: and 10 s to settle; a USB camera's 5 s, 5 s, 10 s and 10 s to be locked.
OPEN_DEADLINE_S = 30.0
#: Sources keep to the time that they are given for a frame; this much longer, and the source itself hangs.
READ_GRACE_S = 2.0
#: What is decoded or rendered takes the processor's time, a Pi some seconds for a large field; only a network
#: share that has gone takes this long.
FILE_DEADLINE_S = 120.0
#: Closing waits for the frame in flight, 2 s at most in the sources.
CLOSE_DEADLINE_S = 5.0
Doing = Literal["starting", "opening", "waiting", "reading", "closing", "backing off", "ended"]
#: A camera that failed is opened again after 0.5, 1, 2 and then every 3 seconds. An attempt takes up to 5 s
#: (a USB camera that hangs while it opens), and its exposure takes 2 s and more to rest: a camera is
#: back within 10 s of its return.
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 3.0
#: So many failures within so many seconds end the process. A new one, started by systemd, also gets rid of
#: whatever state a driver's library was left in, and of threads that hang in it. A camera that fails at once
#: reaches the number after 56 s; one that hangs in every attempt, which takes 8 s, after 160 s.
MAX_FAILURES = 20
FAILURE_WINDOW_S = 300.0
#: Failures that may have passed a moment later, wherever they come from: what a driver or a library raises.
PASSING = frozenset({"failed", "no_memory"})
#: A camera that is not there is waited for, however long: nothing was opened that could be in a bad state.
ABSENT = "missing"
#: Faulty frames in a row after which the camera is opened anew. One torn frame is a lost USB packet.
MAX_FAULTY = 3


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame with when it came and what it was read for.

    Attributes
    ----------
    frame : the frame
    taken_at_s : monotonic seconds when it came
    request : number of the newest request that it answers
    """

    frame: Frame
    taken_at_s: float
    request: int


class Capture:
    """Frames of one source, on request, from a thread that survives the source's failures.

    Parameters
    ----------
    make_source : makes the source, which is not opened yet; called again where one was left hanging
    timeout_s : longest wait for a frame
    live : the source is a camera, whose frames are checked for being torn or frozen
    must_open : a first attempt that fails ends the run; otherwise it is a failure like any other
    forgiven : reasons for which even then it does not
    nudge : called, in whatever thread, when there is something to look at
    clock : monotonic seconds

    Attributes
    ----------
    reconnect : failures, counted
    last_failure : the last one, or None
    is_connected : the source is open
    has_ended : the source has no more frames
    restarts : how often the source was opened again
    refused_frames : frames that were torn or frozen, by reason
    """

    def __init__(
        self,
        make_source: Callable[[], FrameSource],
        *,
        timeout_s: float,
        live: bool,
        must_open: bool = True,
        forgiven: frozenset[str] = frozenset(),
        nudge: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_source = make_source
        self.timeout_s = timeout_s
        self.live = live
        self.must_open = must_open
        self._forgiven = forgiven
        self._nudge = nudge
        self.clock = clock
        self.reconnect = Reconnect()
        self.last_failure: CameraError | None = None
        self.is_connected = self.has_ended = False
        self.restarts = -1
        self.refused_frames: Counter[str] = Counter()
        #: One for all openings: a camera that repeats its last picture does so after it was opened anew, too.
        self.inspector = Inspector() if live else None
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._newest: Captured | None = None
        self._newest_at_s: float | None = None
        self._broken: BaseException | None = None
        self._reader = self._start_reader()

    @property
    def name(self) -> str:
        """What a person calls the source."""
        return self._reader.source.name

    def request(self) -> int:
        """Ask for a frame that is taken from now on; return the request's number."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def take(self) -> Captured | None:
        """Take the newest frame away; None where there is none that was not yet taken."""
        with self._changed:
            newest, self._newest = self._newest, None
            return newest

    @property
    def is_asked(self) -> bool:
        """Whether a request has not been answered yet."""
        with self._changed:
            return self._answered < self._asked

    def age_s(self) -> float | None:
        """Seconds since the newest frame came, taken or not; None where none has come."""
        with self._changed:
            return None if self._newest_at_s is None else self.clock() - self._newest_at_s

    def check(self) -> None:
        """Look after the thread; call it often.

        Raises
        ------
        CameraError
            The camera could not be opened at the start, or has failed too often.
        SourceError, RuntimeMissingError
            What the source raises that no new attempt can mend.
        """
        now_s = self.clock()
        with self._changed:
            doing, since_s = self._reader.state
            deadline_s = self._deadline_s(doing)
            if deadline_s is not None and now_s - since_s > deadline_s:
                self._reader.left = True
                self._note(
                    CameraError(
                        f"{self.name}: no answer for {now_s - since_s:.0f} s while {doing}; "
                        "the camera hangs, check its cable",
                        "hung",
                    )
                )
                if self._broken is None:
                    self._reader = self._start_reader()
            if self._broken is not None:
                raise self._broken

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread; one that hangs is left behind, and ends with the process at the latest."""
        with self._changed:
            self._reader.left = True
            self._changed.notify_all()
        self._reader.join(timeout_s)
        if self._reader.is_alive():
            _log.warning("%s: still %s; left behind", self.name, self._reader.state[0])

    def _deadline_s(self, doing: Doing) -> float | None:
        if doing == "reading":
            return self.timeout_s + READ_GRACE_S if self.live else FILE_DEADLINE_S
        return {"opening": OPEN_DEADLINE_S, "closing": CLOSE_DEADLINE_S}.get(doing)

    def _start_reader(self) -> _Reader:
        reader = _Reader(self, self._make_source())
        reader.start()
        return reader

    # What follows is called by the readers, or with the lock held.

    def opened(self, reader: _Reader) -> bool:
        """Note that a reader has opened its source; False where nobody waits for it any more."""
        with self._changed:
            if not reader.left:
                self.is_connected = True
                self.restarts += 1
            self._nudge()
            return not reader.left

    def wait_for_request(self, reader: _Reader) -> int:
        """Sleep until a frame is wanted; return the newest request's number, 0 where the reader shall end."""
        with self._changed:
            self._changed.wait_for(lambda: reader.left or self._answered < self._asked)
            return 0 if reader.left else self._asked

    def back_off(self, reader: _Reader, wait_s: float) -> None:
        """Sleep before the next attempt."""
        with self._changed:
            self._changed.wait_for(lambda: reader.left, wait_s)

    def put(self, reader: _Reader, frame: Frame | None, request: int) -> None:
        """Take over a frame, or the source's end."""
        with self._changed:
            if reader.left:
                return
            if frame is None:
                self.has_ended = True
            else:
                self._newest_at_s = self.clock()
                self._newest = Captured(frame, self._newest_at_s, request)
                self._answered = request
                if self.reconnect.worked():
                    _log.info("%s gives frames again", self.name)
        self._nudge()

    def refused(self, reader: _Reader, fault: str) -> None:
        """Note a frame that was not to be used."""
        with self._changed:
            if not reader.left:
                self.refused_frames[fault] += 1
        _log.debug("%s: a %s frame was dropped", self.name, fault)

    def failed(self, reader: _Reader, error: CameraError) -> float:
        """Take over a failure; return the seconds to wait."""
        with self._changed:
            wait_s = 0.0 if reader.left else self._note(error)
            reader.left |= self._broken is not None  # the run ends; no further attempt
        self._nudge()
        return wait_s

    def broke(self, reader: _Reader, error: BaseException) -> None:
        """Take over an error that ends the run."""
        with self._changed:
            if not reader.left:
                self._broken = error
        self._nudge()

    def _note(self, error: CameraError) -> float:
        now_s = self.clock()
        self.is_connected = False
        self.last_failure = error
        wait_s = self.reconnect.failed(error.reason, now_s)
        if self.must_open and self.restarts < 0 and error.reason not in self._forgiven:
            self._broken = error
        elif self.reconnect.is_hopeless(now_s):
            self._broken = CameraError(
                f"{error} (gave up after {MAX_FAILURES} failures within {FAILURE_WINDOW_S:g} s)", error.reason
            )
        else:
            # An absent camera may be waited for over months: the 1st, 2nd, 4th, 8th … attempt is told.
            in_a_row = self.reconnect.in_a_row
            told = error.reason != ABSENT or in_a_row & (in_a_row - 1) == 0
            _log.log(
                logging.WARNING if told else logging.DEBUG,
                "camera failure %d in a row (%s), next try in %g s: %s",
                in_a_row, error.reason, wait_s, error,
            )  # fmt: skip
        return wait_s


class _Reader(threading.Thread):
    """One thread that opens the source, reads when asked, and opens it again after failures."""

    def __init__(self, owner: Capture, source: FrameSource) -> None:
        # A daemon thread: one that hangs in a driver for ever must not keep the process from ending.
        super().__init__(name="capture", daemon=True)
        self._owner = owner
        self.source = source
        self.left = False  # written and read with the owner's lock held, or where a late answer does no harm
        #: What it does and since when, in one assignment, so that both belong together.
        self.state: tuple[Doing, float] = ("starting", owner.clock())

    def run(self) -> None:
        """Read until told to leave, the source ends, or an error comes that a new attempt cannot mend."""
        try:
            while not self.left:
                try:
                    if self._read_until_the_end():
                        break
                except Exception as error:  # noqa: BLE001  # a driver or codec may raise whatever it likes
                    wait_s = self._owner.failed(self, self._failure(error))
                    self._do("backing off")
                    self._owner.back_off(self, wait_s)
        except BaseException as error:  # noqa: BLE001  # handed on to the loop, whatever it is
            self._owner.broke(self, error)
        self._do("ended")

    def _failure(self, error: Exception) -> CameraError:
        return _failure(self.source, error, must_open=self._owner.must_open)

    def _do(self, doing: Doing) -> None:
        self.state = (doing, self._owner.clock())

    def _read_until_the_end(self) -> bool:
        """Read as long as the source works; return whether there is nothing more to do."""
        self._do("opening")
        with self.source as source:
            try:
                if self._owner.opened(self):
                    self._serve(source)
            finally:
                self._do("closing")
        return True

    def _serve(self, source: FrameSource) -> None:
        """Answer requests until told to leave or the source ends."""
        inspector = self._owner.inspector
        self._do("waiting")
        while request := self._owner.wait_for_request(self):
            self._do("reading")
            try:
                frame = source.read(self._owner.timeout_s)
                fault = None if frame is None or inspector is None else inspector.fault(frame)
            except DamagedFrameError as error:
                fault = error.reason if inspector is None else inspector.damaged(error)
            self._do("waiting")
            if fault is not None:
                self._owner.refused(self, fault)
                continue  # the request is still open: the next frame answers it
            self._owner.put(self, frame, request)
            if frame is None:
                return


def _failure(source: FrameSource, error: Exception, *, must_open: bool) -> CameraError:
    """Make whatever a driver or a codec raises the camera's failure, but what no new attempt can mend."""
    if isinstance(error, CameraError):
        return error
    if isinstance(error, RuntimeMissingError) and not must_open:
        return CameraError(str(error), ABSENT)  # its packages may be installed while the camera is waited for
    if isinstance(error, EdgeError) and not isinstance(error, ImageError):
        raise error
    return driver_failure(source.name, error)


class Reconnect:
    """Counts failures of a camera, by reason, and says what to do about each.

    Attributes
    ----------
    by_reason : failures since the start, by their reasons' names
    in_a_row : failures since the last usable frame
    """

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.in_a_row = 0
        self._recent_s: deque[float] = deque(maxlen=MAX_FAILURES)

    @property
    def total(self) -> int:
        """Failures since the start."""
        return self.by_reason.total()

    def failed(self, reason: str, now_s: float) -> float:
        """Note a failure.

        Parameters
        ----------
        reason : its name
        now_s : monotonic seconds

        Returns
        -------
        seconds to wait before the next attempt

        Examples
        --------
        >>> reconnect = Reconnect()
        >>> [reconnect.failed("unplugged", now_s) for now_s in range(5)]
        [0.5, 1.0, 2.0, 3.0, 3.0]
        """
        self.by_reason[reason] += 1
        if reason != ABSENT:
            self._recent_s.append(now_s)
        self.in_a_row += 1
        # The exponent is bounded, because a camera that is away for a month fails more than 1,024 times.
        return float(min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self.in_a_row - 1, 10)))

    def worked(self) -> bool:
        """Note a usable frame; return whether it ends a row of failures."""
        recovered, self.in_a_row = self.in_a_row > 0, 0
        return recovered

    def is_hopeless(self, now_s: float) -> bool:
        """Whether there were too many failures in too short a time to go on in this process."""
        return len(self._recent_s) == MAX_FAILURES and now_s - self._recent_s[0] <= FAILURE_WINDOW_S


class Inspector:
    """Looks at each frame of a live camera, beside the one before it."""

    def __init__(self) -> None:
        self._watch = FrameWatch()
        self._in_a_row = 0

    def fault(self, frame: Frame) -> str | None:
        """Name what is wrong with a frame; None where nothing is.

        Raises
        ------
        CameraError
            So many frames in a row were faulty that the camera should be opened anew.
        """
        image = frame.image
        reasons = self._watch.reasons(image)
        # A frame of one value throughout is black or burnt out; the quality gate says so of the field.
        if not reasons or image.min() == image.max():
            self._in_a_row = 0
            return None
        (reason, *_) = reasons
        return self.damaged(CameraError(f"{frame.source}: {reason} frames came: {ADVICE[reason]}", reason))

    def damaged(self, error: CameraError) -> str:
        """Count a frame that is of no use; return its fault's name, or raise the error after too many."""
        self._in_a_row += 1
        if self._in_a_row >= MAX_FAULTY:
            self._in_a_row = 0
            raise CameraError(f"{error} ({MAX_FAULTY} in a row)", error.reason)
        return error.reason
