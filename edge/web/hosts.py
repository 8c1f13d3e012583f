"""Under which names the page answers: those of this machine, any bare address, and the proxy's."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Request
from werkzeug.exceptions import NotFound

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: A Host header that is an address, with or without a port; IPv6 stands in brackets.
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")
#: Under this name a request says that it came by the proxy. No header of a client has such a name.
_BY_PROXY = "blastcount.by_proxy"
#: What a browser leaves out of an address.
_USUAL_PORT = {"http": 80, "https": 443}
#: Provider's share of an IPv6 address: whoever has one address has all that begin so.
_NETWORK_BITS = 64


def machine_names(configured: Iterable[str] = ()) -> list[str]:
    """Names that a browser may call this machine by, for Flask's ``TRUSTED_HOSTS``.

    Parameters
    ----------
    configured : further ones
    """
    own = socket.gethostname().lower()
    return ["localhost", own, f"{own}.local", *(name.lower().rstrip(".") for name in configured)]


class PageRequest(Request):
    """A request that may also name the machine by a bare address, or have come by the proxy.

    A page of another origin whose name was made to point here (DNS rebinding) shows itself by that name. A
    bare address cannot be rebound, and this machine's may change at any time: it needs no list.
    """

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False
    ) -> None:
        """Read the request; bytes of the query that are no text become characters that no page knows."""
        super().__init__(environ, populate_request, shallow)
        self.query_string = self.query_string.decode("utf-8", "replace").encode()

    @property
    def trusted_hosts(self) -> list[str] | None:
        """Names that the Host header is held against; None where it is known to be right."""
        known = self.environ.get(_BY_PROXY) or is_address(self.environ.get("HTTP_HOST", ""))
        return None if known else self._names

    @trusted_hosts.setter
    def trusted_hosts(self, names: list[str] | None) -> None:
        self._names = names


class Proxy:
    """WSGI middleware that sees the page as a proxy's browsers do: scheme, path and address of who asks.

    A request came by the proxy where it comes from this machine itself and names the public host. Everything
    that is true of such requests is taken from the configuration; of what the other side sends only the last
    entry of ``X-Forwarded-For`` is believed, which the proxy added.

    Parameters
    ----------
    application : what lies behind
    public_url : the page's address behind the proxy, as ``review.public_url`` has it; its path is expected in
        front of every path
    """

    def __init__(self, application: WSGIApplication, public_url: str) -> None:
        self._application = application
        parts = urlsplit(public_url.lower())
        self._scheme, self._host = parts.scheme, _with_port(parts.netloc, parts.scheme)
        self._prefix = urlsplit(public_url).path.rstrip("/")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on."""
        host = _with_port(environ.get("HTTP_HOST", "").lower(), self._scheme)
        if host == self._host and is_loopback(environ.get("REMOTE_ADDR", "")):
            path = environ["PATH_INFO"]
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                return NotFound()(environ, start_response)
            environ["PATH_INFO"] = path[len(self._prefix) :]
            environ["SCRIPT_NAME"] = self._prefix
            environ["wsgi.url_scheme"] = self._scheme
            environ[_BY_PROXY] = True
            forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
            if _address(forwarded) is not None:
                environ["REMOTE_ADDR"] = forwarded
        return self._application(environ, start_response)


def origin_of(url: str) -> str:
    """Write the origin of an address as a browser's ``Origin`` header does.

    Examples
    --------
    >>> origin_of("https://Lab.example:443/blast/"), origin_of("http://10.0.0.5:8321/")
    ('https://lab.example', 'http://10.0.0.5:8321')
    """
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc.removesuffix(f':{_USUAL_PORT[parts.scheme]}')}"


def network_of(address: str) -> str:
    """Give what an address is limited under: itself, or for IPv6 the network that somebody has at least.

    Examples
    --------
    >>> network_of("10.0.0.5"), network_of("2001:db8::1:2:3:4"), network_of("::ffff:10.0.0.5")
    ('10.0.0.5', '2001:db8::/64', '10.0.0.5')
    """
    found = _address(address)
    if not isinstance(found, ipaddress.IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _NETWORK_BITS), strict=False))


def is_address(host: str) -> bool:
    """Whether a Host header names an address.

    Examples
    --------
    >>> [is_address(host) for host in ("10.0.0.5:8321", "[::1]", "localhost", "127.0.0.1.evil.example")]
    [True, True, False, False]
    """
    found = _ADDRESS.fullmatch(host)
    return found is not None and _address(found["v6"] or found["v4"]) is not None


def is_loopback(address: str) -> bool:
    """Whether an address, or ``localhost``, is this machine for itself."""
    if address == "localhost":
        return True
    found = _address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return found is not None and (mapped or found).is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _with_port(host: str, scheme: str) -> str:
    """Write a host with its port, also where that is the usual one."""
    return host if re.search(r":[0-9]+$", host) else f"{host}:{_USUAL_PORT[scheme]}"
