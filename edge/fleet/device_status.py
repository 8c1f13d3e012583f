"""What a device says of itself beside its log's rows: its status, and how Home Assistant shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.bloodlog.chain import Head
from edge.device.clock import synchronised, utc_now
from edge.device.disk import DiskGuard
from edge.device.reading import read_bounded
from edge.fleet.messages import STATUS_SCHEMA, encoded, topic
from edge.fleet.outbox import Cursor
from edge.version import software_version

#: What of the daemon's own status crosses: no path, no source, no name of a person.
_FROM_DAEMON = ("state", "mode", "temperature_c", "throttled")


def make_status(device: str, log: Path, beat: Path, head: Head, taken: Cursor) -> dict[str, Any]:
    """Describe a device.

    Parameters
    ----------
    device : its name
    log : the log's file
    beat : where the daemon writes its status
    head : end of the log's chain
    taken : the last link that the broker has taken
    """
    daemon = _heartbeat(beat)
    last = daemon.get("last_field")
    return {
        "schema": STATUS_SCHEMA,
        "device": device,
        "at": utc_now().isoformat(timespec="seconds"),
        "clock_synchronised": synchronised(),
        "head": {"number": head.number, "sha256": head.sha256},
        "taken": taken.number,
        "backlog": max(0, head.number - taken.number),
        "software_version": software_version(),
        "disk_free_mb": _free_mb(log.parent),
        "daemon": {name: daemon[name] for name in _FROM_DAEMON if daemon.get(name) is not None},
        "last_field_at": last.get("at") if isinstance(last, Mapping) else None,
    }


def home_assistant(device: str) -> tuple[str, bytes]:
    """Make the one retained message that shows a device in Home Assistant: topic and payload.

    References
    ----------
    https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
    """
    status = topic(device, "status")

    def sensor(key: str, name: str, template: str, **more: str) -> dict[str, str]:
        return {
            "p": "sensor",
            "name": name,
            "unique_id": f"blastcount_{device}_{key}",
            "state_topic": status,
            "value_template": "{{ " + template + " }}",
            **more,
        }

    payload = {
        "dev": {
            "ids": f"blastcount_{device}",
            "name": f"blastcount {device}",
            "mf": "blastcount",
            "sw": software_version(),
        },
        "o": {"name": "blastcount", "sw": software_version()},
        "avty_t": topic(device, "online"),
        "cmps": {
            "state": sensor("state", "State", "value_json.daemon.state | default('unknown')"),
            "backlog": sensor("backlog", "Rows to send", "value_json.backlog", state_class="measurement"),
            "rows": sensor("rows", "Rows in the log", "value_json.head.number"),
            "disk": sensor(
                "disk",
                "Disk free",
                "value_json.disk_free_mb",
                unit_of_measurement="MB",
                device_class="data_size",
            ),
            "heard": sensor("heard", "Status of", "value_json.at", device_class="timestamp"),
        },
    }
    return f"homeassistant/device/blastcount_{device}/config", encoded(payload)


def _free_mb(folder: Path) -> int | None:
    """Give the room where the log is, MB; None where the folder has gone."""
    try:
        return int(DiskGuard(folder).free_mb())
    except OSError:
        return None


def _heartbeat(path: Path) -> dict[str, Any]:
    """Read what the daemon wrote of itself last; nothing where it has not, or not for this user.

    The file, not the control socket: what sends has no way to the daemon, which takes commands there.
    """
    with suppress(OSError, ValueError):
        found = json.loads(read_bounded(path))
        return found if isinstance(found, dict) else {}
    return {}
