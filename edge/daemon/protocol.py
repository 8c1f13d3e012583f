"""The control socket's language: one JSON object a line each way, with a version.

A request is ``{"protocol": 1, "command": "status"}``, the answer
``{"protocol": 1, "ok": true, "result": {...}}`` or
``{"protocol": 1, "ok": false, "error": {"reason": "no_camera", "message": "..."}}``. Commands:

``status``
    What ``blastcount status --json`` prints.
``capture``
    Counts what the camera sees now; answers when it is in the log, with ``field`` (its number), ``status``,
    ``reasons``, ``warnings``, ``wbc``, ``blasts``, ``seen_before`` (cells counted before) and ``sample``.
``preview``
    The newest frame: ``jpeg`` (base64), ``width`` and ``height`` of the frame, ``age_s``, its ``sharpness``
    (comparable with that of other frames of the camera) and ``exposure`` (level of the blank slide, 0 to 1);
    ``counted``: the ``field`` that was counted last, with ``x`` and ``y`` of its upper left corner in this
    picture, px of the frame, or null where the picture shows nothing of it.
    It asks the camera for a newer one, so that a page which asks twice a second shows a moving picture.
``reload``
    Reads the configuration again; answers with its ``sha256``.
``write``
    Writes to the log for a member of the service's group: ``"bytes"`` says how many follow the line, one
    operation of :mod:`edge.daemon.writes`.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from edge.device.rights import user_name
from edge.errors import ControlError

PROTOCOL = 1
COMMANDS = ("status", "capture", "preview", "reload", "write")
SOCKET_NAME = "control.sock"
#: The status as a file beside the socket, for whoever may not command: see :mod:`edge.daemon.status`.
HEARTBEAT_NAME = "status.json"
#: The folder that systemd makes for the service, where a person's shell looks for its socket, too.
SYSTEM_RUNTIME = Path("/run/blastcount")
#: A request is a few dozen bytes; whoever sends more than this is no client of ours.
MAX_REQUEST_BYTES = 4096
#: Longest path of a Unix socket: 108 bytes with the terminating zero, see unix(7).
MAX_PATH_BYTES = 107


def runtime_folder(log_path: Path) -> Path:
    """Folder for the socket and the heartbeat: systemd's ``RuntimeDirectory=``, else one of the user's.

    It is not made here. Two daemons of one user with different logs do not meet.
    """
    first = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if first:
        return Path(first)
    # A log has one writer, so that its path names the daemon. Socket paths are short, log paths need not be.
    name = sha256(os.fsencode(log_path.absolute())).hexdigest()[:12]
    of_session = os.environ.get("XDG_RUNTIME_DIR")
    if of_session:
        return Path(of_session) / "blastcount" / name
    # As for root in a container. In /tmp nobody can put another folder in the place of this one; the server
    # checks whose it is.
    return Path("/tmp") / f"blastcount-{os.geteuid()}-{name}"


def socket_path(log_path: Path) -> Path:
    """Path of the control socket that a daemon with this log listens on."""
    return runtime_folder(log_path) / SOCKET_NAME


class _Request(Struct):
    """A line that asks. What later protocols add is not this one's business: unknown keys are passed over."""

    protocol: Any = None
    command: Any = None
    bytes: Any = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, as the kernel says (unix(7), ``SO_PEERCRED``).

    Attributes
    ----------
    pid, uid : process and user
    """

    pid: int
    uid: int

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Ask the kernel."""
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return cls(pid, uid)

    @property
    def name(self) -> str:
        """The user's name."""
        return user_name(self.uid)

    def __str__(self) -> str:
        """Name user and process, for the journal."""
        return f"user {self.name} ({self.uid}), process {self.pid}"


def encode(record: dict[str, Any]) -> bytes:
    """Write one line."""
    return json.dumps({"protocol": PROTOCOL, **record}).encode("ascii") + b"\n"


def decode_request(line: bytes) -> tuple[str, int]:
    """Read a request and return its command, and how many bytes follow it.

    Raises
    ------
    ControlError
        It is no JSON object, of another protocol, or no known command.

    Examples
    --------
    >>> decode_request(b'{"protocol": 1, "command": "status"}')
    ('status', 0)
    """
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ControlError(f"expected one JSON object a line: {error}", "bad_request") from error
    if request.protocol != PROTOCOL:
        raise ControlError(f"expected protocol {PROTOCOL}, got {request.protocol!r}", "wrong_protocol")
    if request.command not in COMMANDS:
        raise ControlError(
            f"expected one of {', '.join(COMMANDS)}, got {request.command!r}", "unknown_command"
        )
    size = 0 if request.bytes is None else request.bytes
    if type(size) is not int or size < 0 or (request.command != "write" and size):
        raise ControlError(f"expected a number of bytes, got {request.bytes!r}", "bad_request")
    return str(request.command), size
