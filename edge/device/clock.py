"""Whether the wall clock can be believed, on a machine that may have no battery behind it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

#: A hand or a time server sets the clock by more than this; reading both clocks takes microseconds.
JUMP_S = 2.0
#: Both clocks run on one quartz and differ by slewing only, at most 0.5 ms a second (adjtimex(2)).
_SLEW = 500e-6
#: Nothing was counted before this program was written: a Pi without a clock wakes up at its last shutdown, at
#: its image's date, or in 1970.
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
#: No device will run this program then.
_PLAUSIBLE = datetime(2100, 1, 1, tzinfo=UTC)
#: What is said of a time that cannot be told: nobody takes it for a real one.
_BEYOND = datetime.max.replace(tzinfo=UTC)
#: adjtimex(2): the clock is not synchronised.
_STA_UNSYNC = 0x0040
_TIMESYNC_FILE = Path("/run/systemd/timesync/synchronized")
_HARDWARE_CLOCKS = Path("/sys/class/rtc")


def utc_now() -> datetime:
    """Tell the time, whatever the clock says: past the year 2262 it is more than Python can tell."""
    try:
        return datetime.now(UTC)
    except (OverflowError, ValueError, OSError):
        return _BEYOND


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
    """Ask whether somebody (NTP, GPS) keeps the clock right [1]_.

    The hardened service (``ProtectClock=``) may not ask the kernel; there systemd-timesyncd answers, which
    touches a file at each synchronisation, in a folder that is empty after a boot [2]_.

    References
    ----------
    .. [1] adjtimex(2): ``STA_UNSYNC`` is set until a time daemon has synchronised the clock.
    .. [2] systemd-timesyncd.service(8).
    """
    if _TIMESYNC_FILE.exists():
        return True
    state = _Timex()
    answer: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    return answer >= 0 and not state.status & _STA_UNSYNC


def battery_backed() -> bool:
    """Whether the kernel took the time from a hardware clock at boot."""
    return any(
        flag.read_text(encoding="ascii").strip() == "1" for flag in _HARDWARE_CLOCKS.glob("rtc*/hctosys")
    )


class WallClock:
    """The wall clock, with a watch on its jumps.

    It is trusted while a time daemon keeps it right. Else it is trusted only where it came from a hardware
    clock, is later than this program and than everything that was logged with a trusted clock, and has not
    jumped since the start. A Pi 4 without a network is therefore never trusted: it goes on from the time at
    which it was last switched off, and nobody knows how long ago that was.

    Parameters
    ----------
    wall : aware UTC time
    since_boot : seconds, those asleep among them
    is_synchronised : as :func:`synchronised`
    is_battery_backed : as :func:`battery_backed`
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        since_boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        is_synchronised: Callable[[], bool] = synchronised,
        is_battery_backed: Callable[[], bool] = battery_backed,
    ) -> None:
        self._wall = wall
        self._since_boot = since_boot
        self._is_synchronised = is_synchronised
        self._is_battery_backed = is_battery_backed
        self._started = wall()
        self._started_s = since_boot()
        self._jumped = False

    def jump_s(self) -> float:
        """How far the wall clock has moved against the time since boot, in seconds, since the start."""
        return (self._wall() - self._started).total_seconds() - (self._since_boot() - self._started_s)

    def problem(self, newest: datetime | None) -> str | None:
        """Say why the time that is written down now cannot be believed; None where it can.

        Parameters
        ----------
        newest : latest time that was logged with a trusted clock, or None
        """
        is_possible = _WRITTEN <= self._wall() <= _PLAUSIBLE
        if is_possible and self._is_synchronised():
            # Being set right by a time daemon is no jump to be held against the clock.
            self._started, self._started_s, self._jumped = self._wall(), self._since_boot(), False
            return None
        passed_s = self._since_boot() - self._started_s
        self._jumped = self._jumped or abs(self.jump_s()) > JUMP_S + _SLEW * passed_s
        earliest = _WRITTEN if newest is None else max(newest, _WRITTEN)
        if not is_possible:
            return f"the clock is at the year {self._wall().year}, when no device ran this program"
        if not self._is_battery_backed():
            return "no time server and no hardware clock: late by as long as the device was off"
        if self._jumped:
            return "the clock has jumped, and no time server says that it is right"
        if self._wall() < earliest:
            return f"the clock is earlier than {earliest:%Y-%m-%d %H:%M} UTC, which has been"
        return None

    def is_trusted(self, newest: datetime | None) -> bool:
        """Say whether the time that is written down now can be believed; see :meth:`problem`."""
        return self.problem(newest) is None
