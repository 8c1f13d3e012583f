"""The hash chain over everything that the log holds, and what is wrong where it does not fit.

A link is ``sha256(previous link's hash, newline, content)`` in hexadecimal; the first one's previous is 64
zeros. The content is JSON with sorted keys: the kind, the row's columns by name, and for a field its cells.
Columns that are NULL are left out, so that a column added by a later migration changes no old link.

What it shows: a row that was changed, removed, slipped in, or put in another order. What it cannot show by
itself: a tail that was cut off with care, and a file whose links were all computed anew. Both show where a
head of the chain is known from elsewhere, a backup or a report on paper: see ``known`` of :func:`verify`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal[
    "field",
    "sample",
    "sample_event",
    "review",
    "removal",
    "repair",
    "assignment",
    "settlement",
    "signature",
    "verification",
    "verification_cell",
    "verification_word",
    "verification_event",
    "software_update",
    "control_run",
    "alarm",
    "acknowledgement",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: What the first link is chained to.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain.

    Attributes
    ----------
    number : of the last link; 0 for an empty log
    sha256 : its hash
    """

    number: int
    sha256: str

    def __str__(self) -> str:
        """Write it as :meth:`parse` reads it; the first 12 digits of the hash do for a report on paper."""
        return f"{self.number}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read ``NUMBER:SHA256``; of the hash the first digits are enough, at least 12.

        Twelve are 48 bits: nobody meets them by chance.

        Raises
        ------
        ValueError
            The text is something else.

        Examples
        --------
        >>> Head.parse("0:" + "0" * 64).number
        0
        """
        number, colon, sha256 = text.partition(":")
        digits = set("0123456789abcdef")
        if not colon or not number.isdecimal() or not 12 <= len(sha256) <= 64 or set(sha256) - digits:
            raise ValueError(f"a head of the chain is NUMBER:SHA256, got {text!r}")
        return cls(int(number), sha256)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not fit.

    Attributes
    ----------
    number : of the link, or None for a row that has none
    kind, row_id : of the row; None where the link itself is missing
    what : in words
    """

    number: int | None
    kind: str | None
    row_id: int | None
    what: str

    def __str__(self) -> str:
        """One line for a person."""
        where = "" if self.number is None else f"link {self.number}: "
        row = "" if self.kind is None else f"{self.kind} {self.row_id} "
        return f"{where}{row}{self.what}"


def head(connection: sqlite3.Connection) -> Head:
    """Read the end of the chain."""
    row = connection.execute("SELECT number, sha256 FROM link ORDER BY number DESC LIMIT 1").fetchone()
    return Head(0, GENESIS) if row is None else Head(*row)


def holds(connection: sqlite3.Connection, known: Head) -> bool:
    """Say whether a link is in the chain; the start of all chains is."""
    row = connection.execute("SELECT sha256 FROM link WHERE number = ?", (known.number,)).fetchone()
    return known.number == 0 or row == (known.sha256,)


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int:
    """Add a row, its values by column, and give its number; it has no link yet."""
    columns, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" for _ in values)
    number = connection.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values())
    ).lastrowid
    assert number is not None  # an INSERT that did not raise has one
    return number


def append(connection: sqlite3.Connection, kind: Kind, values: Mapping[str, object]) -> int:
    """Add a row and its link, and give the row's number; call it inside a write transaction."""
    number = insert(connection, kind, values)
    add_link(connection, kind, number)
    return number


def add_link(connection: sqlite3.Connection, kind: Kind, row_id: int) -> Head:
    """Chain a row that was just added; call it inside the same write transaction."""
    previous = head(connection)
    content = read_content(connection, kind, row_id)
    assert content is not None  # the caller has just added it
    link = Head(previous.number + 1, link_sha256(previous.sha256, content))
    connection.execute("INSERT INTO link VALUES (?, ?, ?, ?)", (link.number, kind, row_id, link.sha256))
    return link


def link_existing(connection: sqlite3.Connection) -> None:
    """Chain every row that has no link yet, kind by kind in the order of their ids.

    A migration calls it, to which the tables of later ones are unknown.
    """
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for kind in (kind for kind in KINDS if kind in there):
        for row_id in list(_without_link(connection, kind)):
            add_link(connection, kind, row_id)


def verify(connection: sqlite3.Connection, known: Collection[Head] = ()) -> Iterator[Fault]:
    """Compute every link anew.

    After a fault the stored hash is taken as given, so that each fault is named once.

    Parameters
    ----------
    connection : of the log; read in one transaction by the caller
    known : heads that the chain is known to have had, from backups or reports

    Yields
    ------
    what does not fit, in the order of the chain; nothing for an untouched log
    """
    previous, expected = GENESIS, 1
    for number, kind, row_id, sha256 in connection.execute(
        "SELECT number, kind, row_id, sha256 FROM link ORDER BY number"
    ):
        if number != expected:
            missing = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            yield Fault(expected, None, None, f"missing (links {missing})")
        content = read_content(connection, kind, row_id)
        if content is None:
            yield Fault(number, kind, row_id, "is missing")
        elif number == expected and not is_link(sha256, previous, content):
            yield Fault(number, kind, row_id, "was changed, or its place in the order was")
        for one in known:
            if number == one.number and not sha256.startswith(one.sha256):
                yield Fault(number, kind, row_id, f"is not what the known head says ({one.sha256[:12]}...)")
        previous, expected = sha256, number + 1
    yield from _cut_off(connection, expected, known)
    for kind in KINDS:
        for row_id in _without_link(connection, kind):
            yield Fault(None, kind, row_id, "was slipped in: it has no link")
    query = "SELECT DISTINCT field_id FROM cell WHERE field_id NOT IN (SELECT id FROM field)"
    for (field_id,) in connection.execute(query):
        yield Fault(None, "field", field_id, "is missing: cells of it are left")


def _cut_off(connection: sqlite3.Connection, expected: int, known: Collection[Head]) -> Iterator[Fault]:
    """Look for a tail that is gone: heads beyond the end, and row numbers that were given once."""
    reached = max((one.number for one in known), default=0)
    if reached >= expected:
        yield Fault(expected, None, None, f"missing: the chain is known to have reached link {reached}")
    linked = dict(connection.execute("SELECT kind, max(row_id) FROM link GROUP BY kind"))
    # A repaired log says itself which of its last rows were lost.
    for (lost,) in connection.execute(
        "SELECT lost -> 'numbered' FROM repair WHERE json_type(lost, '$.numbered') = 'object'"
    ):
        for kind, given in json.loads(lost).items():
            linked[kind] = max(linked.get(kind, 0), int(given))
    # SQLite keeps the last number of each table. Somebody careful changes that, too.
    for kind, given in connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name"):
        if kind in KINDS and given > linked.get(kind, 0):
            yield Fault(None, kind, given, "is missing at the end: the log once had it")


def is_link(sha256: str, previous: str, content: Mapping[str, Any]) -> bool:
    """Whether a link's hash is of this content, behind a link of that hash."""
    try:
        return link_sha256(previous, content) == sha256
    except ValueError:  # infinity, or a text that is none, where something else was
        return False


def read_content(connection: sqlite3.Connection, kind: Kind, row_id: int) -> dict[str, Any] | None:
    """Read everything that a link vouches for; None where the row is not there."""
    if kind not in KINDS:  # somebody has been at the file: nothing of his becomes SQL
        return None
    rows = _records(connection, f"SELECT * FROM {kind} WHERE id = ?", row_id)
    if not rows:
        return None
    content: dict[str, Any] = {"kind": kind, "row": rows[0]}
    if kind == "field":
        content["cells"] = _records(connection, "SELECT * FROM cell WHERE field_id = ? ORDER BY id", row_id)
    return content


def link_sha256(previous: str, content: Mapping[str, Any]) -> str:
    """Hash a row's content, in its one canonical form, together with the previous link's hash."""
    return hashlib.sha256(f"{previous}\n{canonical(content)}".encode()).hexdigest()


def canonical(content: Mapping[str, Any]) -> str:
    """Write JSON in the one form that is hashed: keys in alphabetical order, no spaces.

    Raises
    ------
    ValueError
        It holds infinity, or what JSON has no form for.
    """
    try:
        return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except TypeError as error:  # bytes, where somebody or something has been at the file
        raise ValueError(str(error)) from error


def _records(connection: sqlite3.Connection, query: str, row_id: int) -> list[dict[str, Any]]:
    cursor = connection.execute(query, (row_id,))
    names = [column[0] for column in cursor.description]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in cursor.fetchall()
    ]


def _without_link(connection: sqlite3.Connection, kind: Kind) -> Iterator[int]:
    query = (
        f"SELECT id FROM {kind} WHERE NOT EXISTS "
        "(SELECT 1 FROM link WHERE link.kind = ? AND link.row_id = id) ORDER BY id"
    )
    return (row_id for (row_id,) in connection.execute(query, (kind,)))
