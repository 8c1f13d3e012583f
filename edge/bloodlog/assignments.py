"""Fields that were counted without a sample, put into one afterwards: by rows of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edge.bloodlog.chain import append
from edge.bloodlog.samples import Sample, get_sample
from edge.bloodlog.users import check_person
from edge.device.clock import utc_now
from edge.errors import LogError

#: Warning of a field that was put into a sample afterwards. Nobody kept its picture, so that its cells were
#: compared with no other field's.
ASSIGNED = "assigned"

#: Of a row of ``field``: the sample that it was put into last; NULL where none, or out of it again.
ASSIGNED_TO = """
(SELECT assignment.sample_id FROM assignment WHERE assignment.field_id = field.id
 ORDER BY assignment.id DESC LIMIT 1)
"""
_WHERE = """
SELECT sample.name, assigned FROM membership JOIN sample ON sample.id = membership.sample_id
WHERE field_id = ?
"""


def assign(connection: sqlite3.Connection, name: str | None, fields: Sequence[int], who: str) -> int:
    """Put fields into a sample, or out of it again; call it inside a write transaction.

    A field that is there already adds no row.

    Parameters
    ----------
    connection : of the log
    name : of an open sample; None for none
    fields : numbers of fields that were counted without a sample
    who : whom it is put down to

    Returns
    -------
    how many were added

    Raises
    ------
    LogError
        There is no such field or sample, the sample is closed, or a field belongs to another one.
    """
    check_person(who)
    sample = None if name is None else _open(connection, name)
    at, added = utc_now().isoformat(), 0
    for field_id in dict.fromkeys(fields):
        if connection.execute("SELECT 1 FROM field WHERE id = ?", (field_id,)).fetchone() is None:
            raise LogError(f"there is no field {field_id}")
        row = connection.execute(_WHERE, (field_id,)).fetchone()
        now_in, assigned = row or (None, False)
        if now_in == name:
            continue
        if now_in is not None and not assigned:
            raise LogError(f"field {field_id} was counted into sample {now_in}, and stays there")
        if now_in is not None and name is not None:
            raise LogError(
                f"field {field_id} was put into sample {now_in}; take it out with "
                f"`blastcount sample unassign {field_id}` first"
            )
        if now_in is not None:
            _open(connection, now_in)
        put_into = None if sample is None else sample.id
        append(connection, "assignment", {"field_id": field_id, "sample_id": put_into, "at": at, "who": who})
        added += 1
    return added


def unassigned(connection: sqlite3.Connection) -> list[int]:
    """List the fields that belong to no sample, oldest first."""
    query = "SELECT id FROM field WHERE id NOT IN (SELECT field_id FROM membership) ORDER BY id"
    return [number for (number,) in connection.execute(query)]


def last_assignment(connection: sqlite3.Connection) -> int:
    """Give the number of the newest assignment of any field, 0 where there is none."""
    (number,) = connection.execute("SELECT coalesce(max(id), 0) FROM assignment").fetchone()
    return int(number)


def _open(connection: sqlite3.Connection, name: str) -> Sample:
    sample = get_sample(connection, name)
    if not sample.is_open:
        raise LogError(f"sample {name} is closed; `blastcount sample reopen {name}` lets its fields change")
    return sample
