"""Disk, clock, rights and supply of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge.device.clock import WallClock
from edge.device.disk import RESERVE_MB, DiskGuard
from edge.device.pi import Condition, read_condition
from edge.errors import DiskFullError
from edge.selfcheck.finding import Finding, bad, good

#: A Pi slows itself down at 80 °C (soft limit of the firmware), and by force at 85 °C.
HOT_C = 80.0
_ADVICE = {
    "under-voltage": "use the supply made for this Pi, and a short cable",
    "frequency capped": "use the supply made for this Pi, and cool it",
    "throttled": "cool the Pi: a case with a fan, or no case",
    "soft temperature limit": "cool the Pi: a case with a fan, or no case",
}


def check_disk(folder: Path, reserve_mb: float = RESERVE_MB) -> Finding:
    """Look for room where the log lies.

    Parameters
    ----------
    folder : of the log
    reserve_mb : room that must be left
    """
    try:
        free_mb = DiskGuard(nearest(folder), reserve_mb).check()
    except DiskFullError as error:
        return bad("disk", str(error))
    return good("disk", f"{free_mb / 1000:.1f} GB free at {nearest(folder)}")


def check_clock(newest: datetime | None, clock: Callable[..., WallClock] = WallClock) -> Finding:
    """See whether the time written beside a field can be believed.

    One that is plainly wrong fails. One that only nobody vouches for, as on every Pi 4 without a network, is
    said: fields are counted all the same, and marked in the log.

    Parameters
    ----------
    newest : latest time that was logged with a trusted clock, or None
    clock : makes the wall clock
    """
    problem = clock().problem(newest)
    if problem is None:
        return good("clock", "right, as a time server or a hardware clock says")
    wrong = clock(is_battery_backed=lambda: True).problem(newest)
    if wrong is None:
        return good("clock", f"{problem}; fields are counted and marked. Connect a network, or fit a clock")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return bad("clock", f"{now}: {wrong}; set it with `sudo timedatectl set-time`, or connect a network")


def check_rights(log_path: Path) -> Finding:
    """See whether this user may write the log, its folder, and what SQLite makes beside it."""
    name, folder = "permissions", log_path.parent
    who = f"user {os.geteuid()}"
    if not _is_folder(folder):
        above = nearest(folder)
        if os.access(above, os.W_OK | os.X_OK):
            return good(name, f"{folder} is not there yet and can be made by {who}")
        return bad(
            name, f"{folder} is not there and {who} may not make it in {above}; `blastcount install-service`"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        wrong = [folder]  # what lies in it cannot even be asked about
    else:
        files = (log_path, *(log_path.with_name(log_path.name + end) for end in ("-wal", "-shm")))
        wrong = [path for path in files if path.exists() and not os.access(path, os.R_OK | os.W_OK)]
    if wrong:
        listed = ", ".join(map(str, wrong))
        return bad(name, f"{who} may not write {listed}; `sudo chown` it to the daemon's user")
    return good(name, f"{who} may write {folder}")


def check_supply(condition: Condition | None = None) -> Finding:
    """Look at heat and supply, as far as the machine tells."""
    name, condition = "supply, heat", condition or read_condition()
    hottest = max(condition.temperatures_c.values(), default=None)
    heat = "no temperature shown" if hottest is None else f"{hottest:.0f} °C"
    flags = condition.throttled or ()
    if flags:
        advice = dict.fromkeys(_ADVICE[flag.removesuffix(" since boot")] for flag in flags)
        return bad(name, f"{heat}, {', '.join(flags)}: {'; '.join(advice)}")
    if hottest is not None and hottest >= HOT_C:
        return bad(name, f"{heat}, slows down from {HOT_C:.0f} °C: {_ADVICE['throttled']}")
    return good(
        name, f"{heat}, {'no Raspberry Pi firmware' if condition.throttled is None else 'never throttled'}"
    )


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if _is_folder(path))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return False  # hidden from this user, which is as good as absent
