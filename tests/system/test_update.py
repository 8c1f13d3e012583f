"""Updates from a stick on a device: what goes back by itself, and what a kill at any moment leaves."""

from __future__ import annotations

import json
import math
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.edge.updating.packages import Maker
from tests.system.machine import Machine, booted
from tests.tools.release_usb import make_package

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

Chroot = Callable[[Path, str], subprocess.CompletedProcess[str]]
KILLS = 100
#: The version that is installed first is that of an archive without git; see pyproject.toml.
OLD, NEW = "0.1.0", "1.1.0"
UNITS = (
    "blastcount.service",
    "blastcount-review.service",
    "blastcount-upkeep.service",
    "blastcount-upkeep.timer",
)
CONFIG = '[camera]\nsource = "rendered"\nwidth = 800\nheight = 600\ninterval_s = 0.5\n'
#: Number of files of each version and their bytes, when nothing was killed yet.
KNOWN: dict[str, tuple[int, int]] = {}
UPDATES = (
    "import json, sqlite3; c = sqlite3.connect('file:/var/lib/blastcount/blastcount.db?mode=ro', uri=True); "
    "print(json.dumps(c.execute('SELECT from_version, to_version, signer, result FROM software_update "
    "ORDER BY id').fetchall()))"
)


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("maker") / "known")


def as_version(wheels: Path, version: str, **appended: str) -> None:
    """Make the program's wheel in a folder one of another version, with text behind some of its modules."""
    (wheel,) = wheels.glob("blastcount-*.whl")
    old = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(wheels / "part", "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if ".dist-info/" in name:
                content = content.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
                content = content.replace(f"blastcount-{old}.".encode(), f"blastcount-{version}.".encode())
            content += appended.get(Path(name).stem if name.startswith("edge/") else "", "").encode()
            after.writestr(name.replace(f"blastcount-{old}.", f"blastcount-{version}."), content)
    wheel.unlink()
    (wheels / "part").rename(wheels / wheel.name.replace(old, version))


@pytest.fixture(scope="module")
def package_of(
    repository: Path, wheels: Callable[..., Path], maker: Maker, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Function that makes a signed package of a version whose modules go on with some text."""

    def make(version: str, **appended: str) -> Path:
        folder = tmp_path_factory.mktemp("package") / f"blastcount-{version}"
        here = folder / "wheels" / "{}-cp{}{}".format(platform.machine(), *sys.version_info[:2])
        shutil.copytree(wheels(), here)
        as_version(here, version, **appended)
        subprocess.run([repository / "systemd/wheelhouse.sh", "--list", here], check=True)
        shutil.copytree(repository / "systemd", folder / "systemd")
        make_package(folder, maker.key)
        return folder

    return make


@pytest.fixture(scope="module")
def device(
    installed: Callable[..., Path],
    chroot: Chroot,
    mounted: Callable[[Path], AbstractContextManager[None]],
    maker: Maker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A Debian with the program, which knows the maker, without a network."""
    root = installed(tmp_path_factory.mktemp("update") / "root", signers=maker.line)
    (root / "etc/blastcount/blastcount.toml").write_text(CONFIG)
    with mounted(root):
        count = "runuser -u blastcount -- /usr/local/bin/blastcount run --fields 2 --interval 0.1"
        assert "2 fields logged" in (done := chroot(root, count)).stderr, done.stderr
    (root / "etc/resolv.conf").write_text("")
    return root


def version_in_use(root: Path, chroot: Chroot) -> str:
    said = chroot(root, "/usr/local/bin/blastcount --version")
    assert said.returncode == 0, said.stderr
    return said.stdout.split()[-1]


def is_whole(root: Path, chroot: Chroot, found: str) -> None:
    """The version in use has all files that it had when complete, and every unit is one of the two's."""
    used = root / "opt" / (root / "opt/blastcount").readlink()
    assert (used / "complete").exists()
    sizes = [path.stat().st_size for path in used.rglob("*") if path.suffix != ".pyc" and path.is_file()]
    assert (len(sizes), sum(sizes)) == KNOWN.setdefault(found, (len(sizes), sum(sizes)))
    for unit in UNITS:
        there = (root / "etc/systemd/system" / unit).read_bytes()
        known = [path.read_bytes() for path in (root / "opt").glob(f"blastcount.?/systemd/{unit}")]
        assert there in known, unit


@pytest.fixture(scope="module")
def in_tree(
    device: Path,
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """A copy of the device that is not booted."""
    root = tmp_path_factory.mktemp("tree") / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", device, root], check=True)
    with mounted(root):
        (root / "etc/resolv.conf").write_text("")
        yield root


#: A program that only answers what install.sh asks, and is installed in a third of the time.
STAND_IN = {
    "edge/__init__.py": "",
    "edge/cli.py": f"""import sys
def main():
    if sys.argv[1] == "--version":
        print("blastcount {NEW}")
    if sys.argv[1] == "run":
        sys.exit(3)
""",
    "edge/manual.py": """import pathlib, sys
(folder := pathlib.Path(sys.argv[1])).mkdir()
for end in ("1", "bash", "zsh", "fish"):
    (folder / f"blastcount.{end}").write_text("blastcount")
""",
    "edge/bloodlog/__init__.py": "",
    "edge/bloodlog/updates.py": "",
    "edge/bloodlog/9999_last.sql": "",
}


def stand_in(repository: Path, maker: Maker, folder: Path) -> None:
    """Make a signed package of the stand-in."""
    python = "cp{}{}".format(*sys.version_info[:2])
    here, info = folder / "wheels" / f"{platform.machine()}-{python}", f"blastcount-{NEW}.dist-info"
    here.mkdir(parents=True)
    files = STAND_IN | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: blastcount\nVersion: {NEW}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nblastcount = edge.cli:main\n",
    }
    with zipfile.ZipFile(here / f"blastcount-{NEW}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    subprocess.run([repository / "systemd/wheelhouse.sh", "--list", here], check=True)
    (here / f"numpy-0-{python}-{python}-any.whl").touch()  # by which install.sh knows this Python's wheels
    shutil.copytree(repository / "systemd", folder / "systemd")
    make_package(folder, maker.key)


class Updating:
    """Updates of a device to the stand-in, each from the version before."""

    def __init__(self, root: Path, chroot: Chroot) -> None:
        self.root, self.chroot = root, chroot

    def begin(self) -> subprocess.Popen[bytes]:
        """Begin one, in a group of processes of its own."""
        (other,) = {"blastcount.a", "blastcount.b"} - {(self.root / "opt/blastcount").readlink().name}
        self.complete = self.root / "opt" / other / "complete"
        self.complete.unlink(missing_ok=True)
        return subprocess.Popen(
            ["chroot", self.root, "/usr/local/bin/blastcount", "update", "/media/usb"],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def until_complete(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the new version is complete and not in use yet."""
        while process.poll() is None and not self.complete.exists():
            time.sleep(0.002)

    def go_back(self) -> None:
        """Put the version before in use."""
        done = self.chroot(self.root, "/opt/blastcount/systemd/install.sh --rollback")
        assert done.returncode == 0, done.stdout + done.stderr
        assert version_in_use(self.root, self.chroot) == OLD


@pytest.fixture(scope="module")
def machine(device: Path, in_tree: Path) -> Iterator[Machine]:
    assert in_tree  # a copy that was made before this one is changed
    with booted(device) as machine:
        machine.wait(lambda: "fields logged" in machine.show("StatusText"), "counting")
        yield machine


def rows(machine: Machine) -> list[list[str]]:
    found: list[list[str]] = json.loads(machine.run("/opt/blastcount/bin/python", "-c", UPDATES))
    return [[before, after, signer.split(" (")[0], result] for before, after, signer, result in found]


def put_in(machine: Machine, package: Path) -> str:
    """Copy a package to the stick; as FAT has it, every file has the same rights."""
    target = machine.root / "media" / package.name
    shutil.copytree(package, target)
    for path in target.rglob("*"):
        path.chmod(0o777)
    return f"/media/{package.name}"


@pytest.mark.requirement(23)
def test_a_version_that_disagrees_with_its_golden_field_is_never_in_use(
    machine: Machine, package_of: Callable[..., Path]
) -> None:
    wrong = "\nClassifier.p_blast = lambda self, crops: np.zeros(len(crops), np.float32)\n"
    stick = put_in(machine, package_of("1.0.1", classifier=wrong))
    pid, fields = machine.show("MainPID"), machine.fields()
    done = machine.done("/usr/local/bin/blastcount", "update", stick)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "error: went_back: version 1.0.1 was not put in use" in done.stderr
    assert "FAIL  golden crops" in done.stderr
    assert machine.run("blastcount", "--version") == f"blastcount {OLD}"
    # The service has not noticed.
    assert machine.show("MainPID") == pid
    machine.wait(lambda: machine.fields() > fields, "a field")
    assert rows(machine) == [
        [OLD, "1.0.1", "maker@example", "begun"],
        [OLD, "1.0.1", "maker@example", "went_back"],
    ]


def test_a_version_whose_service_does_not_start_goes_back(
    machine: Machine, repository: Path, maker: Maker
) -> None:
    """The stand-in passes its check, and its service ends at once."""
    stick = "/media/stand-in"
    stand_in(repository, maker, machine.root / stick[1:])
    done = machine.done("/usr/local/bin/blastcount", "update", stick)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the one before is in use again" in done.stderr
    assert machine.run("blastcount", "--version") == f"blastcount {OLD}"
    machine.wait(lambda: machine.show("ActiveState") == "active", "the old version's service")
    fields = machine.fields()
    machine.wait(lambda: machine.fields() > fields, "a field")
    assert rows(machine)[-1] == [OLD, NEW, "maker@example", "went_back"]


def test_an_update_is_in_use_at_once_and_can_be_taken_back(
    machine: Machine, package_of: Callable[..., Path]
) -> None:
    stick = put_in(machine, package_of(NEW))
    config = (machine.root / "etc/blastcount/blastcount.toml").read_text()
    fields = machine.fields()
    said = machine.run("blastcount", "update", stick)
    assert f"{NEW} is in use, after {OLD}" in said
    assert machine.run("blastcount", "--version") == f"blastcount {NEW}"
    machine.wait(lambda: machine.fields() > fields, "fields of the new version in the same log")
    assert (machine.root / "etc/blastcount/blastcount.toml").read_text() == config == CONFIG
    assert [row[3] for row in rows(machine)][-2:] == ["begun", "installed"]
    assert machine.run("ls", "/var/backups/blastcount") != ""
    assert list((machine.root / "opt").glob("blastcount.update")) == []
    # The same again is refused, and so is any older one.
    again = machine.done("/usr/local/bin/blastcount", "update", stick)
    assert (again.returncode, "error: older: " in again.stderr) == (4, True)
    machine.run("/opt/blastcount/systemd/install.sh", "--rollback")
    assert machine.run("blastcount", "--version") == f"blastcount {OLD}"
    machine.run("runuser", "-u", "blastcount", "--", "/usr/local/bin/blastcount", "log", "verify")


@pytest.mark.requirement(23)
def test_an_update_that_is_killed_leaves_the_old_or_the_new(
    in_tree: Path, chroot: Chroot, repository: Path, maker: Maker
) -> None:
    stand_in(repository, maker, in_tree / "media/usb")
    updating = Updating(in_tree, chroot)
    is_whole(in_tree, chroot, OLD)
    # How long the last update took that nobody killed, and its part after the new version was complete: the
    # machine may be busier or less busy later on.
    whole_s = change_s = math.inf
    chance, left, killed, begun = random.Random(21), {OLD: 0, NEW: 0}, 0, time.monotonic()
    while killed < KILLS:
        started = time.monotonic()
        process = updating.begin()
        changes = math.isinf(whole_s) or bool(killed % 2)  # where the two versions change places
        if changes:
            updating.until_complete(process)
        complete = time.monotonic()
        within_s = change_s if changes else whole_s
        wait_s = None if math.isinf(within_s) else chance.uniform(0.0, within_s)
        try:
            assert process.wait(wait_s) == 0
            ended = time.monotonic()
            whole_s, change_s = ended - started, ended - complete if changes else change_s
            found = version_in_use(in_tree, chroot)
            assert found == NEW
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            found = version_in_use(in_tree, chroot)
            left[found] += 1
            print(killed, "change" if changes else "whole", round(wait_s or 0.0, 2), left, flush=True)  # noqa: T201
        is_whole(in_tree, chroot, found)
        if found == NEW:
            updating.go_back()
    each_s = (time.monotonic() - begun) / KILLS
    print(f"a kill costs {each_s:.1f} s; an update took {whole_s:.1f} s, {change_s:.1f} s of it the change")  # noqa: T201
    assert left[OLD] > 0
    assert left[NEW] > 0
    # None of them is in the way of the next, and the old version counts as before.
    assert updating.begin().wait() == 0
    assert version_in_use(in_tree, chroot) == NEW
    updating.go_back()
    checked = chroot(in_tree, "/usr/local/bin/blastcount check --program")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verified = chroot(in_tree, "runuser -u blastcount -- /usr/local/bin/blastcount log verify --json")
    assert json.loads(verified.stdout)["faults"] == []
