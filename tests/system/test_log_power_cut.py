"""The power fails at any moment of real work: what was told as done is there, whole, and the log verifies."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import read_manifest
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import LogError
from tests.system.log_work import say
from tests.system.power_cut import Call, Disk, python, record

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)
pytestmark = needs_strace

WORK = (
    "import sys; from pathlib import Path; from tests.system.log_work import maintain\n"
    "maintain(Path(sys.argv[1]), int(sys.argv[2]))"
)
MIGRATION = (
    "import sys; from pathlib import Path; from tests.system.log_work import make_old, tell\n"
    "from edge.bloodlog import BloodLog\n"
    "path = Path(sys.argv[1]); make_old(path, 60); tell({'old': 60}); BloodLog.open(path).close()"
)
#: The same as WORK with one link of the chain of trust taken out.
WITHOUT_SYNC_OF_ROWS = (
    "import edge.bloodlog.connection as c; prepare = c._prepare\n"
    "def weaker(connection, path, *, read_only):\n"
    "    prepare(connection, path, read_only=read_only); connection.execute('PRAGMA synchronous = OFF')\n"
    f"c._prepare = weaker\n{WORK}"
)
WITHOUT_SYNC_OF_PICTURES = f"import os; os.fsync = lambda descriptor: None\n{WORK}"
WITHOUT_SYNC_OF_FOLDERS = (
    "import edge.device.durable, edge.bloodlog.pictures, edge.bloodlog.backup as b\n"
    f"for m in (edge.device.durable, edge.bloodlog.pictures, b): m.sync_folder = lambda folder: None\n{WORK}"
)


def recorded(code: str, folder: Path, repository: Path, length: int = 0) -> list[Call]:
    root = folder / "state"
    root.mkdir()
    calls = record(python(code, root / "blood.db", length), folder / "trace", repository)
    return [*calls, Call("root", [str(root)], [], None, 0)]


def cut_often(calls: list[Call], cuts: int, tmp_path: Path, seed: int = 0) -> Iterator[list[str]]:
    """Cut the power at moments spread over all calls that change something; give what is wrong each time."""
    *calls, root = calls
    changing = count_changes(calls, Path(root.arguments[0]))
    chance = random.Random(seed)
    moments = sorted(chance.randrange(changing) for _ in range(cuts))
    disk = Disk(Path(root.arguments[0]))
    passed = 0
    for call in calls:
        if disk.feed(call):
            while moments and moments[0] == passed:
                moments.pop(0)
                target = tmp_path / "after"
                shutil.rmtree(target, ignore_errors=True)
                disk.after_cut(target, chance)
                yield wrong(target, disk.told)
            passed += 1


def count_changes(calls: list[Call], root: Path) -> int:
    disk = Disk(root)
    return sum(disk.feed(call) for call in calls)


def wrong(folder: Path, told: list[dict[str, str]]) -> list[str]:
    """Switch on again: compare what is there with what was told."""
    path = folder / "blood.db"
    faults = []
    if not path.exists() and any("field" in step for step in told):
        return ["the log is gone"]
    try:
        with BloodLog.open(path) as log:
            faults += inspect(log, store=ThumbnailStore.beside(path)).faults
            sources = [field.result.source for field in log.fields()]
            open_sample = log.current_sample()
            fields = [step["field"] for step in told if "field" in step]
            if sources[: len(fields)] != fields or not 0 <= len(sources) - len(fields) <= 1:
                faults.append(f"told {fields[-3:]}, there are {sources[-3:]}")
            if len(set(sources)) != len(sources):
                faults.append("a field is there twice")
            named = [step for step in told if "opened" in step or "closed" in step]
            if named and "opened" in named[-1] and open_sample is None and not closing(told):
                faults.append("the open sample is not open")
            log.open_sample("after", "blood", 200) if open_sample is None else None
            log.change_sample("after" if open_sample is None else open_sample.name, "closed")
    except (OSError, LogError) as error:
        faults.append(str(error))
    for manifest in (folder / "backups").glob("*.json"):
        faults += backup_faults(manifest)
    for step in told:
        if "backup" in step and not (folder / "backups" / step["backup"]).exists():
            faults.append(f"the backup {step['backup']} is gone")
    return faults


def closing(told: list[dict[str, str]]) -> bool:
    """Whether the next step may have been the closing of the sample, done and not told."""
    return "field" in told[-1] or "review" in told[-1]


def backup_faults(manifest: Path) -> list[str]:
    try:
        head, _ = read_manifest(manifest)
        with BloodLog.open(manifest.with_suffix(".db"), read_only=True) as copy:
            return list(inspect(copy, [head], ThumbnailStore.beside(manifest)).faults)
    except (OSError, LogError) as error:
        return [str(error)]


@pytest.mark.requirement(5)
@pytest.mark.parametrize(("cuts", "length"), [(20, 3), pytest.param(2000, 10, marks=pytest.mark.slow)])
def test_the_power_fails_at_any_moment(tmp_path: Path, repository: Path, cuts: int, length: int) -> None:
    calls = recorded(WORK, tmp_path, repository, length)
    began = time.monotonic()
    for number, faults in enumerate(cut_often(calls, cuts, tmp_path, seed=cuts)):
        assert faults == [], f"cut {number}"
    say(
        f"{cuts} power cuts at {count_changes(calls[:-1], Path(calls[-1].arguments[0]))} moments, in "
        f"{time.monotonic() - began:.0f} s: nothing lost, nothing twice, every log and backup verifies"
    )


@pytest.mark.parametrize("cuts", [5, pytest.param(500, marks=pytest.mark.slow)])
def test_the_power_fails_during_migration(tmp_path: Path, repository: Path, cuts: int) -> None:
    calls = recorded(MIGRATION, tmp_path, repository)
    (before,) = {
        number for number, call in enumerate(calls) if call.name == "write" and b"old" in call.strings[-1]
    }
    chance = random.Random(cuts)
    root = Path(calls[-1].arguments[0])
    began = time.monotonic()
    for moment in sorted(chance.randrange(before, len(calls)) for _ in range(cuts)):
        disk = Disk(root)
        for call in calls[:moment]:
            disk.feed(call)
        target = tmp_path / "after"
        shutil.rmtree(target, ignore_errors=True)
        disk.after_cut(target, chance)
        with BloodLog.open(target / "blood.db") as log:
            assert [field.result.source for field in log.fields()] == [
                f"old-{number}" for number in range(60)
            ]
            assert inspect(log).faults == ()
    say(f"{cuts} power cuts during migration, in {time.monotonic() - began:.0f} s: nothing lost")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(WITHOUT_SYNC_OF_ROWS, "told", id="rows"),
        pytest.param(WITHOUT_SYNC_OF_PICTURES, "picture of", id="pictures", marks=pytest.mark.slow),
        pytest.param(WITHOUT_SYNC_OF_FOLDERS, "picture of", id="folders", marks=pytest.mark.slow),
    ],
)
def test_this_test_sees_what_was_not_forced_to_the_disk(
    code: str, expected: str, tmp_path: Path, repository: Path
) -> None:
    calls = recorded(code, tmp_path, repository, length=3)
    assert any(expected in fault for faults in cut_often(calls, 200, tmp_path) for fault in faults)
