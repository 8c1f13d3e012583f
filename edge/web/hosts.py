"""Under which names the page answers: those of this machine, and any bare address."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from flask import Request

#: A Host header that is an address, with or without a port; IPv6 stands in brackets.
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")


def machine_names(configured: Iterable[str] = ()) -> list[str]:
    """Names that a browser may call this machine by, for Flask's ``TRUSTED_HOSTS``.

    Parameters
    ----------
    configured : further ones
    """
    own = socket.gethostname().lower()
    return ["localhost", own, f"{own}.local", *(name.lower().rstrip(".") for name in configured)]


class PageRequest(Request):
    """A request that may also name the machine by a bare address.

    A page of another origin whose name was made to point here (DNS rebinding) shows itself by that name. A
    bare address cannot be rebound, and this machine's may change at any time: it needs no list.
    """

    @property
    def trusted_hosts(self) -> list[str] | None:
        """Names that the Host header is held against; None where it is an address."""
        return None if is_address(self.environ.get("HTTP_HOST", "")) else self._names

    @trusted_hosts.setter
    def trusted_hosts(self, names: list[str] | None) -> None:
        self._names = names


def is_address(host: str) -> bool:
    """Whether a Host header names an address.

    Examples
    --------
    >>> [is_address(host) for host in ("10.0.0.5:8321", "[::1]", "localhost", "127.0.0.1.evil.example")]
    [True, True, False, False]
    """
    found = _ADDRESS.fullmatch(host)
    if found is None:
        return False
    try:
        ipaddress.ip_address(found["v6"] or found["v4"])
    except ValueError:
        return False
    return True
