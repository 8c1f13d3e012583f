"""The status put together from what the loop holds."""

from __future__ import annotations

import os
from typing import Any

from edge.config import Config
from edge.daemon.capture import Capture
from edge.daemon.status import SCHEMA, Counts
from edge.daemon.trigger import mode_of
from edge.device.pi import read_condition
from edge.version import software_version


def make_status(
    camera: Capture, counts: Counts, config: Config, *, now_s: float, disk_problem: str | None
) -> dict[str, Any]:
    """Describe camera, fields, disk and machine.

    Parameters
    ----------
    camera : where frames come from
    counts : what has been counted
    config : in force
    now_s : monotonic seconds
    disk_problem : why nothing may be written, or None
    """
    condition = read_condition(ask=lambda *_: None)  # files only: the firmware's program takes long
    usage = os.statvfs(config.log_path.parent)
    return {
        "schema": SCHEMA,
        "version": software_version(),
        "pid": os.getpid(),
        "state": _state(camera, disk_problem),
        "mode": mode_of(config),
        "source": camera.name,
        "camera": _camera_json(camera),
        "fields": {
            "logged": counts.logged,
            "rejected": counts.rejected,
            "rejected_by_reason": dict(counts.rejected_by_reason),
            "seen_before": counts.seen_before,
            "per_minute": counts.per_minute(now_s),
        },
        "last_field": counts.last_field,
        "disk": {"free_bytes": usage.f_bavail * usage.f_frsize, "problem": disk_problem},
        "temperature_c": max(condition.temperatures_c.values(), default=None),
        "throttled": None if condition.throttled is None else list(condition.throttled),
        "config": {"origin": str(config.origin) if config.origin else None, "sha256": config.sha256},
    }


def _state(camera: Capture, disk_problem: str | None) -> str:
    if disk_problem is not None:
        return "disk_full"
    if camera.is_connected:
        return "counting"
    return "opening" if camera.last_failure is None else "no_camera"


def _camera_json(camera: Capture) -> dict[str, Any]:
    failure = camera.last_failure
    return {
        "connected": camera.is_connected,
        "restarts": max(0, camera.restarts),
        "failures": camera.reconnect.total,
        "failures_in_a_row": camera.reconnect.in_a_row,
        "by_reason": dict(camera.reconnect.by_reason),
        "refused_frames": dict(camera.refused_frames),
        "last_failure": None if failure is None else {"reason": failure.reason, "message": str(failure)},
    }
