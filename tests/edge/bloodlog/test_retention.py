"""Old pictures go, never one that is needed, and being cut off harms nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edge.bloodlog import BloodLog, chain, retention
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import Policy, Removed, retain
from edge.bloodlog.samples import SampleChange
from edge.errors import DiskFullError, OutputError
from tests.edge.bloodlog.fields import PROVENANCE, make_result

KEEP_ALL = Policy(days=36500, room_mb=1e6)
NOTHING = Policy(days=1, room_mb=1e6)
LATER = datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def log(full: Path) -> Iterator[BloodLog]:
    with BloodLog.open(full) as opened:
        yield opened


def store_of(log: BloodLog) -> ThumbnailStore:
    return ThumbnailStore.beside(log.path)


def run(log: BloodLog, policy: Policy, **given: object) -> Removed:
    return retain(log, store_of(log), policy, **given)  # type: ignore[arg-type]  # keyword arguments pass through


def fields_with_pictures(log: BloodLog) -> set[int]:
    return {
        logged.id
        for logged in log.fields()
        if logged.image_sha256 is not None and store_of(log).get(logged.image_sha256) is not None
    }


def is_sound(log: BloodLog) -> bool:
    return inspect(log, store=store_of(log)).faults == ()


def test_a_young_log_keeps_all(log: BloodLog) -> None:
    removed = run(log, KEEP_ALL)
    assert (removed.by_age, removed.by_space, removed.files, removed.files_left) == ((), (), 0, 19)
    assert is_sound(log)


def test_old_pictures_go_and_rows_stay(log: BloodLog) -> None:
    before = [field.result for field in log.fields()]
    dry = run(log, NOTHING, now=LATER, dry_run=True)
    assert fields_with_pictures(log) == set(range(1, 8))
    removed = run(log, NOTHING, now=LATER)
    # The loose field's clock was not looked at, but it was logged before one that can be believed.
    assert removed.by_age == dry.by_age == tuple(range(1, 8))
    assert removed.files == dry.files == 19
    assert removed.bytes_freed == dry.bytes_freed > 0
    assert (removed.files_left, removed.bytes_left) == (0, 0)
    assert fields_with_pictures(log) == set()
    assert [field.result for field in log.fields()] == before
    assert is_sound(log)
    assert run(log, NOTHING, now=LATER).files == 0


@pytest.mark.parametrize(("change", "back"), [("reopened", "closed"), ("kept", "released")])
def test_a_sample_that_is_open_or_kept_keeps_its_pictures(
    log: BloodLog, change: SampleChange, back: SampleChange
) -> None:
    log.change_sample("S-1", change)
    for policy, now in ((NOTHING, LATER), (Policy(36500, room_mb=0.000001), None)):
        run(log, policy, now=now)
        assert fields_with_pictures(log) == {2, 3, 4}
        assert is_sound(log)
    log.change_sample("S-1", back)
    run(log, NOTHING, now=LATER)
    assert fields_with_pictures(log) == set()


def test_without_room_the_oldest_go_first(log: BloodLog) -> None:
    store = store_of(log)
    total = sum(path.stat().st_size for path in store.files())
    one = sum(store.size(sha256) for sha256 in (next(iter(log.fields())).image_sha256 or "",))
    removed = run(log, Policy(36500, room_mb=(total - one - 1) / 1e6))
    assert removed.by_space == (1, 2)
    assert fields_with_pictures(log) == {3, 4, 5, 6, 7}
    assert removed.bytes_left <= total - one - 1
    assert is_sound(log)


def test_a_disk_without_room_is_made_room_on(log: BloodLog) -> None:
    assert run(log, Policy(36500, room_mb=1e6, free_mb=1e12)).by_space == tuple(range(1, 8))


def test_a_clock_that_cannot_be_believed_removes_nothing_by_age(log: BloodLog) -> None:
    removed = run(log, NOTHING, now=LATER, clock_problem="it has jumped")
    assert (removed.by_age, removed.age_skipped) == ((), "it has jumped")
    assert fields_with_pictures(log) == set(range(1, 8))


def test_a_row_with_an_unbelievable_time_is_as_old_as_the_next_believable_one(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "blood.db") as log:
        store = store_of(log)
        for number, trusted in enumerate((False, True, False)):
            sha256 = store.put(np.full((16, 16, 3), 40 * number, np.uint8))
            log.append(make_result(), **PROVENANCE, clock_trusted=trusted, image_sha256=sha256)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        # The first was logged with a clock in 1970, the last with one in 2099.
        connection.execute("UPDATE field SET logged_at = '1970-01-01T00:00:00+00:00' WHERE id = 1")
        connection.execute("UPDATE field SET logged_at = '1971-01-01T00:00:00+00:00' WHERE id = 3")
    with BloodLog.open(log.path) as again:
        assert run(again, NOTHING, dry_run=True).by_age == ()
        assert run(again, NOTHING, now=LATER, dry_run=True).by_age == (1, 2)


def test_a_picture_that_two_fields_share_stays_until_both_are_given_up(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "blood.db") as log:
        store = store_of(log)
        sha256 = store.put(np.zeros((16, 16, 3), np.uint8))
        log.append(make_result(), **PROVENANCE, clock_trusted=True, image_sha256=sha256)
        sample = log.open_sample("S-1", "blood", 200)
        log.append(make_result(), **PROVENANCE, sample_id=sample.id, thumbnails={1: sha256})
        assert run(log, NOTHING, now=LATER).by_age == (1,)
        assert store.get(sha256) is not None
        log.change_sample("S-1", "closed")
        log.append(make_result(), **PROVENANCE, clock_trusted=True)
        assert run(log, NOTHING, now=LATER).by_age == (2,)
        assert store.get(sha256) is None


def test_what_was_left_half_done_is_finished(log: BloodLog) -> None:
    store = store_of(log)
    orphan = store.put(np.full((16, 16, 3), 255, np.uint8))
    half = store.path(orphan).with_name(".blastcount-77-aa.part")
    half.write_bytes(b"half")
    with BloodLog.open(log.path) as other, other.writing("x") as connection:
        # As if cut off after the row and before the files.
        chain.append(connection, "removal", {"field_id": 1, "at": "2026", "reason": "age"})
    assert run(log, KEEP_ALL, dry_run=True).files == 3
    assert half.exists()
    assert run(log, KEEP_ALL).files == 3
    assert not half.exists()
    assert store.get(orphan) is None
    assert fields_with_pictures(log) == {2, 3, 4, 5, 6, 7}
    assert is_sound(log)


def test_a_picture_whose_row_comes_meanwhile_stays(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(log)
    orphan = store.put(np.full((16, 16, 3), 255, np.uint8))
    wait = ThumbnailStore.tidying

    def append_meanwhile(self: ThumbnailStore) -> object:
        log.append(make_result(), **PROVENANCE, thumbnails={1: orphan})
        return wait(self)

    monkeypatch.setattr(ThumbnailStore, "tidying", append_meanwhile)
    run(log, KEEP_ALL)
    assert store.get(orphan) is not None
    assert is_sound(log)


def test_a_sample_that_is_kept_meanwhile_keeps_its_pictures(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = retention._older_than

    def keep_meanwhile(log: BloodLog, limit: datetime) -> list[int]:
        chosen = choose(log, limit)
        log.change_sample("S-2", "kept")
        return chosen

    monkeypatch.setattr(retention, "_older_than", keep_meanwhile)
    assert run(log, NOTHING, now=LATER).by_age == (1, 2, 3, 4)
    assert fields_with_pictures(log) == {5, 6, 7}


def test_a_file_that_cannot_be_removed_is_named(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"\.jpg: cannot be removed: Permission denied"):
        run(log, NOTHING, now=LATER)


def test_a_file_that_gets_its_name_meanwhile_is_no_accident(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [*store_of(log).files(), store_of(log).folder / "00" / ".blastcount-1-ab.part"]
    monkeypatch.setattr(ThumbnailStore, "files", lambda store: iter(listed))
    assert run(log, KEEP_ALL).files == 0


def test_a_disk_that_is_full_takes_what_can_be_written_down_and_makes_room_with_it(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_FIELDS", 2)
    writing, calls = BloodLog.writing, iter(range(100))

    def fills_up(self: BloodLog, failed: str) -> AbstractContextManager[sqlite3.Connection]:
        if next(calls) in (1, 3):
            raise DiskFullError("database or disk is full")
        return writing(self, failed)

    monkeypatch.setattr(BloodLog, "writing", fills_up)
    removed = run(log, NOTHING, now=LATER)
    assert removed.by_age == tuple(range(1, 8))
    assert removed.files == 19
    assert is_sound(log)


def test_a_disk_on_which_nothing_can_be_written_down_says_so(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: BloodLog, failed: str) -> AbstractContextManager[sqlite3.Connection]:
        raise DiskFullError("database or disk is full")

    monkeypatch.setattr(BloodLog, "writing", full)
    with pytest.raises(DiskFullError, match="1 MB is enough to begin with"):
        run(log, NOTHING, now=LATER)
    assert fields_with_pictures(log) == set(range(1, 8))
