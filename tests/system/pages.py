"""The commands of a page, typed as its reader types them: in order, by one person, logged in for each."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from tests.system.machine import Machine

#: Raspberry Pi OS gives its first user `sudo` without a password, and the journal.
PERSON = "siti"
MAKE_PERSON = f"""
useradd --create-home --shell /bin/bash --groups sudo,adm {PERSON}
echo '{PERSON} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/first-user
"""
#: What stands in a page for something that the reader knows.
#: The camera's environment is that of the service's unit.
KNOWN = {
    "git clone URL": "git clone file:///srv/blastcount.git",
    "blastcount run --source picamera": "env LD_PRELOAD=/opt/virtual/shim.so PYTHONPATH=/opt/virtual "
    "blastcount run --source picamera",
}
#: Commands that go on until Ctrl-C, which comes after so many seconds.
ENDLESS = {
    "journalctl -u blastcount -f": 5,
    "blastcount run --source picamera --log fields.db --verbose": 60,
}
#: Commands that cannot be typed in a machine without a Raspberry Pi, network and microscope, and why.
NOT_HERE = {
    "sudo blastcount update": "needs a signed package of a newer version: test_update.py has some",
    "make wheelhouse": "on another computer, with a network: run there, with this architecture",
    "sudo apt install python3-picamera2": "in Raspberry Pi's packages, not in Debian's",
    "rpicam-hello --list-cameras": "in Raspberry Pi's packages, not in Debian's",
    "sudo apt install python3-gpiozero python3-lgpio": "would be downloaded; no GPIO either",
    "sudo -u blastcount blastcount calibrate blank": "needs a place without cells under the camera",
    "sudo -u blastcount blastcount calibrate micrometer": "needs a stage micrometer under the camera",
    "sudo -u blastcount blastcount calibrate show": "shows what the two before it have measured",
    "ls -l /dev/v4l/by-id/": "needs a USB camera",
    "blastcount run --source v4l2": "needs a USB camera",
}


def blocks(page: Path, language: str = "") -> list[str]:
    """Read what stands between fences that name a language; those of the shell's name none."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def commands(page: Path) -> list[str]:
    """Read the commands of a page's blocks, continuation lines joined."""
    lines = "".join(blocks(page)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


def is_not_here(line: str) -> bool:
    """Whether a command is one of those that cannot be typed in a test."""
    return any(line.startswith(start) for start in NOT_HERE)


class Reader:
    """A person at the machine, who stays in the folder that was gone to last."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._folder = f"/home/{PERSON}"

    def types_until_it_is_done(self, line: str) -> None:
        """Type a command again where the machine was too busy to do it in the time that it has."""
        self._machine.wait(lambda: self._done(line).returncode == 0, line)

    def types(self, line: str, expected: int = 0) -> str:
        """Type a command; return what it printed."""
        done = self._done(line)
        code = expected if line not in ENDLESS else 124  # what timeout ends with
        assert done.returncode == code, f"{line}: {done.stdout}{done.stderr}{self._machine.journal()}"
        return done.stdout + done.stderr

    def _done(self, line: str) -> subprocess.CompletedProcess[str]:
        seconds = ENDLESS.get(line)
        for words, meaning in KNOWN.items():
            line = line.replace(words, meaning)
        if seconds is not None:
            line = f"timeout --signal INT {seconds} {line}"
        script = f"cd {shlex.quote(self._folder)}\n{line}\ncode=$?\npwd >/tmp/{PERSON}.folder\nexit $code"
        done: subprocess.CompletedProcess[str] = self._machine.done("runuser", "-l", PERSON, "-c", script)
        self._folder = self._machine.run("cat", f"/tmp/{PERSON}.folder")
        return done
