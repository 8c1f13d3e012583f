"""Everything that can be wrong with a log and its pictures, found in one pass."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass

from edge.bloodlog import chain
from edge.bloodlog.chain import Head
from edge.bloodlog.connection import DAMAGE, snapshot
from edge.bloodlog.core import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import is_given_up, needed_pictures
from edge.bloodlog.schema import migrate, shipped_migrations

#: Faults of SQLite's own structures that are listed; a broken page often makes hundreds.
_MAX_STRUCTURE = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an inspection found.

    Attributes
    ----------
    head : end of the chain
    fields : fields in the log
    pictures : pictures that are there and agree with their name; None where they were not looked at, as in
        a file that is too damaged to say which there should be
    faults : what is wrong, a line each; empty where all is well
    """

    head: Head
    fields: int
    pictures: int | None
    faults: tuple[str, ...]


def inspect(log: BloodLog, known: Collection[Head] = (), store: ThumbnailStore | None = None) -> Verdict:
    """Look at the file's structure, at every row and link, and at every picture that must be there.

    Others may go on writing: the log is judged as it is at the first look.

    Parameters
    ----------
    log : open log; only read
    known : heads that the chain is known to have had
    store : where its pictures lie; None to leave them out

    """
    faults: list[str] = []
    is_damaged = False
    end, fields = Head(0, chain.GENESIS), 0
    with log.reading() as connection, snapshot(connection):
        try:
            (fields,) = connection.execute("SELECT count(*) FROM field").fetchone()
            end = chain.head(connection)
            faults += _look_at_schema(connection)
            lines = connection.execute(f"PRAGMA integrity_check({_MAX_STRUCTURE})").fetchall()
            faults += [f"file: {line}" for (line,) in lines if line != "ok"]
            faults += [str(fault) for fault in chain.verify(connection, known)]
        except DAMAGE as error:
            is_damaged = True
            faults.append(f"file: is damaged ({error}); `blastcount log repair` saves what can be read")
    if store is None or is_damaged:
        return Verdict(end, fields, None, tuple(faults))
    good, lost = _look_at_pictures(log, store)
    return Verdict(end, fields, good, (*faults, *lost))


def _look_at_schema(connection: sqlite3.Connection) -> list[str]:
    """Compare tables, indexes and triggers with those of a new log: the triggers are what refuses changes."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        migrate(new, shipped_migrations(), ":memory:")
        expected, found = _schema(new), _schema(connection)
    faults = [f"file: {name} is missing" for name in expected if name not in found]
    faults += [f"file: {name} is not part of a log" for name in found if name not in expected]
    return faults + [
        f"file: {name} is not as this program makes it"
        for name, text in expected.items()
        if found.get(name, text) != text
    ]


def _schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    return {
        f"{kind} {name}": " ".join(text.split())
        for kind, name, text in rows
        if not name.startswith("sqlite_")  # SQLite's own
    }


def _look_at_pictures(log: BloodLog, store: ThumbnailStore) -> tuple[int, list[str]]:
    good, suspect = 0, []
    for field_id, cell_id, sha256 in needed_pictures(log):
        if store.read(sha256) is None:
            suspect.append((field_id, cell_id, sha256))
        else:
            good += 1
    faults = []
    for field_id, cell_id, sha256 in suspect:
        # Retention may have removed it on purpose since.
        if not is_given_up(log, field_id):
            path = store.path(sha256)
            where = f"field {field_id}" if cell_id is None else f"cell {cell_id} of field {field_id}"
            faults.append(f"picture of {where} is {'damaged' if path.exists() else 'missing'}: {path}")
    return good, faults
