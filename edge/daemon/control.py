"""The control socket: takes commands, one JSON object a line, in threads of its own."""

from __future__ import annotations

import logging
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from edge.daemon.protocol import MAX_PATH_BYTES, MAX_REQUEST_BYTES, Peer, decode_request, encode
from edge.daemon.writes import MAX_BODY_BYTES
from edge.errors import ControlError

_log = logging.getLogger(__name__)

#: A page asks for previews and status at the same time as a person's shell; more than this is a fault.
MAX_CLIENTS = 16
#: A connection on which nobody asks anything is closed after this time.
IDLE_S = 60.0

#: The server looks this often whether it shall end.
POLL_S = 0.5

#: Bodies up to here are read from every client at once, larger ones one at a time: together they take less
#: memory than one of the largest.
SMALL_BODY_BYTES = 1_000_000
#: A body has to come within this time, and its turn to be read, however slow its sender is.
BODY_S = 20.0

#: Answers one command.
Answer = Callable[[str], dict[str, Any]]
#: Does what a body asks for, for whoever has sent it.
Writer = Callable[[bytes, Peer], dict[str, Any]]


def _write_nothing(_body: bytes, _peer: Peer) -> dict[str, Any]:
    raise ControlError("this daemon writes for nobody", "unknown_command")


class ControlServer:
    """Listens on a Unix socket that its owner and the owner's group may open, while it is entered.

    The folder decides whether the group gets as far: one that is made here is the owner's alone, systemd's is
    the group's, too.

    Parameters
    ----------
    path : where to listen; its folder is made, for the owner alone
    answer : called in a thread a client; raises ControlError to refuse
    write : called so with what a client wants to be written
    """

    def __init__(self, path: Path, answer: Answer, write: Writer = _write_nothing) -> None:
        self.path = path
        self._answer = answer
        self._write = write
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises
        ------
        ControlError
            Another daemon listens there already, or the socket cannot be made.
        """
        path = self.path
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise ControlError(f"{path}: too long for a socket, at most {MAX_PATH_BYTES} bytes")
        try:
            # Folders that exist keep their rights: systemd has made its own.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = path.parent.stat()
            if folder.st_uid != os.geteuid() or folder.st_mode & 0o022:
                raise ControlError(
                    f"{path.parent}: must belong to this user, with no others writing; remove it"
                )
            if path.exists():
                if _somebody_listens(path):
                    raise ControlError(
                        f"{path}: another daemon with this log is running; stop it first, "
                        "or give this one a log of its own",
                        "already_running",
                    )
                path.unlink()  # left behind by one that was killed
            before = os.umask(0o117)  # so that the socket is never open to others, not even for a moment
            try:
                self._server = _Server(str(path), self._answer, self._write)
            finally:
                os.umask(before)
        except OSError as error:
            raise ControlError(f"{path}: the control socket cannot be made: {error.strerror}") from error
        threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="control", daemon=True
        ).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self.path.unlink(missing_ok=True)
            self._server = None


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = MAX_CLIENTS  # a connection beyond this is refused by the kernel
    block_on_close = False  # a client that hangs must not keep the daemon from stopping

    def __init__(self, path: str, answer: Answer, write: Writer) -> None:
        self.answer = answer
        self.write = write
        self.large_bodies = threading.Lock()
        self.places = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__(path, _Client)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as in socketserver
        """Note a client's failure; the default prints a traceback."""
        _log.warning("control socket: a client failed", exc_info=True)


class _UnreadError(ControlError):
    """A body was not read to its end: what comes after it is no request."""


class _Client(socketserver.StreamRequestHandler):
    timeout = IDLE_S

    def handle(self) -> None:
        """Answer lines until the client closes, says nothing for long, or says too much."""
        assert isinstance(self.server, _Server)
        if not self.server.places.acquire(blocking=False):
            with suppress(OSError):
                self._refuse(ControlError(f"at most {MAX_CLIENTS} clients at once", "busy"))
            return
        try:
            while line := self.rfile.readline(MAX_REQUEST_BYTES):
                if not line.endswith(b"\n"):
                    too_long = f"a request has at most {MAX_REQUEST_BYTES} bytes"
                    self._refuse(ControlError(too_long, "bad_request"))
                    return
                try:
                    result = self._result(*decode_request(line))
                except _UnreadError as error:
                    self._refuse(error)
                    return
                except ControlError as error:
                    self._refuse(error)
                else:
                    self.wfile.write(encode({"ok": True, "result": result}))
        except OSError as error:  # the client has gone
            _log.debug("control socket: %s", error)
        finally:
            self.server.places.release()

    def _result(self, command: str, size: int) -> dict[str, Any]:
        assert isinstance(self.server, _Server)
        if command != "write":
            return self.server.answer(command)
        if size > MAX_BODY_BYTES:
            raise _UnreadError(f"at most {MAX_BODY_BYTES} bytes are taken, got {size}", "bad_request")
        deadline_s = time.monotonic() + BODY_S
        with ExitStack() as stack:
            if size > SMALL_BODY_BYTES:
                if not self.server.large_bodies.acquire(timeout=BODY_S):
                    raise _UnreadError("another client is sending pictures; try again", "busy")
                stack.callback(self.server.large_bodies.release)
            return self.server.write(self._body(size, deadline_s), Peer.of(self.connection))

    def _body(self, size: int, deadline_s: float) -> bytes:
        body = bytearray()
        try:
            while len(body) < size:
                self.connection.settimeout(max(0.001, deadline_s - time.monotonic()))
                part = self.rfile.read1(size - len(body))
                if not part:
                    raise _UnreadError(f"{size} bytes were announced and {len(body)} came", "bad_request")
                body += part
        except TimeoutError:
            raise _UnreadError(f"{size} bytes did not come within {BODY_S:g} s", "bad_request") from None
        self.connection.settimeout(IDLE_S)
        return bytes(body)

    def _refuse(self, error: ControlError) -> None:
        self.wfile.write(encode({"ok": False, "error": {"reason": error.reason, "message": str(error)}}))
