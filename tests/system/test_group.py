"""One log a device, with real users: the service's, a member of its group, somebody else, and root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.rendered import RenderSettings, render_field

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICE, MEMBER, OUTSIDER, LATE = 970, 1970, 1971, 1972
USERS = {SERVICE: "blastcount", MEMBER: "siti", OUTSIDER: "budi", LATE: "ayu"}
STATE = Path("/var/lib/blastcount")
#: A camera that is not there: nothing of this story needs one.
CONFIG = '[camera]\nsource = "v4l2"\ndevice = "/dev/video99"\n'
#: Own users, homes, state and runtime folders, seen by nobody else; and a Python that everybody may run.
SETTING = """
set -eu
made=$1 repository=$2 python=$3
if [ -n "$4" ]; then
    mkdir -p "$made/python" && mount --bind "$python" "$made/python"
    mount -t tmpfs -o mode=755 tmpfs "$4" && mkdir -p "$python" && mount --bind "$made/python" "$python"
fi
mount --bind "$made/passwd" /etc/passwd && mount --bind "$made/group" /etc/group
for folder in /var/lib /run /home /etc/blastcount; do
    [ -d "$folder" ] || continue
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
for user in 1970 1971 1972; do install -d -o $user -g $user -m 700 /home/$user; done
install -d -o 970 -g 970 -m 750 /var/lib/blastcount
install -d -o 970 -g 970 -m 755 /run/blastcount
cp "$made/blastcount.toml" "$made/field.jpg" /home/ && chmod 644 /home/field.jpg /home/blastcount.toml
echo ready
exec sleep 3600
"""


class Device:
    """Processes of several users that see one device."""

    def __init__(self, holder: int, repository: Path) -> None:
        self._enter = ["nsenter", "-t", str(holder), "-m"]
        self._repository = repository
        self.daemon: subprocess.Popen[bytes] | None = None

    def command(self, uid: int, *words: str, groups: str = "") -> list[str]:
        rights = ["--clear-groups"] if not groups else ["--groups", groups]
        as_user = ["setpriv", "--reuid", str(uid), "--regid", str(uid), *rights]
        return [*self._enter, *as_user, "sh", "-c", 'umask 027; cd "$HOME"; exec "$@"', "sh", *words]

    def environment(self, uid: int, **more: str) -> dict[str, str]:
        home = "/" if uid in (0, SERVICE) else f"/home/{uid}"
        return {
            "HOME": home, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(self._repository), "LC_ALL": "C.UTF-8",
            "BLASTCOUNT_CONFIG": "/home/blastcount.toml", **more,
        }  # fmt: skip

    def run(self, uid: int, *arguments: str, groups: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of the program as a user."""
        command = self.command(uid, sys.executable, "-m", "edge.cli", *arguments, groups=groups)
        return subprocess.run(
            command, env=self.environment(uid), capture_output=True, text=True, timeout=600, check=False
        )

    def member(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the member, who must be able to."""
        done = self.run(MEMBER, *arguments, groups=str(SERVICE))
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def shell(self, uid: int, script: str, groups: str = "") -> str:
        """Run a shell script as a user."""
        command = self.command(uid, "sh", "-c", script, groups=groups)
        done = subprocess.run(
            command, env=self.environment(uid), capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def start(self) -> None:
        """Start the daemon as systemd does, and wait until it answers."""
        command = self.command(SERVICE, sys.executable, "-m", "edge.cli", "run")
        environment = self.environment(
            SERVICE, STATE_DIRECTORY=str(STATE), RUNTIME_DIRECTORY="/run/blastcount", NOTIFY_SOCKET="@none"
        )
        self.daemon = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 600.0
        while "sock" not in self.shell(0, "ls /run/blastcount"):
            assert self.daemon.poll() is None, self.stop()
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def stop(self) -> str:
        """Stop it; return what it said."""
        assert self.daemon is not None
        self.daemon.terminate()
        _, said = self.daemon.communicate(timeout=120)
        return said.decode()


@pytest.fixture
def device(repository: Path, tmp_path: Path) -> Iterator[Device]:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("needs root, unshare and setpriv")
    import cv2

    (tmp_path / "passwd").write_text(
        Path("/etc/passwd").read_text()
        + "".join(f"{name}:x:{uid}:{uid}::/home/{uid}:/bin/sh\n" for uid, name in USERS.items())
    )
    (tmp_path / "group").write_text(
        Path("/etc/group").read_text()
        + f"blastcount:x:{SERVICE}:siti,ayu\n"
        + "".join(f"{USERS[uid]}:x:{uid}:\n" for uid in (MEMBER, OUTSIDER, LATE))
    )
    for name in ("passwd", "group"):
        (tmp_path / name).chmod(0o644)
    (tmp_path / "blastcount.toml").write_text(CONFIG)
    drawn = render_field(1, RenderSettings(width=800, height=600, um_per_px=0.2)).image
    cv2.imwrite(str(tmp_path / "field.jpg"), drawn[..., ::-1])
    python = Path(sys.base_prefix).resolve()
    closed = next((folder for folder in reversed(python.parents) if not folder.stat().st_mode & 0o001), "")
    command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        SETTING,
        "sh",
        str(tmp_path),
        str(repository),
        str(python),
        str(closed),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("no mounts of one's own can be made here")
        device = Device(holder.pid, repository)
        try:
            yield device
        finally:
            if device.daemon is not None and device.daemon.poll() is None:
                device.stop()
            holder.kill()


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that must fail says, which must be one line."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("blastcount: error: ")
    return done.stderr


def test_the_group_works_on_the_service_s_log_and_nobody_else_does(device: Device) -> None:
    # Nobody else gets anywhere, and is told where to.
    join = "you are not a member of group blastcount: `sudo adduser budi blastcount`, then log in again\n"
    device.start()
    for arguments in (
        ("status",), ("capture",), ("reload",), ("sample", "open", "--id", "S-1"), ("sample", "list"),
        ("log", "verify"), ("report", "S-1", "--html", "r.html"),
        ("count", "--sample", "S-1", "/home/field.jpg"),
    ):  # fmt: skip
        assert one_line(device.run(OUTSIDER, *arguments)).endswith(join), arguments
    again = "you were made a member of group blastcount after you had logged in: log out and in again\n"
    assert one_line(device.run(LATE, "status")).endswith(again)
    own = device.run(OUTSIDER, "count", "/home/field.jpg")
    assert own.returncode == 0, own.stderr
    assert device.shell(OUTSIDER, "find ~ -name '*.db'") == ""

    # A member: a sample is opened while the service waits for a camera, and pictures are counted into it.
    assert device.member("sample", "open", "--id", "S-1").stdout.startswith("sample S-1: open, blood, 200")
    status = device.run(MEMBER, "status", groups=str(SERVICE)).stdout
    assert "S-1 (blood): " in status
    first = device.member("count", "--sample", "S-1", "--json", "/home/field.jpg").stdout
    assert '"seen_before": 0' in first
    second = device.member("count", "--sample", "S-1", "--json", "/home/field.jpg").stdout
    assert '"seen_before": 0' not in second
    device.member("report", "S-1", "--pdf", "s.pdf", "--html", "s.html")
    device.member("sample", "export", "S-1", "--csv", "s.csv", "--jsonl", "s.jsonl", "--fhir", "s.json")
    device.member("log", "backup", "backup")
    assert device.shell(MEMBER, "find ~ -type f ! -user siti") == ""
    assert "siti" in device.shell(MEMBER, "cat ~/s.jsonl")  # who opened it
    assert "verified" in device.member("log", "verify").stdout
    device.member("log", "retention")
    device.member("reload")
    assert "S-1 (blood): " in device.run(MEMBER, "status", groups=str(SERVICE)).stdout
    capture = one_line(device.run(MEMBER, "capture", groups=str(SERVICE)))
    assert "/dev/video99" in capture

    # Root asks, too: what root would make there, the service could not write.
    assert device.run(0, "sample", "close", "S-1").returncode == 0
    assert device.shell(0, f"find {STATE} ! -user blastcount") == ""
    assert device.shell(0, f"find {STATE} -type f ! -perm 640; find {STATE} -type d ! -perm 750") == ""
    assert "user siti (1970), process " in device.stop()

    # While the service is away the group reads, and is told how to write.
    assert "S-1" in device.member("sample", "list").stdout
    assert "verified" in device.member("log", "verify").stdout
    away = one_line(device.run(MEMBER, "sample", "reopen", "S-1", groups=str(SERVICE)))
    assert "systemctl start blastcount" in away
    device.start()
    assert device.member("sample", "reopen", "S-1").stdout.startswith("sample S-1: open")
