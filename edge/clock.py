"""Whether the wall clock can be believed, on a machine that may have no battery behind it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime

#: Both clocks run on one quartz and differ by slewing only (at most 0.5 ms a second); a hand sets it by more.
JUMP_S = 2.0
#: Nothing was counted before this program was written: a Pi without a clock wakes up at its last shutdown, at
#: its image's date, or in 1970.
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
#: adjtimex(2): the clock is not synchronised.
_STA_UNSYNC = 0x0040


class _Timex(ctypes.Structure):
    """The beginning of the kernel's ``struct timex``, up to the status, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def synchronised() -> bool:
    """Ask the kernel whether somebody (NTP, GPS) keeps the clock right [1]_.

    References
    ----------
    .. [1] adjtimex(2): ``STA_UNSYNC`` is set until a time daemon has synchronised the clock.
    """
    state = _Timex()
    answer: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    return answer >= 0 and not state.status & _STA_UNSYNC


class WallClock:
    """The wall clock, with a watch on its jumps.

    It is trusted while the kernel says that it is synchronised; else only while it is later than this program
    and than everything that the log holds, and has not jumped since the start.

    Parameters
    ----------
    wall : aware UTC time
    monotonic : seconds
    is_synchronised : the kernel's word
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        is_synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._is_synchronised = is_synchronised
        self._started = wall()
        self._started_s = monotonic()
        self._jumped = False

    def jump_s(self) -> float:
        """How far the wall clock has moved against the monotonic one since the start, in seconds."""
        return (self._wall() - self._started).total_seconds() - (self._monotonic() - self._started_s)

    def is_trusted(self, newest: datetime | None) -> bool:
        """Say whether the time that is written down now can be believed.

        Parameters
        ----------
        newest : latest time that the log holds, or None for an empty log
        """
        if self._is_synchronised():
            # Being set right by a time daemon is no jump to be held against the clock.
            self._started, self._started_s, self._jumped = self._wall(), self._monotonic(), False
            return True
        self._jumped = self._jumped or abs(self.jump_s()) > JUMP_S
        now = self._wall()
        return not self._jumped and now > _WRITTEN and (newest is None or now >= newest)
