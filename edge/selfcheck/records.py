"""Whether log and calibration are whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edge.bloodlog import BloodLog
from edge.calibration import Calibration
from edge.errors import EdgeError
from edge.selfcheck.finding import Finding, bad, good

_SHOWN = 3


def check_log(path: Path) -> tuple[Finding, datetime | None]:
    """Verify the log's hash chain.

    Returns
    -------
    the finding, and the latest time logged with a trusted clock
    """
    if not path.exists():
        return good("log", f"{path}: not there yet, nothing has been counted"), None
    try:
        with BloodLog.open(path, read_only=True) as log:
            faults, fields, newest = log.verify(), log.count(), log.newest_trusted()
    except EdgeError as error:
        return bad("log", f"{error}; see `blastcount log repair`"), None
    if faults:
        shown = "; ".join(str(fault) for fault in faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        return bad("log", f"{path}: {shown}{more}; keep this file and count into a new one"), newest
    return good("log", f"{path}: {fields} fields, the hash chain is whole"), newest


def check_calibration(path: Path, *, required: bool) -> Finding:
    """Read the calibration; a bad one is not used, which a count would not show."""
    if not required and not path.exists():
        return good("calibration", "none: light and scale are taken from each field")
    try:
        calibration = Calibration.load(path)
    except EdgeError as error:
        return bad("calibration", str(error))
    has = [
        *(["flat field and white point"] if calibration.blank else []),
        *([f"{calibration.scale.um_per_px:g} µm/px"] if calibration.scale else []),
    ]
    return good("calibration", f"{path}: {' and '.join(has)}, of {calibration.made_at:%Y-%m-%d}")
