"""A daemon that cannot open its log yet, for want of room for example: it says so, and tries again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge.config import Config
from edge.daemon.control import ControlServer
from edge.daemon.lines import status_line
from edge.daemon.protocol import SOCKET_NAME, Peer
from edge.daemon.requests import Requests
from edge.daemon.status import Counts, make_status, write_heartbeat
from edge.daemon.supervisor import Supervisor
from edge.device.clock import utc_now
from edge.errors import ControlError, DiskFullError, LogBlockedError, LogBusyError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: From one attempt to the next; shorter than any watchdog that systemd is told to use.
TRY_AGAIN_S = 5.0


def when_unblocked(
    attempt: Callable[[], _T], config: Config, folder: Path, requests: Requests, supervisor: Supervisor
) -> _T | None:
    """Try until nothing stands against it any more; meanwhile answer ``blastcount status`` with what does.

    Parameters
    ----------
    attempt : raises DiskFullError or LogBusyError while it is not possible
    config : for the status
    folder : for the control socket and the heartbeat
    requests, supervisor : those of the daemon

    Returns
    -------
    what the attempt gave; None where a stop came first
    """
    try:
        return attempt()
    except (DiskFullError, LogBusyError) as error:
        problem: LogBlockedError = error
    _log.error("not counting: %s", problem)
    started_at = utc_now()

    def status() -> dict[str, Any]:
        now = utc_now()
        return make_status(None, Counts(), config, now_s=0.0, problem=problem) | {
            "started_at": started_at.isoformat(timespec="seconds"),
            "at": now.isoformat(timespec="seconds"),
            "uptime_s": round((now - started_at).total_seconds(), 1),
            "sample": None, "last_reload": None, "queue_age_s": None, "loop_age_s": 0.0,
            "model": {"name": "", "sha256": "", "runtime": ""},
        }  # fmt: skip

    def answer(command: str) -> dict[str, Any]:
        if command == "status":
            return status()
        raise ControlError(str(problem), problem.state)

    def write(_body: bytes, _peer: Peer) -> dict[str, Any]:
        raise ControlError(str(problem), problem.state)

    supervisor.tell("READY=1")
    with ControlServer(folder / SOCKET_NAME, answer, write):
        while True:
            found = status()
            supervisor.tell("WATCHDOG=1", f"STATUS={' '.join(status_line(found).split())}")
            write_heartbeat(folder, found)
            if requests.wait(TRY_AGAIN_S):
                return None
            try:
                return attempt()
            except (DiskFullError, LogBusyError) as error:
                problem = error
