"""The addresses of this machine, as the kernel has them."""

from __future__ import annotations

import json
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from edge.device import network
from edge.device.network import network_addresses


def test_they_are_those_that_the_system_lists() -> None:
    if shutil.which("ip") is None:
        pytest.skip("needs ip of iproute2")
    listed = json.loads(
        subprocess.run(["ip", "-j", "addr"], capture_output=True, check=True, timeout=60).stdout
    )
    expected = set()
    for interface in listed:
        if "LOOPBACK" in interface["flags"] or not {"UP", "LOWER_UP"} <= set(interface["flags"]):
            continue
        usable = [
            one for one in interface["addr_info"] if one["scope"] == "global" and not one.get("deprecated")
        ]
        first = [one["local"] for one in usable if one["family"] == "inet"][:1]
        expected |= {
            ip_address(text) for text in (*first, *(o["local"] for o in usable if o["family"] == "inet6"))
        }
    found = network_addresses()
    assert {one.address for one in found} == expected
    assert not any(one.address.is_loopback or one.address.is_link_local for one in found)


def test_ipv6_addresses_that_a_browser_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "if_inet6"
    listed.write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe80000000000000ba27ebfffe000001 03 40 20 80    wlan0\n"
        "20010db8000000000000000000000005 03 40 00 00    wlan0\n"
        "20010db8000000000000000000000006 03 40 00 20    wlan0\n"  # deprecated
        "20010db8000000000000000000000007 03 40 00 40    wlan0\n"  # not yet known to be free
    )
    monkeypatch.setattr(network, "_IPV6_ADDRESSES", listed)
    assert [str(one.address) for one in network._ipv6()] == ["2001:db8::5"]


def test_a_machine_without_networks_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_IPV6_ADDRESSES", tmp_path / "absent")
    monkeypatch.setattr(network, "_INTERFACES", tmp_path / "absent")
    assert network_addresses() == []
