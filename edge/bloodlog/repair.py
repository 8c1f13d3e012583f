"""What can be saved of a damaged log, in a new file; the damaged one is never touched.

Rows are looked up one by one, so that a broken page costs the rows on it and no others. A row is taken over
where its link says that it is as it was written, or where the link itself is lost and nothing can be said;
a row that its link contradicts is left behind. The new log is chained anew, keeps every row's number, and
ends with a row that says what was lost.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.bloodlog.chain import GENESIS, KINDS, Kind, add_link, append, insert, link_sha256, read_content
from edge.bloodlog.connection import check_name
from edge.bloodlog.core import BloodLog
from edge.bloodlog.inspection import inspect
from edge.bloodlog.schema import check_schema, shipped_migrations
from edge.device.clock import utc_now
from edge.device.durable import written_whole
from edge.device.hashing import file_sha256
from edge.errors import LogError, OutputError

#: Rows taken over in one transaction.
_BATCH_ROWS = 500
#: No row takes fewer bytes: bounds the numbers that are tried where the file no longer says how many it gave.
_SMALLEST_ROW_BYTES = 32


@dataclass(slots=True)
class Salvage:
    """What was saved and what was not.

    Attributes
    ----------
    saved : rows taken over, by table
    lost : numbers of rows that could not be read, by table
    changed : numbers of rows that their link contradicts, left behind, by table
    unchecked : numbers of rows taken over without a link that could be read, by table
    """

    saved: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    lost: dict[Kind, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    changed: dict[Kind, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    unchecked: dict[Kind, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


def repair(damaged: Path, target: Path) -> Salvage:
    """Save what can be saved of a log in a new file.

    Parameters
    ----------
    damaged : the log; only read, and nobody may be writing to it
    target : the new log; must not exist

    Raises
    ------
    LogError
        The damaged file is missing or not even its schema can be read, or the new one is there already.
    OutputError
        The new file cannot be written.
    """
    if target.exists():
        raise LogError(f"{target}: is there already; name a new file, nothing is ever overwritten")
    check_name(damaged, makes_it=False)
    if not damaged.is_file():
        raise LogError(f"{damaged}: no such log")
    try:
        with (
            written_whole(target, durable=True) as unfinished,
            _opened_copy(damaged, unfinished.parent) as source,
            BloodLog.open(unfinished) as log,
        ):
            salvage = _take_over(_Source(source, damaged.stat().st_size), log, damaged)
            faults = inspect(log).faults
            if faults:
                raise LogError(f"{damaged}: what was saved does not verify: {faults[0]}; restore a backup")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    return salvage


@contextmanager
def _opened_copy(damaged: Path, folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy: opening alone moves the journal's rows into the file."""
    with tempfile.TemporaryDirectory(prefix=".repair-", dir=folder) as copies:
        copy = Path(copies) / "damaged.db"
        shutil.copyfile(damaged, copy)
        journal = damaged.with_name(f"{damaged.name}-wal")
        if journal.exists():
            shutil.copyfile(journal, copy.with_name("damaged.db-wal"))
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            try:
                check_schema(connection, shipped_migrations(), str(damaged))
            except sqlite3.DatabaseError as error:
                raise LogError(
                    f"{damaged}: nothing can be saved, its schema cannot be read ({error}); restore a backup"
                ) from error
            yield connection


class _Source:
    """The damaged log, read row by row."""

    def __init__(self, connection: sqlite3.Connection, size_bytes: int) -> None:
        self._connection = connection
        self._most = size_bytes // _SMALLEST_ROW_BYTES
        self._tables = {name for (name,) in self._all("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        self.links: dict[tuple[str, int], int] = {}
        self._hashes = {0: GENESIS}
        for number in range(1, self._last("link", "number") + 1):
            query = "SELECT kind, row_id, sha256 FROM link WHERE number = ?"
            for kind, row_id, sha256 in self._all(query, number):
                self.links[kind, row_id] = number
                self._hashes[number] = sha256
        self.numbered: dict[Kind, int] = {kind: self._last(kind, "id") for kind in KINDS}

    @property
    def head(self) -> str | None:
        """The last link that could be read; None where there is none."""
        last = max(self._hashes)
        return f"{last}:{self._hashes[last]}" if last else None

    def rows(self, salvage: Salvage) -> list[tuple[Kind, int]]:
        """Name the rows to be taken over, in the order in which they were added; note the others."""
        placed = []
        for kind in KINDS:
            place = 0
            for row_id in range(1, self.numbered[kind] + 1):
                place = self.links.get((kind, row_id), place)
                if self._is_usable(kind, row_id, salvage):
                    placed.append((place, row_id, kind))
        return [(kind, row_id) for _, row_id, kind in sorted(placed)]

    def read(self, kind: Kind, row_id: int) -> dict[str, Any] | None:
        """Read a row; None where it is not there or cannot be read."""
        if kind not in self._tables:
            return None
        try:
            return read_content(self._connection, kind, row_id)
        except sqlite3.DatabaseError:
            return None

    def _is_usable(self, kind: Kind, row_id: int, salvage: Salvage) -> bool:
        content = self.read(kind, row_id)
        if content is None:
            salvage.lost[kind].append(row_id)
            return False
        number = self.links.get((kind, row_id))
        before = None if number is None else self._hashes.get(number - 1)
        if number is None or before is None:
            salvage.unchecked[kind].append(row_id)
            return True
        try:
            is_as_written = link_sha256(before, content) == self._hashes[number]
        except ValueError:  # not a number, where a number was
            is_as_written = False
        if not is_as_written:
            salvage.changed[kind].append(row_id)
        return is_as_written

    def _last(self, table: str, key: str) -> int:
        """Find the last number that a table gave, in any of the places that may still say so."""
        if table not in self._tables:
            return 0
        numbers = [
            *self._all("SELECT seq FROM sqlite_sequence WHERE name = ?", table),
            *self._all(f"SELECT max({key}) FROM {table}"),
            *self._all("SELECT max(row_id) FROM link WHERE kind = ?", table),
        ]
        # Nothing in an empty table, one line of NULL from max(); no answer at all where a page is broken.
        return min(max((number or 0 for (number,) in numbers), default=self._most), self._most)

    def _all(self, query: str, *values: object) -> list[Any]:
        """Read what can be read; nothing where the page is broken or the table is not there."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError:
            return []


def _take_over(source: _Source, log: BloodLog, damaged: Path) -> Salvage:
    salvage = Salvage()
    rows = source.rows(salvage)
    with log.reading() as connection:
        # A row may refer to one that is lost.
        connection.execute("PRAGMA foreign_keys = OFF")
    for start in range(0, len(rows), _BATCH_ROWS):
        with log.writing("nothing was saved") as connection:
            for kind, row_id in rows[start : start + _BATCH_ROWS]:
                if _insert(connection, source, kind, row_id):
                    salvage.saved[kind] += 1
                else:
                    salvage.unchecked[kind].remove(row_id)
                    salvage.changed[kind].append(row_id)
    with log.writing("nothing was saved") as connection:
        _keep_numbers(connection, source.numbered)
        report = {
            "lost": _ranges(salvage.lost),
            "changed": _ranges(salvage.changed),
            "unchecked": _ranges(salvage.unchecked),
            "numbered": source.numbered,
        }
        row = {
            "at": utc_now().isoformat(),
            "damaged_sha256": file_sha256(damaged),
            "damaged_head": source.head,
            "lost": json.dumps(report),
        }
        append(connection, "repair", row)
    return salvage


def _insert(connection: sqlite3.Connection, source: _Source, kind: Kind, row_id: int) -> bool:
    """Take one row over, with its number; return whether the schema lets it in."""
    content = source.read(kind, row_id)
    assert content is not None  # it was read a moment ago
    connection.execute("SAVEPOINT row")
    try:
        insert(connection, kind, content["row"])
        for cell in content.get("cells", ()):
            insert(connection, "cell", cell)
        add_link(connection, kind, row_id)
    except (sqlite3.IntegrityError, ValueError):
        connection.execute("ROLLBACK TO row")
        return False
    finally:
        connection.execute("RELEASE row")
    return True


def _keep_numbers(connection: sqlite3.Connection, numbered: Mapping[Kind, int]) -> None:
    """Let no number that a lost row had be given again: somebody may have noted it."""
    for kind, last in numbered.items():
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (kind,))
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (kind, last))


def _ranges(numbers: Mapping[Kind, Sequence[int]]) -> dict[str, list[list[int]]]:
    return {kind: spans(rows) for kind, rows in numbers.items() if rows}


def spans(numbers: Sequence[int]) -> list[list[int]]:
    """Write numbers as first and last of each run.

    Examples
    --------
    >>> spans([1, 2, 3, 7])
    [[1, 3], [7, 7]]
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs
