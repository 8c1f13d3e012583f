"""The server itself: waitress around the application, until it is told to stop."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from waitress.server import create_server

from edge.device.printable import printable
from edge.errors import ServerError
from edge.web.app import MAX_BODY_BYTES, create_app
from edge.web.gate import Gate, known_names
from edge.web.setup import Setup

_log = logging.getLogger(__name__)

#: Threads that answer. A page is mostly reading the log; more would only take memory from the count.
_THREADS = 4
#: A browser opens six connections: ten browsers at once, and a flood gets no more files than that.
_CONNECTIONS = 64
#: A connection that says nothing is closed after this time.
_SILENCE_S = 20
#: bytes of a request's headers. The cookie is the largest, below 1 kB.
_MAX_HEADER_BYTES = 8192
#: A name of <malloc.h>.
_M_ARENA_MAX = -8
#: The count comes first: the server takes what the daemon leaves.
_NICENESS = 5


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the server listens.

    Attributes
    ----------
    host, port : address and TCP port; port 0 for any that is free
    loopback : only this machine can reach it
    names : further names that browsers may use
    """

    host: str
    port: int
    loopback: bool
    names: tuple[str, ...] = ()


def serve(setup: Setup, binding: Binding, ready: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Parameters
    ----------
    setup : what the pages need
    binding : where to listen
    ready : called once with the page's address, when a browser can open it

    Raises
    ------
    ServerError
        The address cannot be listened on.
    """
    gate = Gate(
        create_app(setup), known_names(binding.names), loopback=binding.loopback, refusals=setup.refusals
    )
    try:
        server = create_server(
            gate,
            host=binding.host,
            port=binding.port,
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_timeout=_SILENCE_S,
            cleanup_interval=5,
            max_request_header_size=_MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        raise ServerError(
            f"cannot listen on {binding.host} port {binding.port}: {error.strerror}; "
            "is it in use? Choose another with --port"
        ) from error
    # How full the queue of a flood is helps nobody; the refusals are written down by the gate.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        with _stopped_by_signals():
            port = server.effective_port
            host = f"[{binding.host}]" if ":" in binding.host else binding.host
            ready(f"http://{host}:{port}/")
            server.run()  # ends on the SystemExit of a signal
    finally:
        server.close()
        setup.refusals.flush()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def give_way() -> None:
    """Take what the count leaves of the processor, and little memory.

    By default the C library keeps a heap for each thread that allocates, and each grows to the largest page;
    one heap for all takes 18 MB less after pages of 2,000 cells.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc has it, musl does not
        mallopt(_M_ARENA_MAX, 1)
    try:
        os.nice(_NICENESS)
    except OSError as error:
        _log.warning("the priority cannot be lowered: %s", printable(error))


def stop_with_stdin() -> None:
    """Stop when standard input ends: the daemon holds its other end, and has ended then, however it ended."""

    def watch() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
