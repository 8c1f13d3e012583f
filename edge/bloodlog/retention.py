"""Pictures make room: by age and by space, never of a sample that is open or kept. Rows stay for good.

A field's rows take 6 kB with twenty cells, its picture more than 60 times as much (410 kB at 1712 x 1368,
median of 24 real fields): there is little to win by removing rows, and a count that was reported could no
longer be looked up. Contours of cells, 100 bytes each, are no pictures and stay with them.

First the row that says which field's pictures go is written, then the files go. Cut off in between, the next
run removes what is left over: any file that no row needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.bloodlog.chain import append
from edge.bloodlog.connection import snapshot
from edge.bloodlog.core import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.config import StorageConfig
from edge.device.clock import utc_now
from edge.device.disk import DiskGuard
from edge.errors import DiskFullError, OutputError

Reason = Literal["age", "space"]

#: Fields given up in one transaction: short enough that a field waits for less than a second to be logged.
BATCH_FIELDS = 50
#: Files removed at a time, while storing pictures waits.
BATCH_FILES = 200
_MB = 1e6

#: Fields whose pictures may go, oldest first by number: not those of a sample that is open or kept.
_MAY_GO = """
SELECT field.id, field.logged_at, field.clock_trusted FROM field
WHERE field.id BETWEEN :first AND :last
  AND NOT EXISTS (SELECT 1 FROM removal WHERE removal.field_id = field.id)
  AND (image_sha256 IS NOT NULL
       OR EXISTS (SELECT 1 FROM cell WHERE field_id = field.id AND thumbnail_sha256 IS NOT NULL))
  AND (sample_id IS NULL OR (
    'closed' = (SELECT event FROM sample_event AS e WHERE e.sample_id = field.sample_id
                AND event IN ('opened', 'reopened', 'closed') ORDER BY id DESC LIMIT 1)
    AND 'kept' <> coalesce((SELECT event FROM sample_event AS e WHERE e.sample_id = field.sample_id
                AND event IN ('kept', 'released') ORDER BY id DESC LIMIT 1), 'released')))
ORDER BY field.id
"""
_ALL = {"first": 1, "last": 2**63 - 1}
#: Pictures that must be there: field, cell (NULL for the whole field), hash.
_NEEDED = """
SELECT id, NULL, image_sha256 FROM field
WHERE id > :after AND image_sha256 IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM removal WHERE removal.field_id = field.id)
UNION ALL
SELECT field_id, id, thumbnail_sha256 FROM cell
WHERE field_id > :after AND thumbnail_sha256 IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM removal WHERE removal.field_id = cell.field_id)
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """When pictures go.

    Attributes
    ----------
    days : pictures older than this go
    room_mb : room for all pictures together, MB of 10^6 bytes; beyond it the oldest go
    free_mb : so they do until this much is free on the disk
    """

    days: float
    room_mb: float
    free_mb: float = 0.0

    @classmethod
    def of(cls, storage: StorageConfig) -> Policy:
        """Make the one that a configuration asks for."""
        return cls(storage.pictures_days, storage.pictures_mb, storage.reserve_mb)


@dataclass(frozen=True, slots=True)
class Removed:
    """What one run of retention did, or would do.

    Attributes
    ----------
    by_age, by_space : fields whose pictures were given up
    files, bytes_freed : files that went, those that no row needs among them
    files_left, bytes_left : pictures that are left
    age_skipped : why nothing went by age; None where the clock could be believed
    """

    by_age: tuple[int, ...]
    by_space: tuple[int, ...]
    files: int
    bytes_freed: int
    files_left: int
    bytes_left: int
    age_skipped: str | None


def retain(
    log: BloodLog,
    store: ThumbnailStore,
    policy: Policy,
    *,
    now: datetime | None = None,
    clock_problem: str | None = None,
    dry_run: bool = False,
) -> Removed:
    """Remove pictures that are too old or too many, and files that no row needs.

    Cut off at any moment, it loses nothing that was to stay; the next run finishes the work.

    Parameters
    ----------
    log, store : the log and its pictures; others may go on writing
    policy : what is too old and too many
    now : aware UTC time; None for that of the clock
    clock_problem : why the clock cannot be believed; nothing goes by age then
    dry_run : change nothing, only say what would go

    Raises
    ------
    LogError
        The log cannot be read or written.
    OutputError
        A file cannot be removed.
    """
    old: list[int] = []
    if clock_problem is None:
        old = _older_than(log, (now or utc_now()) - timedelta(days=policy.days))
    by_age: list[int] = []
    by_space: list[int] = []
    removed = bytes_freed = 0
    while True:
        try:
            _give_up(log, old, "age", by_age, dry_run=dry_run)
            files = _Files(store, _Needed(log, by_age + by_space))
            excess = _excess(store, policy, files)
            if excess > 0:
                oldest = _oldest(log, store, {*by_age, *by_space}, excess)
                _give_up(log, oldest, "space", by_space, dry_run=dry_run)
            is_full = False
        except DiskFullError:
            # Not all that is to go could be written down. What could be makes room for the rest.
            is_full = True
        files = _Files(store, _Needed(log, by_age + by_space))
        if not dry_run:
            files.remove_rubbish(log)
        removed += len(files.rubbish)
        bytes_freed += files.rubbish_bytes
        if not is_full:
            break
        if not files.rubbish:
            raise DiskFullError(
                f"{log.path}: the disk is full, down to the room that is set aside for this; "
                "remove something else from it, 1 MB is enough to begin with"
            )
    return Removed(
        by_age=tuple(by_age),
        by_space=tuple(by_space),
        files=removed,
        bytes_freed=bytes_freed,
        files_left=files.needed,
        bytes_left=files.needed_bytes,
        age_skipped=clock_problem,
    )


def _excess(store: ThumbnailStore, policy: Policy, files: _Files) -> float:
    """Bytes of needed pictures beyond the room that they may take, or that their disk lacks."""
    disk = store.folder if store.folder.is_dir() else store.folder.parent
    lacking = policy.free_mb * _MB - DiskGuard(disk).free_mb() * _MB - files.rubbish_bytes
    return max(files.needed_bytes - policy.room_mb * _MB, lacking)


def needed_pictures(log: BloodLog, after_field: int = 0) -> Iterator[tuple[int, int | None, str]]:
    """Go through the pictures that must be there: field, cell (None for the whole field), SHA-256."""
    with log.reading() as connection:
        yield from connection.execute(_NEEDED, {"after": after_field})


def is_given_up(log: BloodLog, field_id: int) -> bool:
    """Whether a field's pictures were removed on purpose."""
    with log.reading() as connection:
        query = "SELECT 1 FROM removal WHERE field_id = ?"
        return connection.execute(query, (field_id,)).fetchone() is not None


def _older_than(log: BloodLog, limit: datetime) -> list[int]:
    """Name fields that were certainly logged before a time.

    The time of a row that was logged with a clock nobody could believe is not used. It was logged before the
    next row whose time can be believed, for rows are numbered in the order of their writing.
    """
    with log.reading() as connection:
        candidates = connection.execute(_MAY_GO, _ALL).fetchall()
        trusted = "SELECT min(id) FROM field WHERE id >= ? AND clock_trusted = 1"
        at = "SELECT logged_at FROM field WHERE id = ?"
        old = []
        for field_id, logged_at, clock_trusted in candidates:
            if not clock_trusted:
                (witness,) = connection.execute(trusted, (field_id,)).fetchone()
                if witness is None:
                    continue
                (logged_at,) = connection.execute(at, (witness,)).fetchone()
            if datetime.fromisoformat(logged_at) < limit:
                old.append(field_id)
    return old


def _oldest(log: BloodLog, store: ThumbnailStore, given_up: set[int], excess: float) -> list[int]:
    """Name the oldest fields whose pictures together take at least so many bytes."""
    chosen: list[int] = []
    with log.reading() as connection:
        for field_id, _, _ in connection.execute(_MAY_GO, _ALL).fetchall():
            if excess <= 0:
                break
            if field_id in given_up:
                continue
            hashes = connection.execute(
                "SELECT image_sha256 FROM field WHERE id = :field UNION "
                "SELECT thumbnail_sha256 FROM cell WHERE field_id = :field",
                {"field": field_id},
            ).fetchall()
            excess -= sum(store.size(sha256) for (sha256,) in hashes if sha256 is not None)
            chosen.append(field_id)
    return chosen


def _give_up(log: BloodLog, fields: list[int], reason: Reason, given_up: list[int], *, dry_run: bool) -> None:
    """Write down that the pictures of fields go; leave out those that somebody opened or kept meanwhile.

    Parameters
    ----------
    log, fields, reason : what goes, and why
    given_up : those that are written down are added to it, batch by batch
    dry_run : write nothing
    """
    if dry_run:
        given_up += fields
        return
    done = set(given_up)
    fields = [field_id for field_id in fields if field_id not in done]
    for start in range(0, len(fields), BATCH_FIELDS):
        batch = []
        with log.writing("no pictures were removed") as connection:
            for field_id in fields[start : start + BATCH_FIELDS]:
                # Asked again inside the transaction: nobody can open or keep a sample until it ends.
                if connection.execute(_MAY_GO, {"first": field_id, "last": field_id}).fetchone() is None:
                    continue
                row = {"field_id": field_id, "at": utc_now().isoformat(), "reason": reason}
                append(connection, "removal", row)
                batch.append(field_id)
        given_up += batch


class _Needed:
    """Hashes of the pictures that rows need, in 8 bytes each: a laboratory has millions of cells.

    Two hashes that begin with the same 64 bits would only let a file stay.
    """

    def __init__(self, log: BloodLog, given_up: Sequence[int]) -> None:
        left_out = set(given_up)
        with log.reading() as connection, snapshot(connection):
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM field").fetchone()
            keys = np.fromiter(
                (
                    _key(sha256)
                    for field_id, _, sha256 in connection.execute(_NEEDED, {"after": 0})
                    if field_id not in left_out
                ),
                np.uint64,
            )
        self._keys: NDArray[np.uint64] = np.unique(keys)
        self._newer: set[int] = set()
        self._last_field = int(last)

    def look_again(self, log: BloodLog) -> None:
        """Add what rows need that were appended since."""
        for field_id, _, sha256 in needed_pictures(log, self._last_field):
            self._newer.add(_key(sha256))
            self._last_field = max(self._last_field, field_id)

    def __contains__(self, sha256: str) -> bool:
        """Whether a row needs this picture."""
        key = _key(sha256)
        place = int(np.searchsorted(self._keys, np.uint64(key)))
        return key in self._newer or (place < len(self._keys) and int(self._keys[place]) == key)


def _key(sha256: str) -> int:
    return int(sha256[:16], 16)


class _Files:
    """The files of a store: those that rows need, and rubbish."""

    def __init__(self, store: ThumbnailStore, needed: _Needed) -> None:
        self._store = store
        self._names = needed
        self.needed = self.needed_bytes = self.rubbish_bytes = 0
        self.rubbish: list[Path] = []
        for path in store.files():
            try:
                size = path.stat().st_size
            except FileNotFoundError:  # half-written when it was listed, and has its name since
                continue
            if self._is_needed(path):
                self.needed += 1
                self.needed_bytes += size
            else:
                self.rubbish.append(path)
                self.rubbish_bytes += size

    def remove_rubbish(self, log: BloodLog) -> None:
        """Remove the files that no row needs, a few at a time so that storing pictures never waits long."""
        for start in range(0, len(self.rubbish), BATCH_FILES):
            with self._store.tidying():
                # Whoever was storing a picture has its row in the log now.
                self._names.look_again(log)
                for path in self.rubbish[start : start + BATCH_FILES]:
                    if not self._is_needed(path):
                        try:
                            path.unlink(missing_ok=True)
                        except OSError as error:
                            raise OutputError(f"{path}: cannot be removed: {error.strerror}") from error

    def _is_needed(self, path: Path) -> bool:
        # What a killed process left half-written has another suffix.
        return path.suffix == ".jpg" and len(path.stem) == 64 and path.stem in self._names
