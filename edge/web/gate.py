"""The outermost door: refuses floods and forged host names before anything else is done about a request."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edge.web.limits import RateLimit, RefusalLog

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Tokens of an address: a page of 200 cells takes 210, so that a person who leafs quickly gets through.
TOKENS_PER_S = 100.0
BURST = 600
#: A page reads the log, a picture only a file.
PAGE_COST, FILE_COST = 10.0, 1.0
_FILES = ("/pictures/", "/static/")


def known_names(extra: Iterable[str] = ()) -> frozenset[str]:
    """Names that a browser may call this machine by, besides its addresses.

    Parameters
    ----------
    extra : further ones, from the configuration
    """
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", *(name.lower().rstrip(".") for name in extra)})


def host_is_known(host: str, names: frozenset[str], *, loopback: bool) -> bool:
    """Whether the Host header of a request is one under which this server may be reached.

    A page of another origin whose name was made to point here (DNS rebinding) shows itself by that name. A
    bare address cannot be rebound, so on a network any address will do; on loopback only loopback's.

    Examples
    --------
    >>> names = frozenset({"localhost"})
    >>> [host_is_known(h, names, loopback=True) for h in ("localhost:8321", "[::1]:8321", "10.0.0.5", "a.b")]
    [True, True, False, False]
    """
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if port and not (port.isascii() and port.isdecimal()):
        return False
    name = name.lower().removesuffix(".")
    if name in names:
        return True
    try:
        address = ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return address.is_loopback or not loopback


class Gate:
    """WSGI middleware: a rate for each address, and only known host names.

    Parameters
    ----------
    application : what lies behind
    names : from :func:`known_names`
    loopback : only this machine can reach the server
    refusals : where refusals are written
    limit : how often an address may ask
    """

    def __init__(
        self,
        application: WSGIApplication,
        names: frozenset[str],
        *,
        loopback: bool,
        refusals: RefusalLog,
        limit: RateLimit | None = None,
    ) -> None:
        self._application = application
        self._names = names
        self._loopback = loopback
        self._refusals = refusals
        self._limit = limit or RateLimit(TOKENS_PER_S, BURST)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on, or refuse it."""
        address = environ.get("REMOTE_ADDR", "")
        cost = FILE_COST if environ.get("PATH_INFO", "").startswith(_FILES) else PAGE_COST
        if not self._limit.allows(address, cost):
            self._refusals.add(address, "too many requests")
            return _refuse(start_response, "429 Too Many Requests", [("Retry-After", "2")])
        if not host_is_known(environ.get("HTTP_HOST", ""), self._names, loopback=self._loopback):
            self._refusals.add(address, "unknown host name")
            return _refuse(start_response, "421 Misdirected Request", [])
        return self._application(environ, start_response)


def _refuse(
    start_response: Callable[..., object], status: str, headers: list[tuple[str, str]]
) -> Iterable[bytes]:
    body = status.encode() + b"\n"
    plain = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    start_response(status, [*plain, *headers])
    return [body]
