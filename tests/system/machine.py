"""A small Debian booted by systemd-nspawn, whose first process is a real systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

COUNT = (
    "import json, sqlite3; c = sqlite3.connect('file:/var/lib/blastcount/blastcount.db?mode=ro', uri=True); "
    "print(json.dumps([c.execute('SELECT count(*) FROM field').fetchone()[0], "
    "c.execute('PRAGMA integrity_check').fetchone()[0]]))"
)

#: For what takes seconds where nothing else runs: a command, and what the service does by itself.
COMMAND_S, WAIT_S = 1800.0, 600.0


class Machine:
    """A Debian that is on; see :func:`booted`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._boot()

    def _boot(self) -> None:
        boot = ["systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit",
                "--private-network", "--console=pipe"]  # fmt: skip
        with (self.root.parent / "console.log").open("ab") as console:
            self._process = subprocess.Popen(boot, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self.leader = _leader(self._process)
            self.wait(lambda: self.run("systemctl", "is-system-running", check=False) != "", "boot")
        except BaseException:
            self.cut_the_power()
            raise

    def switch_off(self) -> None:
        """Let every service stop."""
        self.run("systemctl", "poweroff", check=False)
        try:
            self._process.wait(WAIT_S)
        finally:
            self.cut_the_power()

    def cut_the_power(self, *, and_start: bool = False) -> None:
        """End every process at once, without a chance to say anything, and boot again where that is wanted.

        What the kernel has not yet written is not lost here; test_log_power_cut.py is about that.
        """
        # PID 1 takes all others of the machine with it.
        if self._process.poll() is None and getattr(self, "leader", None):
            os.kill(self.leader, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        if and_start:
            self._boot()

    def done(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        inside = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-p", "-n", "--wd=/", *command]
        # Of this machine's settings, such as those of pip, nothing is known there.
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        }
        return subprocess.run(
            inside, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside that must not fail; return what it printed."""
        done = self.done(*command)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.journal()}"
        return done.stdout.strip()

    def journal(self) -> str:
        """What the service has said of late."""
        return self.done("journalctl", "-u", "blastcount", "--no-pager", "-o", "short-precise").stdout[-6000:]

    def show(self, name: str) -> str:
        """A property of the service, as systemd has it."""
        return self.run("systemctl", "show", "blastcount", "--value", "-p", name)

    def fields(self) -> int:
        """Number of fields in the log, whose integrity is checked."""
        fields, integrity = json.loads(self.run("/opt/blastcount/bin/python", "-c", COUNT))
        assert integrity == "ok"
        return int(fields)

    def configure(self, text: str) -> None:
        """Write the configuration."""
        (self.root / "etc/blastcount/blastcount.toml").write_text(text)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
        """Wait until something is so; nothing here depends on how long that takes."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: waited too long\n{self.journal()}"
            time.sleep(0.3)


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot a tree by systemd-nspawn, and switch it off at the end."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("needs systemd-nspawn: apt-get install systemd-container")
    machine = Machine(root)
    try:
        yield machine
    finally:
        machine.switch_off()


@contextmanager
def cable(machine: Machine) -> Iterator[str]:
    """Join a machine's network, which has no other way out, with this one; gives the address that it has."""
    here, there = (f"bc{machine.leader}", "10.84.0.2/24"), ("bc-there", "10.84.0.1/24")
    inside = ["nsenter", "-t", str(machine.leader), "-n"]
    ends = [here[0], "type", "veth", "peer", "name", there[0], "netns", str(machine.leader)]
    subprocess.run(["ip", "link", "add", *ends], check=True)
    try:
        for where, (device, address) in (([], here), (inside, there)):
            subprocess.run([*where, "ip", "address", "add", address, "dev", device], check=True)
            subprocess.run([*where, "ip", "link", "set", device, "up"], check=True)
        yield there[1].partition("/")[0]
    finally:
        subprocess.run(["ip", "link", "delete", here[0]], check=True)


def _leader(process: subprocess.Popen[bytes]) -> int:
    """Find the process that is PID 1 inside."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.skip("systemd-nspawn cannot boot here")
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        if found.stdout.split():
            leader = int(found.stdout.split()[0])
            if Path(f"/proc/{leader}/comm").read_text().strip() == "systemd":
                return leader
        time.sleep(0.2)
    pytest.skip("systemd did not start inside systemd-nspawn")
