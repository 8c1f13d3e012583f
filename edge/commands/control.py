"""``blastcount status``, ``capture`` and ``reload``: ask the daemon that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge.commands.options import PATH, json_option, log_option
from edge.config import load_config
from edge.daemon.client import ask, find_socket
from edge.daemon.lines import counts_line, sample_line
from edge.daemon.protocol import SOCKET_NAME, SYSTEM_RUNTIME, socket_path
from edge.device.printable import number_of, printable
from edge.errors import ConfigError
from edge.i18n import catalogue
from edge.results.texts import reason_text, warning_text

Answer = dict[str, Any]


def _socket(log_path: Path | None) -> Path:
    if log_path is not None:
        return find_socket(log_path)
    try:
        return find_socket(load_config().log_path)
    except ConfigError:
        # A mistake in the file is the running daemon's to name, which still has the one before it in force.
        service = socket_path(Path())
        if not service.exists():
            service = SYSTEM_RUNTIME / SOCKET_NAME
        if not service.exists():
            raise
        return service


def _asking(
    command: str, text: Callable[[Answer], str], code: Callable[[Answer], int], told: str
) -> click.Command:
    """Make the command that asks the daemon, shows its answer and ends with a code that the answer gives."""

    @click.command(command, help=told)
    @json_option
    @log_option
    @click.option(
        "--socket", type=PATH, metavar="FILE", help="The daemon's control socket, if it is elsewhere."
    )
    def asking(as_json: bool, log_path: Path | None, socket: Path | None) -> None:
        found = ask(socket if socket is not None else _socket(log_path), command)
        click.echo(json.dumps(found) if as_json else text(found))
        click.get_current_context().exit(code(found))

    return asking


def field_line(field: dict[str, Any]) -> str:
    """Say what a field gave.

    Examples
    --------
    >>> field = {"field": 7, "status": "counted", "wbc": 12, "blasts": 3, "seen_before": 2, "sample": "S-1"}
    >>> field_line(field | {"warnings": []})
    'field 7: 12 white cells, 3 of them look like blasts; 2 were counted before; sample S-1'
    >>> field_line(field | {"warnings": ["overlay"], "seen_before": 0})
    'field 7: 12 white cells, 3 of them look like blasts; warning: lettering in the picture; sample S-1'
    >>> field_line(field | {"status": "rejected", "reasons": ["out_of_focus"], "sample": None})
    'field 7: rejected, out of focus; no sample is open'
    """
    sample = f"sample {field['sample']}" if field["sample"] else "no sample is open"
    if field["status"] == "rejected":
        reasons = ", ".join(reason_text(catalogue(), reason) for reason in field["reasons"])
        return f"field {field['field']}: rejected, {reasons}; {sample}"
    again = f"; {field['seen_before']} were counted before" if field["seen_before"] else ""
    warnings = ", ".join(warning_text(catalogue(), warning) for warning in field["warnings"])
    doubts = f"; warning: {warnings}" if warnings else ""
    return (
        f"field {field['field']}: {field['wbc']} white cells, {field['blasts']} of them look like blasts"
        f"{again}{doubts}; {sample}"
    )


def status_lines(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Arrange a status for people: a name and a text each.

    Parameters
    ----------
    status : the record of ``blastcount status --json``
    """
    camera, fields, disk = status["camera"], status["fields"], status["disk"]
    lines = [("state", _state(status))]
    age = (
        "no frame yet" if status["queue_age_s"] is None else f"newest frame {status['queue_age_s']:.1f} s old"
    )
    lines.append(("camera", f"{status['source']}, {age}, opened again {camera['restarts']} times"))
    if camera["failures"]:
        lines.append(
            ("failures", f"{_counts(camera['by_reason'])}; last: {camera['last_failure']['message']}")
        )
    if camera["refused_frames"]:
        lines.append(("dropped", f"frames that were {_counts(camera['refused_frames'])}"))
    lines.append(
        ("fields", f"{fields['logged']} logged, {fields['per_minute']} in the last minute, "
                   f"{fields['rejected']} rejected")
    )  # fmt: skip
    if fields["rejected_by_reason"]:
        lines.append(("rejected", counts_line(fields["rejected_by_reason"], reason_text)))
    if fields["by_warning"]:
        why = counts_line(fields["by_warning"], warning_text)
        lines.append(("warnings", f"{number_of(fields['warned'], 'field')}: {why}"))
    if status["last_field"] is not None:
        lines.append(("last", f"{status['last_field']['at']}, {field_line(status['last_field'])}"))
    sample = status["sample"]
    lines.append(
        ("sample", "none is open: fields are logged without one" if sample is None else sample_line(sample))
    )
    lines += [
        ("ALARM", f"{alarm['text']}; seen: `blastcount qc acknowledge {alarm['alarm']}`")
        for alarm in (status.get("qc") or {}).get("alarms", ())
    ]
    heat = "" if status["temperature_c"] is None else f", {status['temperature_c']:.0f} °C"
    throttled = f", throttled: {', '.join(status['throttled'])}" if status["throttled"] else ""
    free_bytes = disk["free_bytes"]
    free = "the log's folder is gone" if free_bytes is None else f"{free_bytes / 1e9:.1f} GB free"
    lines.append(("machine", f"{free}{heat}{throttled}"))
    model = status["model"]
    recalibrated = f", recalibrated here {by[:12]}" if (by := model.get("recalibration_sha256")) else ""
    lines.append(("model", f"{model['name']} {model['sha256'][:12]}{recalibrated}"))
    change = status["last_reload"]
    if change is not None and not change["ok"]:
        lines.append(("config", f"the last change was refused: {change['message']}"))
    lines.append(("", "For research use only; not for diagnosis."))
    return lines


def _state(status: dict[str, Any]) -> str:
    up_s = status["uptime_s"]
    up = f"{up_s / 60:.0f} min" if up_s < 3600 else f"{up_s / 3600:.1f} h"
    since = f"mode {status['mode']}, up {up}"
    text = {
        "counting": "counting",
        "opening": "the camera is being opened",
        "no_camera": "waiting for the camera",
        "stopped": "stopped",
    }.get(status["state"], f"not counting: {status['problem']}")
    return f"{text} ({since})"


def _counts(by_reason: dict[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in sorted(by_reason.items()))


status = _asking(
    "status",
    lambda found: "\n".join(f"{name:11} {printable(text)}" for name, text in status_lines(found)),
    lambda found: 0 if found["state"] == "counting" else 1,
    """Show what the daemon does: camera, fields, rejections, sample, disk.

    Exit code 0 while it counts, 1 where it does not or is not there.
    """,
)
capture = _asking(
    "capture",
    lambda found: printable(field_line(found)),
    lambda found: 4 if found["status"] == "rejected" else 0,
    """Count what the camera sees now, whatever the mode, into the log and the open sample.

    Exit code 4 where the field was rejected.
    """,
)
reload = _asking(
    "reload",
    lambda found: f"configuration in force: sha256 {found['sha256'][:12]}",
    lambda found: 0,
    """Have the daemon read its configuration again; one that cannot be used leaves the old one in force.

    Exit code 1 where it was refused.
    """,
)
