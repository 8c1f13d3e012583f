"""What a supervisor says of cells on which readers differ: rows beside theirs, which stay as they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from edge.bloodlog.chain import append
from edge.bloodlog.reviews import ReviewLabel, check_word
from edge.device.clock import utc_now
from edge.structures import CellRef


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was settled of one cell. The last one of a cell holds.

    Attributes
    ----------
    id : row in the log
    cell : which
    label : what it is; None where an earlier settlement was taken back
    who : the supervisor
    at : aware UTC wall time
    after_review : id of the last word of anybody that was in the log then
    """

    id: int
    cell: CellRef
    label: ReviewLabel | None
    who: str
    at: datetime
    after_review: int


def insert_settlements(
    connection: sqlite3.Connection, words: Mapping[CellRef, ReviewLabel | None], who: str
) -> None:
    """Add what a supervisor says of some cells; call it inside a write transaction.

    Raises
    ------
    LogError
        There is no such cell, or the label or the name cannot be.
    """
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM review").fetchone()
    for cell, label in words.items():
        check_word(connection, cell, label, who)
        row = {
            "field_id": cell.field_id,
            "cell_id": cell.cell_id,
            "label": label,
            "who": who,
            "role": "supervisor",
            "at": utc_now().isoformat(),
            "after_review": last,
        }
        append(connection, "settlement", row)


def select_settlements(connection: sqlite3.Connection, sample_id: int) -> list[Settlement]:
    """List everything that was settled in a sample, oldest first."""
    rows = connection.execute(
        "SELECT settlement.id, settlement.field_id, cell_id, label, who, at, after_review FROM settlement "
        "JOIN membership ON membership.field_id = settlement.field_id "
        "WHERE membership.sample_id = ? ORDER BY settlement.id",
        (sample_id,),
    ).fetchall()
    return [
        Settlement(number, CellRef(field_id, cell_id), label, who, datetime.fromisoformat(at), after)
        for number, field_id, cell_id, label, who, at, after in rows
    ]
