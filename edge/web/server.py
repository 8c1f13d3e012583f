"""The server itself: waitress around the application, until it is told to stop."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from waitress.server import create_server

from edge.device.printable import printable
from edge.errors import ServerError
from edge.web.app import MAX_BODY_BYTES, REVIEW, Site, create_app
from edge.web.hosts import Proxy
from edge.web.limits import FloodGate
from edge.web.setup import Setup

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger(__name__)

#: Threads that answer. A page is mostly reading the log; more would only take memory from the count.
_THREADS = 4
#: A browser opens six connections: ten browsers at once, and a flood gets no more files than that.
_CONNECTIONS = 64
#: A connection that says nothing is closed after this time.
_SILENCE_S = 20
#: bytes of a request's headers. The cookie is the largest, below 1 kB.
_MAX_HEADER_BYTES = 8192
#: bytes of an answer that wait in memory for a slow browser, more in a file. A page of 5,000 cells is 5 MB;
#: with the 1 MB that waitress would keep in memory, the process held 8 MB more.
_WAITING_BYTES = 64 * 1024
#: A name of <malloc.h>.
_M_ARENA_MAX = -8
#: The count comes first: the server takes what the daemon leaves.
_NICENESS = 5


def serve(setup: Setup, port: int, ready: Callable[[int], None], site: Site = REVIEW) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Parameters
    ----------
    setup : what the pages need, and the address to listen on
    port : TCP port to listen on; 0 for any that is free
    ready : called once with the port, when a browser can open the page
    site : the pages

    Raises
    ------
    ServerError
        The address cannot be listened on.
    """
    # The name may be an IPv6 address, too, and waitress then has no one port to tell.
    host = "127.0.0.1" if setup.host == "localhost" else setup.host
    try:
        server = create_server(
            guarded(setup, site),
            host=host,
            port=port,
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_timeout=_SILENCE_S,
            cleanup_interval=5,
            max_request_header_size=_MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES,
            outbuf_overflow=_WAITING_BYTES,
            ident=None,
            # The proxy's own layer believes one of them, and only from a proxy.
            clear_untrusted_proxy_headers=setup.public_url is None,
        )
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror}; is it in use? Choose another with --port"
        ) from error
    # How full the queue of a flood is helps nobody; the refusals are written down by the gate.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        ready(server.effective_port)
        server.run()  # ends on the SystemExit of a signal
    finally:
        server.close()
        setup.refusals.flush()


def guarded(setup: Setup, site: Site = REVIEW) -> WSGIApplication:
    """Put the application behind the limits, and behind what a proxy makes of requests."""
    application: WSGIApplication = FloodGate(create_app(setup, site), setup.refusals)
    return application if setup.public_url is None else Proxy(application, setup.public_url)


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
