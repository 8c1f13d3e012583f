"""Accidents of log and disk under the real daemon: named in its status, nothing acknowledged lost or doubled.

What was acknowledged is what ``blastcount capture`` was told is in the log. After each accident a signal to
stop ends the daemon within 5 s.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.daemon.client import ask
from edge.device.disk import PROBE
from edge.errors import ControlError
from tests.system.log_work import say

pytestmark = pytest.mark.slow

STOPS_WITHIN_S = 5.0
#: A small field with a few cells, counted when it is asked for: each row is one that was acknowledged.
CONFIG = """\
[camera]
source = "rendered"
width = 640
height = 480
[trigger]
mode = "manual"
[storage]
reserve_mb = 1
[log]
path = "{log}"
"""


class Clinic:
    """A daemon with its log on a disk of its own."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.log = log
        self.folder = folder
        self.config = folder / "blastcount.toml"
        self.config.write_text(CONFIG.format(log=log))
        self.runtime = folder / "run"
        self.acknowledged: list[int] = []
        self.environment = os.environ | {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "RUNTIME_DIRECTORY": str(self.runtime),
            "BLASTCOUNT_CONFIG": str(self.config),
        }
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edge.cli", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def start(self) -> None:
        with (self.folder / "stderr").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge.cli", "run"],
                env=self.environment, text=True, stderr=errors,
            )  # fmt: skip
        self.wait(lambda status: True)

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        assert self.process is not None
        deadline = time.monotonic() + 60.0
        found: object = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "stderr").read_text()[-2000:]
            try:
                found = ask(self.runtime / "control.sock", "status", timeout_s=5.0)
            except ControlError as error:
                found = str(error)
            else:
                if condition(found):
                    return found
            time.sleep(0.1)
        raise AssertionError(f"waited too long; the last answer was {found}")

    def capture(self, times: int = 1) -> None:
        self.wait(lambda status: status["state"] == "counting")
        for _ in range(times):
            self.acknowledged.append(ask(self.runtime / "control.sock", "capture")["field"])

    def refused(self) -> str:
        with pytest.raises(ControlError) as refusal:
            self.acknowledged.append(ask(self.runtime / "control.sock", "capture")["field"])
        return refusal.value.reason

    def stop(self) -> None:
        process, self.process = self.process, None
        assert process is not None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60.0) == 0, (self.folder / "stderr").read_text()[-2000:]
        finally:
            process.kill()
        assert time.monotonic() - began < STOPS_WITHIN_S
        assert "Traceback" not in (self.folder / "stderr").read_text()

    def is_sound(self, log: Path | None = None) -> None:
        """See that what was acknowledged is there, once, and that the chain is whole."""
        with BloodLog.open(log or self.log) as opened:
            assert [field.id for field in opened.fields()] == list(range(1, opened.count() + 1))
            assert set(self.acknowledged) <= {field.id for field in opened.fields()}
            assert len(set(self.acknowledged)) == len(self.acknowledged)
            assert inspect(opened, store=opened.pictures).faults == ()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Function that mounts a disk of some MB in memory until the test ends."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount small disks")
    with ExitStack() as mounted:

        def mount(size: str) -> Path:
            place = tmp_path / f"disk{size}"
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
            mounted.callback(subprocess.run, ["umount", "-l", place], check=False)
            return place

        yield mount


@pytest.fixture
def clinic(tmp_path: Path, disk: Callable[[str], Path]) -> Iterator[Clinic]:
    (disk("16m") / "log").mkdir()
    clinic = Clinic(tmp_path, tmp_path / "disk16m/log/blood.db")
    with BloodLog.open(clinic.log) as log:
        log.open_sample("S-1", "blood", 200)
    yield clinic
    if clinic.process is not None:
        clinic.process.kill()
        clinic.process.wait()


def fill(folder: Path) -> Path:
    """Leave not a byte on the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_the_log_is_deleted_moved_or_replaced_and_put_back(clinic: Clinic) -> None:
    aside = clinic.log.with_name("aside.db")
    clinic.start()
    clinic.capture(2)
    for accident in ("moved", "folder", "replaced"):
        if accident == "moved":
            clinic.log.rename(aside)
        elif accident == "folder":
            clinic.log.parent.rename(clinic.log.parent.with_name("elsewhere"))
        else:
            clinic.log.rename(aside)
            shutil.copy(aside, clinic.log)
        assert clinic.refused() == "log_lost"
        status = clinic.wait(lambda status: status["state"] == "log_lost")
        assert "while it was open" in status["problem"]
        assert clinic.command("status").returncode == 1
        if accident == "folder":
            clinic.log.parent.with_name("elsewhere").rename(clinic.log.parent)
        else:
            aside.rename(clinic.log)
        clinic.capture()
        say(f"log {accident}: named, nothing acknowledged meanwhile, counted into again")
    clinic.stop()
    clinic.is_sound()


@pytest.mark.parametrize("accident", ["deleted", "cut short", "written over", "folder deleted"])
def test_a_log_that_is_gone_for_good(clinic: Clinic, tmp_path: Path, accident: str) -> None:
    clinic.start()
    clinic.capture(3)
    copy = tmp_path / "copy"
    clinic.command("log", "backup", copy)
    if accident == "deleted":
        clinic.log.unlink()
    elif accident == "cut short":
        clinic.log.write_bytes(b"")
    elif accident == "written over":
        clinic.log.write_bytes(bytes(10_000_000))
    else:
        shutil.rmtree(clinic.log.parent)
    # Of a small log all may be in the journal still: then only its pages tell.
    names = {"log_lost", "log_damaged"} if accident == "written over" else {"log_lost"}
    assert clinic.refused() in names
    clinic.wait(lambda status: status["state"] in names)
    clinic.stop()
    (database,) = copy.glob("*.db")
    clinic.is_sound(database)
    say(f"log {accident}: named, nothing acknowledged after it, the backup has all")


def test_another_program_fills_the_disk_between_two_looks(clinic: Clinic) -> None:
    clinic.start()
    clinic.capture(2)
    ballast = fill(clinic.log.parent)
    assert clinic.refused() == "disk_full"
    assert clinic.wait(lambda status: status["state"] == "disk_full")["disk"]["free_bytes"] == 0
    clinic.stop()
    clinic.start()  # on a disk without a byte
    assert clinic.wait(lambda status: status["state"] == "disk_full")["problem"]
    ballast.unlink()
    clinic.capture(2)
    clinic.stop()
    clinic.is_sound()
    say("disk filled by another program, and full at the start: named, counted on when there was room")


def test_a_new_log_on_a_full_disk(clinic: Clinic) -> None:
    for path in clinic.log.parent.iterdir():
        path.unlink()
    ballast = fill(clinic.log.parent)
    clinic.start()
    clinic.wait(lambda status: status["state"] == "disk_full")
    clinic.stop()
    clinic.start()
    ballast.unlink()
    clinic.capture()
    clinic.stop()
    clinic.is_sound()
    say("new log on a full disk: named, made when there was room")


def test_retention_makes_room_on_a_full_disk(clinic: Clinic) -> None:
    clinic.start()
    clinic.capture(6)
    clinic.wait(lambda status: (clinic.log.parent / PROBE).stat().st_size > 0)
    clinic.stop()
    with BloodLog.open(clinic.log) as log:
        log.change_sample("S-1", "closed")
    fill(clinic.log.parent)
    clinic.config.write_text(
        clinic.config.read_text().replace("reserve_mb = 1", "reserve_mb = 5\npictures_mb = 1")
    )
    done = clinic.command("log", "retention", "--json")
    assert done.returncode == 0, done.stderr
    removed = json.loads(done.stdout)
    assert removed["by_space"]
    assert removed["bytes_freed"] > 0
    clinic.is_sound()
    say(f"retention on a full disk: pictures of {len(removed['by_space'])} fields went")


def test_pictures_on_a_full_disk_of_their_own(clinic: Clinic, disk: Callable[[str], Path]) -> None:
    pictures = disk("8m")
    (clinic.log.parent / "pictures").symlink_to(pictures)
    clinic.start()
    clinic.capture(2)
    ballast = fill(pictures)
    assert clinic.refused() == "disk_full"
    status = clinic.wait(lambda status: status["state"] == "disk_full")
    assert "pictures" in status["problem"]
    ballast.unlink()
    clinic.capture()
    clinic.stop()
    clinic.is_sound()
    say("pictures on a full disk of their own: named, counted on when there was room")


@pytest.mark.parametrize("held", ["write lock", "picture lock", "counting lock"])
def test_a_lock_that_is_held_for_long(clinic: Clinic, held: str) -> None:
    clinic.start()
    clinic.capture(2)
    with ExitStack() as holder:
        if held == "write lock":
            other = holder.enter_context(closing(sqlite3.connect(clinic.log, isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")
        elif held == "picture lock":
            holder.enter_context(ThumbnailStore.beside(clinic.log).tidying())
        else:
            lock = holder.enter_context(clinic.log.with_name("blood.db.lock").open("ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert clinic.refused() == "log_busy"
        clinic.wait(lambda status: status["state"] == "log_busy")
        clinic.stop()
    clinic.start()
    clinic.capture()
    clinic.stop()
    clinic.is_sound()
    say(f"{held} held: named, stopped in time, counted on after")


SLOW_DISK = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
/* Where the file named by SLOW is there, a sync takes half a minute that no signal shortens. */
static void wait_for_disk(void) {
    struct timespec left = {30, 0};
    if (access(getenv("SLOW"), F_OK) == 0)
        while (nanosleep(&left, &left) != 0) {}
}
int fsync(int fd) { wait_for_disk(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { wait_for_disk(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


def test_a_disk_that_takes_seconds_to_write(clinic: Clinic, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, for a slow disk")
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    library, switch = tmp_path / "slow.so", tmp_path / "slow"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "slow.c", "-ldl"], check=True)
    clinic.environment |= {"LD_PRELOAD": str(library), "SLOW": str(switch)}
    clinic.start()
    clinic.capture(2)
    switch.touch()
    with pytest.raises(ControlError):
        ask(clinic.runtime / "control.sock", "capture", timeout_s=15.0)
    status = clinic.wait(lambda status: status["state"] == "stalled")
    assert "the disk does not answer" in status["problem"]
    clinic.stop()
    switch.unlink()
    clinic.start()
    clinic.capture()
    clinic.stop()
    clinic.is_sound()
    say("fsync of 30 s: named, stopped in time, nothing acknowledged lost")


def test_two_daemons_that_know_the_log_by_two_names(clinic: Clinic, tmp_path: Path) -> None:
    clinic.start()
    clinic.capture(3)
    alone = clinic.wait(lambda status: True)["sample"]["wbc"]
    (tmp_path / "link").symlink_to(clinic.log.parent)
    (tmp_path / "second").mkdir()
    other = Clinic(tmp_path / "second", tmp_path / "link/blood.db")
    other.start()
    try:
        other.capture(3)  # the same fields of the same slide
        clinic.capture()
        both = clinic.wait(lambda status: True)["sample"]
        other.stop()
    finally:
        if other.process is not None:
            other.process.kill()
            other.process.wait()
    clinic.stop()
    with BloodLog.open(clinic.log) as log:
        fields = list(log.fields())
    # Cells cut by the border belong to no tally, and are not looked for among those that were seen.
    new = [
        sum(cell.seen_before is None and not cell.cell.touches_border for cell in field.result.cells)
        for field in fields
    ]
    assert sum(new[:3]) == alone > 0
    assert new[3:6] == [0, 0, 0]
    assert both["fields"] == 7
    assert both["wbc"] == alone + new[6]
    clinic.is_sound()
    say(f"two daemons by two names: {alone} cells in 3 fields, none of them again in the other's 3")
