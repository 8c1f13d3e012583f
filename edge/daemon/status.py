"""What the daemon says: its status as JSON, for systemd and for Prometheus, and the newest frame, small."""

from __future__ import annotations

import base64
import json
import logging
import math
import os
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.config import Config
from edge.daemon.capture import Capture, Reconnect
from edge.daemon.protocol import HEARTBEAT_NAME
from edge.daemon.trigger import mode_of
from edge.device.clock import utc_now
from edge.device.durable import write_whole
from edge.device.pi import read_condition
from edge.errors import DiskFullError, LogBlockedError
from edge.light.pyramid import shrunk
from edge.light.sharpness import sharpness
from edge.structures import FieldResult, Frame
from edge.version import software_version

_log = logging.getLogger(__name__)

SCHEMA = "blastcount.status/1"
METRICS_NAME = "metrics.prom"
#: Time over which fields a minute are counted.
RATE_WINDOW_S = 60.0
#: Longer side of a preview at most, in px: as wide as a page shows it.
PREVIEW_PX = 960
#: A preview of a field takes 60 to 120 kB.
_QUALITY = 80
#: Sharpness and exposure are measured in a picture about this wide, at which sharpness falls out to 3 µm of
#: defocus.
_METER_PX = 320
#: The blank slide is brighter than everything else: of a tenth of the picture, or more.
_BLANK_PERCENTILE = 90


@dataclass
class Counts:
    """What has been counted since the start.

    Attributes
    ----------
    logged, rejected : fields in the log, and those of them that were rejected
    failed : fields on which a library failed, which are not in the log
    rejected_by_reason : a field with two reasons is in both
    warned : fields that were counted with a warning
    by_warning : a field with two warnings is in both
    seen_before : cells that had been counted in an earlier field of their sample
    last_field : of the status, or None before the first
    """

    logged: int = 0
    rejected: int = 0
    failed: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    by_warning: Counter[str] = field(default_factory=Counter)
    seen_before: int = 0
    last_field: dict[str, Any] | None = None
    _logged_s: deque[float] = field(default_factory=deque)

    def add(self, field_id: int, result: FieldResult, sample: str | None, now_s: float) -> None:
        """Add a field that is in the log."""
        seen_before = sum(cell.seen_before is not None for cell in result.cells)
        self.logged += 1
        self.rejected += result.status == "rejected"
        self.rejected_by_reason.update(result.reasons)
        self.warned += bool(result.warnings)
        self.by_warning.update(result.warnings)
        self.seen_before += seen_before
        self._logged_s.append(now_s)
        self.per_minute(now_s)
        self.last_field = {
            "field": field_id,
            "at": utc_now().isoformat(timespec="seconds"),
            "source": result.source,
            "status": result.status,
            "reasons": list(result.reasons),
            "warnings": list(result.warnings),
            "wbc": result.wbc,
            "blasts": result.blasts,
            "seen_before": seen_before,
            "sample": sample,
            "ms": round(sum(result.stage_ms.values()), 1),
        }

    def per_minute(self, now_s: float) -> int:
        """Fields logged within the last minute."""
        while self._logged_s and now_s - self._logged_s[0] > RATE_WINDOW_S:
            self._logged_s.popleft()
        return len(self._logged_s)


def metrics(status: Mapping[str, Any]) -> str:
    """Write the figures in Prometheus's text format [1]_, for a collector that reads files.

    References
    ----------
    .. [1] https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    fields, camera, disk = status["fields"], status["camera"], status["disk"]
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, values: Mapping[str, float | None]) -> None:
        known = {labels: value for labels, value in values.items() if value is not None}
        if known:
            lines.extend((f"# HELP blastcount_{name} {text}", f"# TYPE blastcount_{name} {kind}"))
            lines.extend(f"blastcount_{name}{labels} {value:g}" for labels, value in known.items())

    def by(label: str, counts: Mapping[str, float]) -> dict[str, float | None]:
        return {f'{{{label}="{key}"}}': value for key, value in sorted(counts.items())}

    metric("up", "gauge", "1 while the daemon counts.", {"": float(status["state"] == "counting")})
    metric("fields_total", "counter", "Fields in the log since the start.", {"": fields["logged"]})
    metric("fields_per_minute", "gauge", "Fields in the last minute.", {"": fields["per_minute"]})
    metric("rejected_total", "counter", "Rejections by reason.", by("reason", fields["rejected_by_reason"]))
    metric("warned_total", "counter", "Counted fields by warning.", by("warning", fields["by_warning"]))
    metric("camera_connected", "gauge", "1 while the camera is open.", {"": float(camera["connected"])})
    metric("camera_restarts_total", "counter", "Times it was opened again.", {"": camera["restarts"]})
    metric("camera_failures_total", "counter", "Failures by reason.", by("reason", camera["by_reason"]))
    metric("camera_refused_frames_total", "counter", "By reason.", by("reason", camera["refused_frames"]))
    metric("frame_age_seconds", "gauge", "Age of the newest frame.", {"": status["queue_age_s"]})
    if status.get("qc"):
        charts = Counter(alarm["chart"] for alarm in status["qc"]["alarms"])
        metric("qc_open_alarms", "gauge", "Alarms that nobody has acknowledged.", {"": charts.total()})
        metric("qc_open_alarms_of_chart", "gauge", "The same by chart.", by("chart", charts))
    metric("temperature_celsius", "gauge", "Hottest thermal zone.", {"": status["temperature_c"]})
    metric("disk_free_bytes", "gauge", "Free where the log is.", {"": disk["free_bytes"]})
    return "\n".join(lines) + "\n"


def write_heartbeat(folder: Path, status: Mapping[str, Any]) -> None:
    """Write ``status.json`` and ``metrics.prom``, each whole or not at all; or say why not.

    Nothing is synced: the folder is in memory, and after a power cut nobody needs it. The metrics are for
    everybody who gets into the folder: a monitoring program's user needs no right that could touch a sample,
    and no name of one stands in them. The status is the group's.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / HEARTBEAT_NAME, json.dumps(status).encode(), mode=0o640)
        write_whole(folder / METRICS_NAME, metrics(status).encode(), mode=0o644, exactly=True)
    except OSError as error:
        _log.warning("%s: the heartbeat cannot be written: %s", folder, error.strerror)


def make_status(
    camera: Capture | None,
    counts: Counts,
    config: Config,
    *,
    now_s: float,
    problem: LogBlockedError | None,
) -> dict[str, Any]:
    """Describe camera, fields, disk and machine.

    Parameters
    ----------
    camera : where frames come from; None before it is asked for any
    counts : what has been counted
    config : in force
    now_s : monotonic seconds
    problem : why nothing can be logged, or None
    """
    condition = read_condition(ask=lambda *_: None)  # files only: the firmware's program takes long
    return {
        "schema": SCHEMA,
        "version": software_version(),
        "pid": os.getpid(),
        "state": _state(camera, problem),
        "problem": None if problem is None else str(problem),
        "mode": mode_of(config),
        "source": config.camera.source if camera is None else camera.name,
        "camera": _camera_json(camera),
        "fields": {
            "logged": counts.logged,
            "rejected": counts.rejected,
            "failed": counts.failed,
            "rejected_by_reason": dict(counts.rejected_by_reason),
            "warned": counts.warned,
            "by_warning": dict(counts.by_warning),
            "seen_before": counts.seen_before,
            "per_minute": counts.per_minute(now_s),
        },
        "last_field": counts.last_field,
        "disk": {
            "free_bytes": _free_bytes(config.log_path.parent),
            "problem": str(problem) if isinstance(problem, DiskFullError) else None,
        },
        "temperature_c": max(condition.temperatures_c.values(), default=None),
        "throttled": None if condition.throttled is None else list(condition.throttled),
        "config": {"origin": str(config.origin) if config.origin else None, "sha256": config.sha256},
    }


def _free_bytes(folder: Path) -> int | None:
    """Room where the log is; None where its folder has gone."""
    try:
        usage = os.statvfs(folder)
    except OSError:
        return None
    return usage.f_bavail * usage.f_frsize


def _state(camera: Capture | None, problem: LogBlockedError | None) -> str:
    if problem is not None:
        return problem.state
    if camera is not None and camera.is_connected:
        return "counting"
    return "opening" if camera is None or camera.last_failure is None else "no_camera"


def _camera_json(camera: Capture | None) -> dict[str, Any]:
    reconnect = Reconnect() if camera is None else camera.reconnect
    failure = None if camera is None else camera.last_failure
    return {
        "connected": camera is not None and camera.is_connected,
        "restarts": 0 if camera is None else max(0, camera.restarts),
        "failures": reconnect.total,
        "failures_in_a_row": reconnect.in_a_row,
        "by_reason": dict(reconnect.by_reason),
        "refused_frames": {} if camera is None else dict(camera.refused_frames),
        "last_failure": None if failure is None else {"reason": failure.reason, "message": str(failure)},
    }


def preview_json(frame: Frame, age_s: float) -> dict[str, Any]:
    """Encode a preview for the control socket.

    Parameters
    ----------
    frame : the newest frame
    age_s : seconds since it came
    """
    step = max(1, math.ceil(max(frame.width, frame.height) / PREVIEW_PX))
    small = cv2.cvtColor(frame.image[::step, ::step], cv2.COLOR_RGB2BGR)
    encoded, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    grey = shrunk(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8), small.shape[1] / _METER_PX)
    assert encoded  # a Frame is 8-bit RGB
    return {
        "jpeg": base64.b64encode(jpeg.tobytes()).decode("ascii"),
        "width": frame.width,
        "height": frame.height,
        "age_s": round(age_s, 3),
        "sharpness": sharpness(grey),
        "exposure": float(np.percentile(grey, _BLANK_PERCENTILE)) / 255.0,
    }
