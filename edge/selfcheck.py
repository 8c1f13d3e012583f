"""Whether this device is fit to count: model, camera, rights, disk, log, clock, supply; and what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from edge.bloodlog import BloodLog
from edge.bloodlog.connection import check_name
from edge.calibration import Calibration
from edge.camera.configured import is_live, make_source
from edge.classification.card import ModelBundle, default_bundle_path, load_bundle
from edge.classification.classifier import Classifier
from edge.classification.recalibration import Recalibration
from edge.config import Config, load_config, names_a_camera
from edge.counting.golden import check_golden_field, load_golden_field
from edge.daemon.client import ask, find_socket
from edge.daemon.served import writes_itself
from edge.device.clock import WallClock, utc_now
from edge.device.disk import RESERVE_MB, DiskGuard
from edge.device.machine import describe_machine, describe_software
from edge.device.pi import Condition, read_condition
from edge.device.printable import number_of
from edge.device.rights import refusal, user_name
from edge.errors import CameraError, ControlError, DiskFullError, EdgeError, GateError, RuntimeMissingError
from edge.light.field import Field
from edge.quality import ADVICE, WARNINGS, FrameWatch, assess
from edge.structures import Frame

_T = TypeVar("_T")
_CAMERA = "camera"
#: Where a unit lies that a person or a package has installed: that device is there to count for a camera.
SERVICE_UNITS = (
    Path("/etc/systemd/system/blastcount.service"),
    Path("/usr/lib/systemd/system/blastcount.service"),
)
#: Frames read one after the other: two show whether the picture stands still.
_FRAMES = 2
#: A daemon whose newest frame is older has lost its camera: it asks every 2 s and waits for 4 s at most.
_STALE_S = 15.0
#: A Pi slows itself down at 80 °C (soft limit of the firmware), and by force at 85 °C.
HOT_C = 80.0
_ADVICE = {
    "under-voltage": "use the supply made for this Pi, and a short cable",
    "frequency capped": "use the supply made for this Pi, and cool it",
    "throttled": "cool the Pi: a case with a fan, or no case",
    "soft temperature limit": "cool the Pi: a case with a fan, or no case",
}
#: Faults of the log that are listed; `blastcount log verify` lists all.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    name : what was checked
    passed : whether it is as it must be
    detail : what was found, and where it failed what to do
    exit_code : what the command ends with if this is the first check that failed; 0 where passed
    reason : ``no_camera`` where there is none, ``not_looked_at`` where none is needed; else None
    """

    name: str
    passed: bool
    detail: str
    exit_code: int
    reason: Literal["no_camera", "not_looked_at"] | None = None


def good(name: str, detail: str) -> Finding:
    """Make a finding of something that is as it must be."""
    return Finding(name, True, detail, 0)


def bad(name: str, detail: str) -> Finding:
    """Make a finding of something that is not: the self-test is a gate, and says no."""
    return Finding(name, False, detail, GateError.exit_code)


def verdict(findings: list[Finding]) -> str:
    """Say in one line what the device is fit for.

    Examples
    --------
    >>> verdict([good("disk", "12 GB free"), bad("clock", "1970-01-01"), bad("log", "damaged")])
    'not fit: clock, log'
    >>> verdict([good("disk", "12 GB free"), good("camera", "picamera:0, 2028x1520 px")])
    'fit to count'
    """
    failed = ["no camera" if f.reason == "no_camera" else f.name for f in findings if not f.passed]
    if failed:
        return f"not fit: {', '.join(failed)}"
    if any(finding.reason == "not_looked_at" for finding in findings):
        return "fit to count files; no camera looked at"
    return "fit to count"


def attempt(
    findings: list[Finding], name: str, step: Callable[[], _T], describe: Callable[[_T], str]
) -> _T | None:
    """Note whether a step succeeds, and with what; None where it failed."""
    try:
        value = step()
    except EdgeError as error:
        findings.append(Finding(name, False, str(error), error.exit_code))
        return None
    findings.append(good(name, describe(value)))
    return value


def examine(model: Path | None = None, *, program: bool = False) -> list[Finding]:
    """Run all checks; one that needs what an earlier one could not give is left out.

    Parameters
    ----------
    model : bundle to be checked instead of the configured one
    program : leave out what the device has beside the program: calibration, camera, disk, log, clock, supply
    """
    findings = [_software()]
    config = attempt(findings, "configuration", load_config, _describe_config)
    _examine_model(findings, config, model)
    if config is None or program:
        return findings
    log, newest = check_log(config.log_path)
    findings += [
        check_calibration(config.calibration_path, required=config.calibration.path is not None),
        check_camera(config),
        *(
            (
                check_rights(config.log_path),
                check_disk(config.log_path.parent, config.storage.reserve_mb),
            )
            if writes_itself(config.log_path)
            else check_served(config.log_path)
        ),
        log,
        check_clock(newest),
        check_supply(),
    ]
    return findings


def _examine_model(findings: list[Finding], config: Config | None, model: Path | None) -> None:
    path = model or (config.model.path if config else None) or default_bundle_path()
    bundle = attempt(findings, "model", lambda: load_bundle(path), _describe_bundle)
    if bundle is None:
        return
    threads = config.model.threads if config else 1
    classifier = attempt(findings, "interpreter", lambda: Classifier(bundle, threads), lambda c: c.runtime)
    if classifier is None:
        return
    crops, tolerance = len(bundle.golden.crops), bundle.card.golden.max_delta_p
    attempt(
        findings,
        "golden crops",
        classifier.check_golden,
        lambda worst: f"{crops} agree: largest difference of p {worst:.3f}, at most {tolerance:.3f} allowed",
    )
    attempt(findings, "golden field", lambda: check_golden_field(classifier, load_golden_field(bundle)), str)
    if config is not None:
        findings += _examine_recalibration(config, bundle)


def _examine_recalibration(config: Config, bundle: ModelBundle) -> list[Finding]:
    """See whether the laboratory's recalibration is of this model; nothing is said where there is none."""
    path, name = config.recalibration_path, "recalibration"
    if config.model.recalibration is None and not path.exists():
        return []
    try:
        fitted = Recalibration.load(path)
        fitted.applied(bundle.card)
    except EdgeError as error:
        return [bad(name, str(error))]
    return [good(name, f"{path}: fitted on {fitted.cells} cells, of {fitted.made_at:%Y-%m-%d}")]


def _software() -> Finding:
    versions = ", ".join(f"{name} {version}" for name, version in describe_software().items())
    machine = describe_machine()
    return good("software", f"{versions}; {machine['architecture']}, {machine['cores']} cores")


def _describe_config(config: Config) -> str:
    scale = config.scale.um_per_px
    measured = "measured on red cells" if scale is None else f"{scale:g} µm/px"
    return f"{config.origin or 'built-in defaults'}, sha256 {config.sha256[:12]}, scale {measured}"


def _describe_bundle(bundle: ModelBundle) -> str:
    return f"{bundle.card.name}, sha256 {bundle.card.sha256[:12]}, {bundle.tflite_path}"


def check_camera(config: Config) -> Finding:
    """Take two frames from the configured source, or ask the daemon that holds it.

    Where no camera is configured and no service is installed, none is looked at: files are counted there.
    """
    running = _from_daemon(config)
    if running is not None:
        return running
    if not names_a_camera(config) and not any(unit.exists() for unit in SERVICE_UNITS):
        told = "not looked at: none is configured and no service is installed; set camera.source"
        return replace(good(_CAMERA, told), reason="not_looked_at")
    try:
        with make_source(config) as source:
            started = time.monotonic()
            frames = [source.read(config.camera.timeout_s) for _ in range(_FRAMES)]
            took_ms = (time.monotonic() - started) / _FRAMES * 1000.0
    except (CameraError, RuntimeMissingError) as error:
        absent = isinstance(error, RuntimeMissingError) or error.reason == "missing"
        return replace(bad(_CAMERA, str(error)), reason="no_camera" if absent else None)
    except EdgeError as error:
        return bad(_CAMERA, str(error))
    return _judge([frame for frame in frames if frame is not None], took_ms, live=is_live(config))


def _from_daemon(config: Config) -> Finding | None:
    """Ask a running daemon about the camera that it holds; None where none runs."""
    try:
        status = ask(find_socket(config.log_path), "status", timeout_s=5.0)
    except ControlError as error:
        # Whoever may not ask the daemon may not take its camera either.
        return (
            bad(_CAMERA, f"held by a daemon that cannot be asked: {error}")
            if error.reason == "no_permission"
            else None
        )
    age_s, failure = status["queue_age_s"], status["camera"]["last_failure"]
    held = f"held by the daemon (process {status['pid']})"
    if not status["camera"]["connected"]:
        told = f"{held}, which waits for it: {failure['message'] if failure else 'being opened'}"
        return replace(bad(_CAMERA, told), reason="no_camera")
    if age_s is not None and age_s > _STALE_S and status["mode"] == "auto":
        return bad(
            _CAMERA, f"{held}, which has had no frame for {age_s:.0f} s; `systemctl restart blastcount`"
        )
    age = "no frame yet" if age_s is None else f"newest frame {age_s:.1f} s old"
    return good(_CAMERA, f"{status['source']}, {held}, {age}")


def _judge(frames: list[Frame], took_ms: float, *, live: bool) -> Finding:
    if not frames:
        return bad(_CAMERA, "gave no frame; see camera.path")
    newest = frames[-1]
    seen = f"{newest.source}, {newest.width}x{newest.height} px, {took_ms:.0f} ms a frame"
    watch = FrameWatch()
    faults = [watch.reasons(frame.image) for frame in frames][-1] if live else ()
    judgement = assess(Field(newest))
    reasons = (*faults, *judgement.reasons, *newest.warnings, *judgement.warnings)
    if reasons:
        said = "; ".join(f"{reason} ({(ADVICE | WARNINGS)[reason]})" for reason in reasons)
        return bad(_CAMERA, f"{seen}: {said}")
    return good(_CAMERA, seen)


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
    now = f"{utc_now():%Y-%m-%d %H:%M} UTC"
    return bad("clock", f"{now}: {wrong}; set it with `sudo timedatectl set-time`, or connect a network")


def check_rights(log_path: Path) -> Finding:
    """See whether this user may write the log, its folder, and what SQLite makes beside it."""
    name, folder = "permissions", log_path.parent
    if (why := refusal(log_path)) is not None:
        return bad(name, f"{log_path}: {why}")
    who = f"user {os.geteuid()}"
    if not _is_folder(folder):
        above = nearest(folder)
        if os.access(above, os.W_OK | os.X_OK):
            return good(name, f"{folder} is not there yet and can be made by {who}")
        return bad(name, f"{folder} is not there and {who} may not make it in {above}; set log.path")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        wrong = [folder]  # what lies in it cannot even be asked about
    else:
        files = (log_path, *(log_path.with_name(log_path.name + end) for end in ("-wal", "-shm")))
        wrong = [path for path in files if path.exists() and not os.access(path, os.R_OK | os.W_OK)]
    if wrong:
        listed = ", ".join(map(str, wrong))
        return bad(name, f"{who} may not write {listed}; `sudo chown` it to the daemon's user")
    return good(name, f"{who} may write {folder}")


def check_served(log_path: Path) -> tuple[Finding, ...]:
    """Ask the service that writes the log, for the members of its group, whether it can."""
    name, who = "permissions", user_name(os.geteuid())
    try:
        disk = ask(find_socket(log_path), "status", timeout_s=5.0)["disk"]
    except ControlError as error:
        return (bad(name, f"the service writes the log, and cannot be asked: {error}"),)
    rights = good(name, f"the service writes {log_path.parent} for user {who}")
    if disk["problem"] is not None or disk["free_bytes"] is None:
        return rights, bad("disk", disk["problem"] or f"{log_path.parent} is gone")
    return rights, good("disk", f"{disk['free_bytes'] / 1e9:.1f} GB free at {log_path.parent}")


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


def check_log(path: Path) -> tuple[Finding, datetime | None]:
    """Verify the log's hash chain.

    Returns
    -------
    the finding, and the latest time logged with a trusted clock
    """
    try:
        check_name(path, makes_it=False)
        if not path.exists():
            return good("log", f"{path}: not there yet, nothing has been counted"), None
        with BloodLog.open(path, read_only=True) as log:
            faults, fields, newest = log.verify(), log.count(), log.newest_trusted()
    except EdgeError as error:
        return bad("log", str(error)), None
    if faults:
        shown = "; ".join(str(fault) for fault in faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        return bad("log", f"{path}: {shown}{more}; keep this file and count into a new one"), newest
    return good("log", f"{path}: {number_of(fields, 'field')}, the hash chain is whole"), newest


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
