"""Under which addresses other devices reach this machine."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_INTERFACES = Path("/sys/class/net")
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
#: Requests and flags of <linux/sockios.h> and <linux/if.h>.
_GET_FLAGS, _GET_ADDRESS = 0x8913, 0x8915
_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40
#: Scope and flags of <net/addrconf.h> and <linux/if_addr.h>: reached from other networks; not to be used.
_GLOBAL, _UNUSABLE = 0x00, 0x08 | 0x20 | 0x40
#: Bytes of a name and of a whole ``struct ifreq``; where in it an IPv4 address lies.
_NAME_BYTES, _REQUEST_BYTES, _ADDRESS_AT = 16, 40, slice(20, 24)
#: For documentation (RFC 5737): no packet is sent there, the kernel is only asked by which way it would go.
_ELSEWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """One address of this machine.

    Attributes
    ----------
    interface : the network's name here, such as ``wlan0``
    address : without the network's length
    """

    interface: str
    address: IPv4Address | IPv6Address


def network_addresses() -> list[NetworkAddress]:
    """List the addresses under which other devices reach this machine, the way out of it first.

    Loopback, link-local addresses of IPv6, which a browser cannot be given, and networks without a cable or
    Wi-Fi are left out.
    """
    way_out = _way_out()
    found = [*_ipv4(), *_ipv6()]
    return sorted(found, key=lambda one: (one.address != way_out, one.address.version, one.interface))


def _names() -> list[str]:
    # Not socket.if_nameindex: it asks by netlink, which the service's unit does not allow.
    return sorted(entry.name for entry in _INTERFACES.iterdir()) if _INTERFACES.is_dir() else []


def _ipv4() -> list[NetworkAddress]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in _names():
            request = name.encode()[: _NAME_BYTES - 1].ljust(_REQUEST_BYTES, b"\0")
            try:
                if not _is_connected(fcntl.ioctl(sock, _GET_FLAGS, request)):
                    continue
                answer = fcntl.ioctl(sock, _GET_ADDRESS, request)
            except OSError:  # it has no address, or has just been unplugged
                continue
            found.append(NetworkAddress(name, IPv4Address(answer[_ADDRESS_AT])))
    return found


def _is_connected(answer: bytes) -> bool:
    (flags,) = struct.unpack_from("H", answer, _NAME_BYTES)
    return bool(flags & _UP and flags & _RUNNING and not flags & _LOOPBACK)


def _ipv6() -> list[NetworkAddress]:
    if not _IPV6_ADDRESSES.exists():
        return []
    found = []
    for line in _IPV6_ADDRESSES.read_text(encoding="ascii").splitlines():
        digits, _index, _length, scope, flags, name = line.split()
        if int(scope, 16) == _GLOBAL and not int(flags, 16) & _UNUSABLE:
            found.append(NetworkAddress(name, IPv6Address(bytes.fromhex(digits))))
    return found


def _way_out() -> IPv4Address | IPv6Address | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_ELSEWHERE)
        except OSError:  # there is none
            return None
        return ip_address(sock.getsockname()[0])
