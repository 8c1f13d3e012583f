"""Real disks that are full, fail or lie about the time: the log says so, keeps what it has, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.device.disk import DiskGuard
from edge.errors import DiskFullError, LogError, OutputError
from edge.structures import CellRef
from tests.system.log_work import append, field, say

pytestmark = pytest.mark.slow
Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Function that mounts something on a folder of its own until the test ends."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount small disks")
    mounted: list[Path] = []

    def run(*arguments: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        done = subprocess.run(["mount", *arguments, place], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield run
    for place in mounted:
        subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)


def sources(log: BloodLog) -> list[str]:
    return [field.result.source for field in log.fields()]


def fill(log: BloodLog, store: ThumbnailStore, before: Callable[[], object] = lambda: None) -> list[str]:
    """Log fields until the disk says no; give those that were logged."""
    done: list[str] = []
    while True:
        try:
            before()
            append(log, store, f"f-{len(done)}")
        except (DiskFullError, OutputError):
            return done
        done.append(f"f-{len(done)}")


def test_a_disk_that_fills_up(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=6m", "tmpfs")
    path, store = disk / "blood.db", ThumbnailStore.beside(disk / "blood.db")
    with BloodLog.open(path) as log:
        log.open_sample("S-1", "blood", 200)
        guard = DiskGuard(disk, reserve_mb=2)
        done = fill(log, store, guard.check)
        with pytest.raises(DiskFullError, match="MB are kept free; nothing is counted until there is room"):
            guard.check()
        # The reserve lets people go on with what is there.
        log.add_reviews({CellRef(1, 1): "normal"}, "Ani")
        assert sources(log) == done
        assert guard.free_mb() > 1.5

        # Without the guard SQLite and the store say no themselves, every time until there is room.
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        more = fill(log, store)
        for _ in range(20):
            with pytest.raises((DiskFullError, OutputError)):
                append(log, store, "too much")
        assert sources(log) == [*done, *more]
        assert inspect(log, store=store).faults == ()
        ballast.unlink()
        append(log, store, "room again")
        sample = log.current_sample()
        assert sample is not None
        assert sample.name == "S-1"
    with BloodLog.open(path) as log:
        assert sources(log) == [*done, *more, "room again"]
        assert inspect(log, store=store).faults == ()
    assert not list(disk.glob("pictures/*/.*.part"))
    say(f"disk of 6 MB: {len(done)} fields up to the guard, {len(more)} more up to its end, none lost")


def test_rows_alone_fill_the_disk(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    path = disk / "blood.db"
    done = 0
    with BloodLog.open(path) as log:
        with suppress(DiskFullError):
            while True:
                log.append(field(f"f-{done}"), config_sha256="c" * 64, software_version="1", runtime="r")
                done += 1
        assert log.count() == done > 0
        with pytest.raises(DiskFullError, match="was not logged: database or disk is full"):
            log.append(field("more"), config_sha256="c" * 64, software_version="1", runtime="r")
    # Opening again must not need room, for that is how one gets at the log.
    with BloodLog.open(path) as log:
        assert sources(log) == [f"f-{number}" for number in range(done)]
        assert inspect(log).faults == ()


def test_a_backup_to_a_disk_without_room(mount: Mount, tmp_path: Path) -> None:
    path, store = tmp_path / "blood.db", ThumbnailStore.beside(tmp_path / "blood.db")
    with BloodLog.open(path) as log:
        for number in range(120):
            append(log, store, f"f-{number}")
        for size in ("100k", "700k"):
            disk = mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
            with pytest.raises(OutputError, match=r"no backup was made: .*full|No space left"):
                back_up(log, store, disk)
            assert not list(disk.glob("blastcount-*"))
            assert not list(disk.glob(".*.part*"))
        disk = mount("-t", "tmpfs", "-o", "size=20m", "tmpfs")
        assert back_up(log, store, disk).fields == 120


def test_a_card_that_fails_is_remounted_read_only(mount: Mount, tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    image.write_bytes(bytes(24_000_000))
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    disk = mount("-o", "loop,errors=remount-ro", str(image))
    device = subprocess.run(
        ["findmnt", "-no", "SOURCE", disk], capture_output=True, text=True, check=True
    ).stdout.strip()
    path, store = disk / "blood.db", ThumbnailStore.beside(disk / "blood.db")
    with BloodLog.open(path) as log:
        log.open_sample("S-1", "blood", 200)
        done = [f"f-{number}" for number in range(20)]
        for token in done:
            append(log, store, token)
        # What the kernel does by itself when it meets an error on the card, with files open.
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("test")
        with pytest.raises(DiskFullError, match="mounted read-only, as a failing SD card is"):
            DiskGuard(disk, reserve_mb=1).check()
        with pytest.raises(DiskFullError, match="Read-only file system"):
            append(log, store, "lost")
        with pytest.raises(LogError, match="was not logged"):
            log.append(field("lost"), config_sha256="c" * 64, software_version="1", runtime="r")
        assert sources(log) == done  # it still answers
    with BloodLog.open(path, read_only=True) as log:
        assert sources(log) == done
        assert inspect(log, store=store).faults == ()
    subprocess.run(["umount", disk], check=True)
    # A new card, or the old one after fsck.
    subprocess.run(["e2fsck", "-p", "-f", image], check=False, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    with BloodLog.open(path) as log:
        assert sources(log) == done
        assert inspect(log, store=store).faults == ()
        sample = log.current_sample()
        assert sample is not None
        append(log, store, "again")


@pytest.mark.parametrize("state", ["closed", "killed"])
def test_a_log_on_a_disk_that_was_mounted_read_only(mount: Mount, state: str) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    path, store = disk / "blood.db", ThumbnailStore.beside(disk / "blood.db")
    log = BloodLog.open(path)
    for number in range(5):
        append(log, store, f"f-{number}")
    if state == "killed":
        # The journal still holds the rows.
        copies = [shutil.copy(file, disk / f"k{file.name}") for file in (path, disk / "blood.db-wal")]
        assert Path(copies[1]).stat().st_size > 0
        path = Path(copies[0])
    log.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with BloodLog.open(path, read_only=True) as again:
        assert sources(again) == [f"f-{number}" for number in range(5)]
        assert inspect(again).faults == ()
    with pytest.raises(LogError, match="cannot be opened"):
        BloodLog.open(path)


CLOCK_WORK = """
import json, sys
from pathlib import Path
from edge.bloodlog import BloodLog
from edge.device.clock import WallClock
from tests.system.log_work import PROVENANCE, field
with BloodLog.open(Path(sys.argv[1])) as log:
    clock = WallClock(is_synchronised=lambda: False, is_battery_backed=lambda: True)
    newest, number = log.newest_trusted(), log.count()
    for line in sys.stdin:
        for _ in range(3):
            trusted = clock.is_trusted(newest)
            log.append(field(f"f-{number}"), **PROVENANCE, clock_trusted=trusted)
            number += 1
        print(json.dumps(trusted), flush=True)
"""


def test_a_clock_that_jumps_years_both_ways(tmp_path: Path, repository: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("needs libfaketime: apt-get install faketime")
    offset, path = tmp_path / "offset", tmp_path / "blood.db"
    offset.write_text("+0")
    environment = {
        **os.environ, "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    trusted: list[bool] = []
    offsets = ["+0", "+10y", "-20y", "+0", "-1d", "+30y", "+0"]
    for restart in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CLOCK_WORK, path], env=environment, cwd=repository,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            for step in offsets:
                offset.write_text(step)
                process.stdin.write("\n")
                process.stdin.flush()
                trusted.append(json.loads(process.stdout.readline()))
            process.stdin.close()
        assert process.returncode == 0, restart
    # Right until the first jump, and not believed any more; a new process begins afresh.
    assert trusted == [True, *[False] * 6] * 2
    with BloodLog.open(path) as log:
        fields = list(log.fields())
        assert [logged.result.source for logged in fields] == [f"f-{number}" for number in range(42)]
        assert [logged.id for logged in fields] == list(range(1, 43))
        years = [logged.logged_at.year - datetime.now(UTC).year for logged in fields[::3]]
        assert min(years) <= -19
        assert max(years) >= 29
        assert inspect(log).faults == ()
        newest = log.newest_trusted()
        assert newest is not None
        assert abs((newest - datetime.now(UTC)).total_seconds()) < 3600
    say(f"{len(fields)} fields over jumps of {offsets}: in order, none lost")
