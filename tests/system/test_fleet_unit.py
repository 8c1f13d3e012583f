"""docs/fleet.md as a newcomer types it, in a Debian booted by systemd-nspawn.

Broker, collector and device are on one machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.system.fleet import PASSWORD, ROOT
from tests.system.machine import Machine, booted
from tests.system.pages import MAKE_PERSON, PERSON, Reader, blocks, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PAGE = ROOT / "docs" / "fleet.md"
CONFIG = '[camera]\nsource = "rendered"\nwidth = 800\nheight = 600\ninterval_s = 0.5\n'
CLONE = f"/home/{PERSON}/blastcount"
#: What the collector and the device have besides the program, of the versions that are tested with.
EXTRAS = ("paho-mqtt", "psycopg", "psycopg-binary", "typing-extensions")
#: What is typed in another way: passwords are asked for, and nothing is downloaded.
TYPED = {
    "sudo mosquitto_passwd": f"printf '{PASSWORD}\\n{PASSWORD}\\n' | sudo mosquitto_passwd",
    "'.[collector]'": "'blastcount[collector]'",
    "sudo nano /etc/blastcount/blastcount.toml": "sudo tee -a /etc/blastcount/blastcount.toml <forward.toml",
    "collector/bin/blastcount collect run": f"sudo systemd-run --uid {PERSON} --unit collect "
    f"--working-directory {CLONE} {CLONE}/collector/bin/blastcount collect run",
}


@pytest.fixture(scope="module")
def machine(installed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = installed(tmp_path_factory.mktemp("fleet") / "root", "sudo", "openssl", "mosquitto", "postgresql")
    (root / "etc/blastcount/blastcount.toml").write_text(CONFIG)
    with (root / "etc/hosts").open("a") as hosts:
        hosts.write("127.0.0.1 broker.lab.example\n")
    extras = [f"{name}=={version(name)}" for name in EXTRAS]
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*download, "-d", root / "root/wheels", *extras], check=True)
    shutil.copytree(root / "root/wheels", root / "srv/wheels")
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")
    done = subprocess.run(
        ["chroot", root, "sh", "-ec", MAKE_PERSON], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    clone = root / CLONE[1:]
    shutil.copytree(ROOT / "edge/fleet", clone / "edge/fleet")
    collector, forward = blocks(PAGE, "toml")
    for name, text in {
        "collector.toml": collector,
        "forward.toml": forward,
        "collector.password": PASSWORD,
        "broker.password": PASSWORD,
    }.items():
        (clone / name).write_text(text)
    subprocess.run(["chroot", root, "chown", "-R", f"{PERSON}:", CLONE], check=True)
    with booted(root) as machine:
        yield machine


def rows(machine: Machine) -> int:
    """How many rows the collector has."""
    asked = "SELECT count(*) FROM link"
    done = machine.done("runuser", "-l", PERSON, "-c", f"psql -qAt blastcount -c '{asked}'")
    return int(done.stdout or 0)


def said(machine: Machine, unit: str) -> str:
    return machine.done("journalctl", "-u", unit, "--no-pager").stdout[-3000:]


def test_a_device_sends_to_a_broker_as_the_page_says(machine: Machine) -> None:
    machine.wait(lambda: machine.show("ActiveState") == "active", "the daemon")
    reader = Reader(machine)
    reader.types(f"cd {CLONE}")
    for line in commands(PAGE):
        if line.startswith(("blastcount ", "sudo apt ")):
            continue  # lists of commands, and what is there
        for words, typed in TYPED.items():
            line = line.replace(words, typed)
        reader.types(line)
    machine.wait(lambda: rows(machine) > 3, f"rows: {said(machine, 'blastcount-forward')}")

    # A broker that is restarted, or killed, is waited for, and nothing is missing afterwards.
    for how in (("restart",), ("kill", "-s", "KILL")):
        machine.run("systemctl", *how, "mosquitto")
        machine.wait(
            lambda: (
                machine.run("systemctl", "is-active", "mosquitto", check=False) == "active"
                or not machine.done("systemctl", "start", "mosquitto").returncode
            ),
            "the broker",
        )
        before = rows(machine)
        machine.wait(lambda before=before: rows(machine) > before + 3, f"rows after {how[0]}")
    query = "SELECT count(*), max(number), (SELECT count(*) FROM standing_incident) FROM link"

    def is_whole() -> bool:
        told = machine.done("runuser", "-l", PERSON, "-c", f"psql -qAt blastcount -c '{query}'").stdout
        count, highest, standing = (int(part) for part in told.strip().split("|"))
        return (count, standing) == (highest, 0)

    machine.wait(is_whole, "no row is missing")


def test_the_one_that_sends_has_a_network_and_nothing_else_and_the_daemon_has_none(machine: Machine) -> None:
    def shown(unit: str, name: str) -> str:
        return machine.run("systemctl", "show", unit, "--value", "-p", name)

    assert shown("blastcount-forward", "ActiveState") == "active"
    assert shown("blastcount-forward", "NRestarts") == "0", said(machine, "blastcount-forward")
    daemon, sender = (shown(unit, "MainPID") for unit in ("blastcount", "blastcount-forward"))
    network = {pid: machine.run("readlink", f"/proc/{pid}/ns/net") for pid in (daemon, sender, "1")}
    assert network[daemon] != network["1"]
    assert network[sender] == network["1"]
    devices = machine.run("nsenter", "-t", daemon, "-n", "cat", "/proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    status = machine.run("cat", f"/proc/{sender}/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    assert machine.run("stat", "-c", "%U", f"/proc/{sender}") == "blastcount-forward"
    # No socket of this machine's: neither the control socket nor any other.
    assert shown("blastcount-forward", "RestrictAddressFamilies") == "AF_INET AF_INET6"
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_kb <= 45_000
