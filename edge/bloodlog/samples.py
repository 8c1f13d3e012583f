"""Samples: a patient's slide under a pseudonymous id, opened, closed, kept; at most one is open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from edge.bloodlog.chain import append
from edge.bloodlog.users import Role, check_person
from edge.device.clock import utc_now
from edge.errors import LogError

Specimen = Literal["blood", "marrow"]
#: Who a change of a sample is put down to where nobody is named.
NOBODY = "unnamed"
#: White cells that a sample which is searched for few blasts is counted to.
SEARCH_QUOTAS = (500, 1000, 2000)
#: What may happen to a sample after it was opened for the first time.
SampleChange = Literal["closed", "reopened", "kept", "released"]

#: A sample with its last change of either kind.
_SELECT = """
SELECT sample.id, name, specimen, quota, search, opened_at,
       CASE last.event WHEN 'closed' THEN last.at END, CASE last.event WHEN 'closed' THEN last.who END,
       CASE last.event WHEN 'closed' THEN last.role END,
       coalesce((SELECT event = 'kept' FROM sample_event
                 WHERE sample_id = sample.id AND event IN ('kept', 'released') ORDER BY id DESC LIMIT 1), 0),
       (SELECT slide FROM control_run WHERE sample_id = sample.id)
FROM sample LEFT JOIN sample_event AS last
ON last.id = (SELECT max(id) FROM sample_event
              WHERE sample_id = sample.id AND event IN ('opened', 'reopened', 'closed'))
"""

_LAST_OPENED = """
SELECT sample_id FROM sample_event WHERE event IN ('opened', 'reopened') ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample and its state.

    Attributes
    ----------
    id : row in the log, 1, 2, ...
    name : pseudonymous id that the laboratory gave it, e.g. ``S-0142``
    specimen : ``blood`` or ``marrow``
    quota : white cells to be counted
    opened_at : aware UTC wall time of the first opening
    closed_at : when it was closed, None while it is open
    kept : its pictures are never removed to make room
    closed_by : who closed it, None while it is open or where nobody was named
    closed_as : the role of who closed it and had signed in; None for a name on trust
    search : it is searched for few blasts among many cells, see edge/results/search.py
    slide : control slide that it is a run of; None for a patient's sample
    """

    id: int
    name: str
    specimen: Specimen
    quota: int
    opened_at: datetime
    closed_at: datetime | None
    kept: bool
    closed_by: str | None = None
    closed_as: Role | None = None
    search: bool = False
    slide: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether fields are counted into it."""
        return self.closed_at is None


def add_sample(
    connection: sqlite3.Connection,
    name: str,
    specimen: Specimen,
    quota: int,
    who: str,
    role: Role | None = None,
    *,
    search: bool = False,
) -> Sample:
    """Add and open a sample; call it inside a write transaction.

    Raises
    ------
    LogError
        The name is taken or a control slide's code, another sample is open, or a value cannot be.
    """
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise LogError(f"a sample's id must be 1 to 64 printable characters, got {name!r}")
    if specimen not in get_args(Specimen):
        raise LogError(f"a sample's specimen must be blood or marrow, got {specimen!r}")
    if quota < 1:
        raise LogError(f"a sample's quota must be 1 or more white cells, got {quota}")
    if search and quota not in SEARCH_QUOTAS:
        raise LogError(f"a search counts to {', '.join(map(str, SEARCH_QUOTAS))} white cells, got {quota}")
    there = named_sample(connection, name)
    if there is not None:
        raise LogError(
            f"sample {name} exists already, {'open' if there.is_open else 'closed'} since "
            f"{(there.closed_at or there.opened_at):%Y-%m-%d %H:%M} UTC; choose another id, or reopen it"
        )
    if connection.execute("SELECT 1 FROM control_run WHERE slide = ?", (name,)).fetchone():
        raise LogError(f"{name} is the code of a control slide; give the sample a code of its own")
    _refuse_second(connection, name)
    at = utc_now().isoformat()
    row = {"name": name, "specimen": specimen, "quota": quota, "opened_at": at, "search": search or None}
    _add_event(connection, append(connection, "sample", row), at, "opened", who, role)
    return get_sample(connection, name)


def change_sample(
    connection: sqlite3.Connection, name: str, change: SampleChange, who: str, role: Role | None = None
) -> Sample:
    """Close, reopen, keep or release a sample; call it inside a write transaction.

    Saying what is so already changes nothing and adds no row.

    Raises
    ------
    LogError
        There is no such sample, or it cannot be reopened while another one is open.
    """
    sample = get_sample(connection, name)
    is_so = {
        "closed": not sample.is_open,
        "reopened": sample.is_open,
        "kept": sample.kept,
        "released": not sample.kept,
    }
    if is_so[change]:
        return sample
    if change == "reopened":
        _refuse_second(connection, name)
    _add_event(connection, sample.id, utc_now().isoformat(), change, who, role)
    return get_sample(connection, name)


def get_sample(connection: sqlite3.Connection, name: str) -> Sample:
    """Look one sample up.

    Raises
    ------
    LogError
        There is none of this name.
    """
    sample = named_sample(connection, name)
    if sample is None:
        raise LogError(f"there is no sample {name}; `blastcount sample list` shows those that there are")
    return sample


def named_sample(connection: sqlite3.Connection, name: str) -> Sample | None:
    """Look up the sample of a name; None where there is none."""
    return _find(connection, "name = ?", name)


def numbered_sample(connection: sqlite3.Connection, sample_id: int) -> Sample | None:
    """Look up the sample of a row; None where there is none."""
    return _find(connection, "sample.id = ?", sample_id)


def open_sample(connection: sqlite3.Connection) -> Sample | None:
    """Look up the sample that is open, if one is; the daemon asks ten times a second.

    One at a time is open: the last that was opened, unless it was closed since.
    """
    sample = _find(connection, f"sample.id = ({_LAST_OPENED})")
    return sample if sample is not None and sample.is_open else None


def all_samples(connection: sqlite3.Connection) -> Iterator[Sample]:
    """Go through all samples in the order of their first opening."""
    return map(_sample, connection.execute(f"{_SELECT} ORDER BY sample.id").fetchall())


def _find(connection: sqlite3.Connection, where: str, *values: object) -> Sample | None:
    row = connection.execute(f"{_SELECT} WHERE {where}", values).fetchone()
    return None if row is None else _sample(row)


def _refuse_second(connection: sqlite3.Connection, name: str) -> None:
    there = open_sample(connection)
    if there is not None:
        raise LogError(f"sample {there.name} is open; close it before you open {name}")


def _add_event(
    connection: sqlite3.Connection, sample_id: int, at: str, event: str, who: str, role: Role | None
) -> None:
    check_person(who)
    row = {"sample_id": sample_id, "at": at, "event": event, "who": who, "role": role}
    append(connection, "sample_event", row)


def _sample(row: tuple[Any, ...]) -> Sample:
    sample_id, name, specimen, quota, search, opened_at, closed_at, closed_by, closed_as, kept, slide = row
    return Sample(
        id=sample_id,
        name=name,
        specimen=specimen,
        quota=quota,
        opened_at=datetime.fromisoformat(opened_at),
        closed_at=None if closed_at is None else datetime.fromisoformat(closed_at),
        kept=bool(kept),
        closed_by=None if closed_by == NOBODY else closed_by,
        closed_as=closed_as,
        search=search is not None,
        slide=slide,
    )
