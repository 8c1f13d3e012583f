"""A process that writes the log is killed at any moment: nothing committed is lost, nothing is there twice.

The short versions belong to the quick tests; the long ones to ``make test-log-crash``.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up, read_manifest
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import Policy, needed_pictures, retain
from tests.system.log_work import append, look_after, make_old, say, work

LONG = pytest.mark.slow


def killed(
    job: Callable[[int], None], after_s: float, after_steps: int = 0
) -> tuple[list[dict[str, str]], bool]:
    """Run a job in a process of its own and kill it; give what it told, and whether it was killed.

    The process is forked: it starts in a millisecond, and dies as any other does. It is killed some time
    after it has told so many steps.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            job(writer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    # Read meanwhile: a full pipe would stop the work.
    told = bytearray()
    os.set_blocking(reader, False)
    deadline = math.inf
    while time.monotonic() < deadline:
        if deadline == math.inf and told.count(b"\n") >= after_steps:
            deadline = time.monotonic() + after_s
        try:
            chunk = os.read(reader, 65536)
            if not chunk and deadline == math.inf:
                break  # it has ended
            told += chunk
        except BlockingIOError:
            time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.set_blocking(reader, True)
    while chunk := os.read(reader, 65536):
        told += chunk
    os.close(reader)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work failed before it was killed"
    return [json.loads(line) for line in told.decode().splitlines()], os.WIFSIGNALED(status)


class Books:
    """What was told, beside what the log holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: Counter[str] = Counter()
        self.in_flight = 0
        self.sample: str | None = None
        self._rows = {"field": 0, "review": 0}

    def compare(self, steps: list[dict[str, str]]) -> None:
        """Look at what is new in the log since the last time."""
        with BloodLog.open(self.path) as log:
            there = log.current_sample()
            new = {table: self._new(log, table) for table in self._rows}
        for table, found in new.items():
            told = [step[table] for step in steps if table in step]
            self.told[table] += len(told)
            # In order, each once; at most one was done and not told any more.
            assert found[: len(told)] == told
            assert len(found) - len(told) <= 1
            self.in_flight += len(found) - len(told)
        self._follow_sample(steps, None if there is None else there.name)

    def _new(self, log: BloodLog, table: str) -> list[str]:
        column = {"field": "source", "review": "observer"}[table]
        with log.reading() as connection:
            rows = connection.execute(
                f"SELECT id, {column} FROM {table} WHERE id > ? ORDER BY id", (self._rows[table],)
            ).fetchall()
        self._rows[table] = rows[-1][0] if rows else self._rows[table]
        return [value for _, value in rows]

    def _follow_sample(self, steps: list[dict[str, str]], there: str | None) -> None:
        for step in steps:
            if "resumed" in step:
                assert step["resumed"] == self.sample, "the open sample was not resumed"
            elif "opened" in step:
                self.sample = step["opened"]
            elif "closed" in step:
                self.sample = None
        # What was told is so; or the next step was done and not told any more.
        assert there == self.sample or self.sample is None or there is None
        self.sample = there


@pytest.mark.requirement(5)
@pytest.mark.parametrize("kills", [15, pytest.param(1000, marks=LONG)])
def test_a_writer_that_is_killed_at_any_moment(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "blood.db"
    chance = random.Random(kills)
    books = Books(path)
    started = time.monotonic()
    with BloodLog.open(path) as log:
        append(log, ThumbnailStore.beside(path), "first")
    books.compare([{"field": "first"}])
    with looked_after(path) as beside:
        kill_the_writer(path, kills, books, chance)
    assert_sound(path)
    with closing(sqlite3.connect(path)) as connection:
        for query in (
            "SELECT source FROM field GROUP BY source HAVING count(*) > 1",
            "SELECT observer FROM review GROUP BY observer HAVING count(*) > 1",
            "SELECT name FROM sample GROUP BY name HAVING count(*) > 1",
        ):
            assert connection.execute(query).fetchall() == []
        (fields,) = connection.execute("SELECT count(*) FROM field").fetchone()
    assert fields >= books.told["field"] > 0
    say(
        f"{kills} kills in {time.monotonic() - started:.0f} s: {books.told['field']} fields and "
        f"{books.told['review']} reviews told, none lost, none twice; {books.in_flight} more done, not told; "
        f"beside it {beside['rounds']} rounds of backup, export and retention, {beside['removed']} files gone"
    )


def kill_the_writer(path: Path, kills: int, books: Books, chance: random.Random) -> None:
    """Start a writer and kill it, so many times; the books are compared after each."""
    for run in range(kills):

        def job(writer: int, run: int = run) -> None:
            for done in work(path, run):
                os.write(writer, f"{json.dumps(done)}\n".encode())

        steps, was_killed = killed(job, chance.uniform(0.0, 0.05), chance.randrange(8))
        assert was_killed
        books.compare(steps)
        if run % 100 == 99:
            assert_sound(path)


@contextmanager
def looked_after(path: Path) -> Iterator[dict[str, int]]:
    """Have another process back up, export and make room meanwhile; give what it did after the block."""
    context = multiprocessing.get_context("fork")
    ended, answer = context.Event(), context.SimpleQueue()
    done: dict[str, int] = {}
    process = context.Process(target=lambda: answer.put(look_after(path, ended.is_set)))
    process.start()
    try:
        yield done
    finally:
        ended.set()
        process.join(60)
    assert process.exitcode == 0, "backup, export or retention failed beside the writer"
    done |= answer.get()


def assert_sound(path: Path) -> None:
    with BloodLog.open(path) as log:
        assert inspect(log, store=ThumbnailStore.beside(path)).faults == ()


def kill_often(
    kills: int, prepare: Callable[[], Callable[[], None]], check: Callable[[bool], None], name: str
) -> None:
    """Kill a job so often before it is done, at moments spread over the time that it takes.

    ``prepare`` makes the job anew each time, ``check`` looks at what is left.
    """
    began = time.monotonic()
    prepare()()
    takes_s = time.monotonic() - began
    chance = random.Random(kills)
    cut_off = done = 0
    began = time.monotonic()
    while cut_off < kills:
        job = prepare()
        _, was_killed = killed(lambda _writer, job=job: job(), chance.uniform(0.0, takes_s))
        cut_off += was_killed
        done += not was_killed
        # How long it takes depends on what else the machine does: aim earlier where it was done.
        takes_s *= 1.01 if was_killed else 0.9
        check(was_killed)
        assert done < 20 + 5 * kills, "it is done before it can be killed"
    say(
        f"{kills} kills during {name} ({done} times it was done before), in "
        f"{time.monotonic() - began:.0f} s: nothing lost"
    )


@pytest.fixture(scope="module")
def old_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the first schema with 300 fields."""
    path = tmp_path_factory.mktemp("old") / "old.db"
    make_old(path, 300)
    return path


@pytest.mark.parametrize("kills", [3, pytest.param(70, marks=LONG)])
def test_a_migration_that_is_killed_at_any_moment(tmp_path: Path, old_log: Path, kills: int) -> None:
    path = tmp_path / "blood.db"

    def prepare() -> Callable[[], None]:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(old_log, path)
        return lambda: BloodLog.open(path).close()

    def check(_was_killed: bool) -> None:
        with closing(sqlite3.connect(path)) as connection:
            numbers = [row[0] for row in connection.execute("SELECT number FROM migration ORDER BY number")]
            assert numbers == list(range(1, len(numbers) + 1))
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
            # A step and its record came together or not at all.
            assert ("sample" in tables, "link" in tables) == (len(numbers) >= 2, len(numbers) >= 3)
        with BloodLog.open(path) as log:
            assert [field.result.source for field in log.fields()] == [
                f"old-{number}" for number in range(300)
            ]
            assert log.head().number == 300
            assert inspect(log).faults == ()

    kill_often(kills, prepare, check, "migration")


@pytest.fixture(scope="module")
def sampled_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of four samples of ten fields with pictures; the third is kept, the last is open."""
    path = tmp_path_factory.mktemp("sampled") / "blood.db"
    with BloodLog.open(path) as log:
        for sample in range(4):
            log.open_sample(f"S-{sample}", "blood", 200)
            for number in range(10):
                append(log, ThumbnailStore.beside(path), f"{sample}-{number}")
            if sample < 3:
                log.change_sample(f"S-{sample}", "closed")
        log.change_sample("S-2", "kept")
    return path


@pytest.mark.parametrize("kills", [3, pytest.param(65, marks=LONG)])
def test_a_backup_that_is_killed_at_any_moment(tmp_path: Path, sampled_log: Path, kills: int) -> None:
    folder = tmp_path / "backups"
    path = Path(shutil.copytree(sampled_log.parent, tmp_path / "live")) / sampled_log.name
    number = 0

    def run() -> None:
        with BloodLog.open(path, read_only=True) as log:
            back_up(log, ThumbnailStore.beside(path), folder)

    def prepare() -> Callable[[], None]:
        nonlocal number
        number += 1
        if number % 5 == 0 and folder.exists():
            shutil.rmtree(folder)
        with BloodLog.open(path) as log:
            append(log, ThumbnailStore.beside(path), f"new-{number}")
        return run

    def check(was_killed: bool) -> None:
        manifests = sorted(folder.glob("*.json"))
        for manifest in manifests:
            head, _ = read_manifest(manifest)
            with BloodLog.open(manifest.with_suffix(".db"), read_only=True) as copy:
                assert inspect(copy, [head], ThumbnailStore.beside(manifest)).faults == ()
        assert was_killed or manifests
        assert_sound(path)

    kill_often(kills, prepare, check, "backup")
    run()
    assert not list(folder.glob(".*.part")) or number > 1


@pytest.mark.parametrize("kills", [3, pytest.param(65, marks=LONG)])
def test_retention_that_is_killed_at_any_moment(tmp_path: Path, sampled_log: Path, kills: int) -> None:
    live = tmp_path / "live"
    path = live / sampled_log.name
    later = datetime.now(UTC) + timedelta(days=9)

    def run() -> None:
        with BloodLog.open(path) as log:
            retain(log, ThumbnailStore.beside(path), Policy(days=1, room_mb=1000), now=later)

    def prepare() -> Callable[[], None]:
        shutil.rmtree(live, ignore_errors=True)
        shutil.copytree(sampled_log.parent, live)
        return run

    def check(_was_killed: bool) -> None:
        store = ThumbnailStore.beside(path)
        assert_sound(path)
        assert kept_pictures(path) == 2 * 10 * 3
        run()
        assert_sound(path)
        with BloodLog.open(path) as log:
            needed = {sha256 for _, _, sha256 in needed_pictures(log)}
        assert {file.stem for file in store.files()} == needed

    kill_often(kills, prepare, check, "retention")


def kept_pictures(path: Path) -> int:
    """Count the pictures of the sample that is kept and of the one that is open."""
    store = ThumbnailStore.beside(path)
    with BloodLog.open(path) as log:
        fields = [*log.fields(log.sample("S-2").id), *log.fields(log.sample("S-3").id)]
    return sum(
        store.read(sha256) is not None
        for logged in fields
        for sha256 in (logged.image_sha256, *logged.thumbnails.values())
        if sha256 is not None
    )
