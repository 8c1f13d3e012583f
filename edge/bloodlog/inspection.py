"""Everything that can be wrong with a log and its pictures, found in one pass."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from edge.bloodlog import chain
from edge.bloodlog.chain import Head
from edge.bloodlog.connection import snapshot
from edge.bloodlog.core import BloodLog
from edge.bloodlog.retention import is_given_up, needed_pictures
from edge.thumbnails import ThumbnailStore

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
            lines = connection.execute(f"PRAGMA integrity_check({_MAX_STRUCTURE})").fetchall()
            faults += [f"file: {line}" for (line,) in lines if line != "ok"]
            faults += [str(fault) for fault in chain.verify(connection, known)]
        except sqlite3.DatabaseError as error:
            is_damaged = True
            faults.append(f"file: is damaged ({error}); `blastcount log repair` saves what can be read")
    if store is None or is_damaged:
        return Verdict(end, fields, None, tuple(faults))
    good, lost = _look_at_pictures(log, store)
    return Verdict(end, fields, good, (*faults, *lost))


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
