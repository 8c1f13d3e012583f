"""Signatures: a person's password, entered again under what a sample holds, with what is meant by it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from edge.bloodlog.belonging import content_sha256
from edge.bloodlog.chain import append
from edge.bloodlog.samples import Sample
from edge.bloodlog.users import Role, check_person
from edge.device.clock import utc_now
from edge.errors import LogBehindError, LogError

#: What somebody signs for: having looked at the cells, or having checked who has.
Meaning = Literal["counted", "checked"]

_COLUMNS = "id, sample_id, at, clock_trusted, who, role, meaning, content_sha256"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature.

    Attributes
    ----------
    id : row in the log
    sample_id : of the sample that was signed
    at : aware UTC wall time
    clock_trusted : whether that can be believed; None where nobody looked
    who, role : the user that signed, as he or she was then
    meaning : ``counted`` or ``checked``
    content_sha256 : of all that the sample held then; where it holds something else now, this is not signed
    """

    id: int
    sample_id: int
    at: datetime
    clock_trusted: bool | None
    who: str
    role: Role
    meaning: Meaning
    content_sha256: str


def insert_signature(
    connection: sqlite3.Connection,
    sample: Sample,
    meaning: Meaning,
    who: str,
    role: Role,
    *,
    seen_sha256: str,
    nonce: str,
    clock_trusted: bool | None,
) -> Signature:
    """Add a signature; call it inside a write transaction.

    Parameters
    ----------
    connection : of the log
    sample : closed
    meaning, who, role : see :class:`Signature`
    seen_sha256 : of what the person has seen
    nonce : of the form that was filled in: none signs twice
    clock_trusted : whether the wall clock can be believed

    Raises
    ------
    LogBehindError
        The sample has changed since the person saw it.
    LogError
        The sample is open, the form has signed already, or the meaning or the name is none.
    """
    if meaning not in get_args(Meaning):
        raise LogError(f"a signature means {' or '.join(get_args(Meaning))}; got {meaning!r}")
    check_person(who)
    if sample.is_open:
        raise LogError(f"sample {sample.name} is open; close it before it is signed")
    if content_sha256(connection, sample.id) != seen_sha256:
        raise LogBehindError(f"sample {sample.name} has changed since it was looked at; look again")
    if connection.execute("SELECT 1 FROM signature WHERE nonce = ?", (nonce,)).fetchone() is not None:
        raise LogError("this form has signed already; load the page again")
    row = {
        "sample_id": sample.id,
        "at": utc_now().isoformat(),
        "clock_trusted": None if clock_trusted is None else int(clock_trusted),
        "who": who,
        "role": role,
        "meaning": meaning,
        "content_sha256": seen_sha256,
        "nonce": nonce,
    }
    number = append(connection, "signature", row)
    return next(one for one in select_signatures(connection, sample.id) if one.id == number)


def select_signatures(connection: sqlite3.Connection, sample_id: int) -> list[Signature]:
    """List the signatures of a sample, oldest first."""
    query = f"SELECT {_COLUMNS} FROM signature WHERE sample_id = ? ORDER BY id"
    return [
        Signature(
            number, of, datetime.fromisoformat(at), None if trusted is None else bool(trusted), *as_stored
        )
        for number, of, at, trusted, *as_stored in connection.execute(query, (sample_id,))
    ]
