"""Talks to a running daemon over its control socket."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.config import SYSTEM_STATE
from edge.daemon.protocol import SOCKET_NAME, SYSTEM_RUNTIME, Peer, encode, socket_path
from edge.device.rights import refusal
from edge.errors import ControlError

#: A field on a Pi 4 takes one or two seconds, and a camera that has just failed is waited for.
TIMEOUT_S = 30.0


def find_socket(log_path: Path) -> Path:
    """Find the daemon's socket: the one of this log, else the service's.

    Parameters
    ----------
    log_path : the configured log
    """
    own = socket_path(log_path)
    service = SYSTEM_RUNTIME / SOCKET_NAME
    is_service_s = log_path.parent == SYSTEM_STATE or _is_there(service)
    return service if is_service_s and not _is_there(own) else own


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # in a folder that this user may not look into; whoever opens it says so


def ask(path: Path, command: str, timeout_s: float = TIMEOUT_S, body: bytes | None = None) -> dict[str, Any]:
    """Send one command and return its result; see :mod:`edge.daemon.protocol`.

    Parameters
    ----------
    path : the control socket
    command : ``status``, ``capture``, ``preview``, ``reload`` or ``write``
    timeout_s : longest wait for the answer
    body : what follows the line that asks

    Raises
    ------
    ControlError
        No daemon answers there, it belongs to somebody who may not be believed, or it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            _refuse_stranger(connection, path)
            # A daemon that has too many clients answers and hangs up without having listened.
            with suppress(BrokenPipeError):
                connection.sendall(encode({"command": command} | ({"bytes": len(body)} if body else {})))
                connection.sendall(body or b"")
            with connection.makefile("rb") as lines:
                line = lines.readline()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlError(
            f"{path}: no daemon listens here; start it with `systemctl start blastcount` or `blastcount run`",
            "not_running",
        ) from error
    except PermissionError as error:
        raise ControlError(f"{path}: {refusal(path, os.W_OK) or error.strerror}", "no_permission") from error
    except TimeoutError as error:
        raise ControlError(
            f"{path}: no answer to {command} within {timeout_s:g} s; see `journalctl -u blastcount`", "hung"
        ) from error
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    try:
        answer = json.loads(line)
        if answer["ok"]:
            result: dict[str, Any] = answer["result"]
            return result
        refused = answer["error"]
        error_ = ControlError(str(refused["message"]), str(refused["reason"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ControlError(f"{path}: answered with {line[:80]!r}, not as the daemon does") from error
    raise error_


def _refuse_stranger(connection: socket.socket, path: Path) -> None:
    """Believe a daemon of one's own, of root, or of the user to whom root gave the folder of the socket.

    The folder for temporary files is everybody's: whoever is first there could make a socket of the expected
    name and say what he likes. The kernel says whose process listens (unix(7), ``SO_PEERCRED``).
    """
    uid = Peer.of(connection).uid
    if uid in (os.geteuid(), 0) or (_is_given_by_root(path.parent) and uid == path.parent.stat().st_uid):
        return
    raise ControlError(
        f"{path}: user {uid} listens here, neither this user nor the service's, and is not believed; "
        "remove the socket, or ask as the daemon's user",
        "stranger",
    )


def _is_given_by_root(folder: Path) -> bool:
    """Whether only root can have put this folder where it is, as systemd does with ``/run/blastcount``."""
    above = [parent.stat() for parent in folder.resolve().parents]
    return all(found.st_uid == 0 and not found.st_mode & 0o022 for found in above)
