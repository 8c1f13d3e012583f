"""At which addresses a browser opens the page, and how a phone gets one of them: as a QR code."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from io import StringIO

import segno

from edge.device.network import network_addresses
from edge.errors import ServerError

NO_NETWORK = (
    "no network: this machine has no address that a phone could reach; connect it to the phone's network, or "
    "let it make a Wi-Fi of its own, then try again"
)
#: Empty modules around a code: the standard's four (ISO/IEC 18004), and two to fit on a terminal.
_BORDER, _TERMINAL_BORDER = 4, 2
#: White on black whatever a terminal's colours are, and back: not every phone reads the negative.
_COLOURS, _NO_COLOURS = "\033[97;40m", "\033[0m"


@dataclass(frozen=True, slots=True)
class PageAddress:
    """An address of the page.

    Attributes
    ----------
    url : what a browser is given, with a slash at its end
    network : name of the network that it is in; empty where none has to be named
    """

    url: str
    network: str = ""


def page_addresses(host: str, port: int, public_url: str | None = None) -> list[PageAddress]:
    """List the addresses at which a browser opens the page.

    Parameters
    ----------
    host, port : what is listened on; ``0.0.0.0`` and ``::`` are every address of this machine
    public_url : where a proxy shows the page

    Returns
    -------
    empty where the machine is listening for a network and has none

    Examples
    --------
    >>> page_addresses("::1", 8321)
    [PageAddress(url='http://[::1]:8321/', network='')]
    >>> page_addresses("127.0.0.1", 8321, "https://lab.example/blast")
    [PageAddress(url='https://lab.example/blast/', network='')]
    """
    if public_url is not None:
        return [PageAddress(f"{public_url.rstrip('/')}/")]
    listening = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    if not listening.is_unspecified:
        return [PageAddress(_url(str(listening), port))]
    return [
        PageAddress(_url(str(one.address), port), one.interface)
        for one in network_addresses()
        if one.address.version == listening.version
    ]


def every_address() -> str:
    """Give what a page listens on to be reached by a phone.

    Raises
    ------
    ServerError
        This machine has no network.
    """
    versions = {one.address.version for one in network_addresses()}
    if not versions:
        raise ServerError(NO_NETWORK)
    return "0.0.0.0" if 4 in versions else "::"


def login_url(address: PageAddress, token: str) -> str:
    """Write the address that opens the page with its token: what follows ``#`` is sent to nobody."""
    return f"{address.url}login#{token}"


def qr_text(text: str) -> str:
    """Draw a QR code for a terminal."""
    drawn = StringIO()
    segno.make_qr(text, error="l", boost_error=False).terminal(drawn, border=_TERMINAL_BORDER, compact=True)
    return "".join(f"{_COLOURS}{line}{_NO_COLOURS}\n" for line in drawn.getvalue().splitlines())


def qr_svg(text: str) -> str:
    """Draw a QR code as an SVG element for a page; its size and its ground are the style's."""
    return segno.make_qr(text).svg_inline(border=_BORDER, svgclass="qr", omitsize=True)


def _url(address: str, port: int) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"
