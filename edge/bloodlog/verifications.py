"""Site verifications: cells drawn from closed samples, what readers say of them blind, and how each ended.

What is said here is said of the program, not of a patient: no share, word or signature of a sample depends
on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge.bloodlog.chain import append
from edge.bloodlog.people import PeoplesRows
from edge.bloodlog.reviews import ReviewLabel, check_word, not_undone, standing_words
from edge.bloodlog.samples import NOBODY, change_sample
from edge.bloodlog.users import Role, check_person
from edge.device.clock import utc_now
from edge.errors import LogError
from edge.structures import CellRef

#: How a verification ends, and what may happen to a closed one afterwards.
Event = Literal["closed", "abandoned", "checked"]


@dataclass(frozen=True, slots=True)
class DrawnCell:
    """A cell that was drawn.

    Attributes
    ----------
    cell : which
    stratum : of which part of all cells it was drawn
    weight : cells of that part that it stands for: the inverse of its chance to be drawn, 1 or more
    twice : a second reader reads it, too
    id : row in the log; cells are read in this order, which is random
    """

    cell: CellRef
    stratum: str
    weight: float
    twice: bool
    id: int = 0


@dataclass(frozen=True, slots=True)
class VerificationEvent:
    """What happened to a verification: it was closed or abandoned, or a closed one was checked again.

    Attributes
    ----------
    id, verification_id : rows in the log
    at : aware UTC wall time
    event, who, role : what, and by whom
    record : JSON; of a closed one its site card, of a check what was found
    """

    id: int
    verification_id: int
    at: datetime
    event: Event
    who: str
    role: Role | None
    record: str


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification and its state.

    Attributes
    ----------
    id : row in the log, 1, 2, ...
    at : aware UTC wall time of the drawing
    who, role : by whom; ``NOBODY`` where nobody was named
    plan : JSON: how the cells were drawn
    end : how it ended; None while cells are read
    """

    id: int
    at: datetime
    who: str
    role: Role | None
    plan: str
    end: VerificationEvent | None

    @property
    def is_open(self) -> bool:
        """Whether words are taken."""
        return self.end is None


@dataclass(frozen=True, slots=True)
class VerifiedWord:
    """One word of one reader on one drawn cell. The latest one of a reader on a cell holds.

    Attributes
    ----------
    id : row in the log
    drawn_id : which drawn cell
    label : as of :class:`edge.bloodlog.reviews.Review`
    reader, role, at : who said it, and when
    undoes : id of the word that this row takes back, or None
    """

    id: int
    drawn_id: int
    label: ReviewLabel | None
    reader: str
    role: Role | None
    at: datetime
    undoes: int | None = None


class VerifiedRows(PeoplesRows):
    """The part of a log that verifications are in."""

    def open_verification(
        self,
        plan: str,
        cells: Sequence[DrawnCell],
        keep: Collection[str] = (),
        *,
        who: str = NOBODY,
        role: Role | None = None,
    ) -> Verification:
        """Begin a verification; its cells are read in the order in which they are given.

        Parameters
        ----------
        plan : JSON
        cells : that were drawn
        keep : names of the samples that they are of; their pictures are kept from now on
        who, role : by whom

        Raises
        ------
        LogError
            Another one is open, no cell was drawn, or there is no such cell or sample.
        """
        with self.writing("no verification was opened") as connection:
            return _insert(connection, plan, cells, keep, who, role)

    def verifications(self) -> tuple[Verification, ...]:
        """List all verifications, oldest first."""
        with self.reading() as connection:
            return tuple(_verifications(connection))

    def current_verification(self) -> Verification | None:
        """Look up the verification that is open, if one is."""
        return next((one for one in self.verifications() if one.is_open), None)

    def verification_events(self) -> tuple[VerificationEvent, ...]:
        """List what happened to all verifications, oldest first."""
        with self.reading() as connection:
            return tuple(_events(connection))

    def drawn_cells(self, verification_id: int) -> tuple[DrawnCell, ...]:
        """List the cells of a verification in the order in which they are read."""
        with self.reading() as connection:
            return tuple(_drawn(connection, verification_id))

    def verified_words(self, verification_id: int) -> tuple[VerifiedWord, ...]:
        """List every word that was said in a verification, oldest first."""
        with self.reading() as connection:
            return tuple(_words(connection, verification_id))

    def say_verified(
        self,
        verification_id: int,
        words: Mapping[CellRef, ReviewLabel],
        reader: str,
        *,
        role: Role | None = None,
    ) -> int:
        """Write down a reader's words on drawn cells in one transaction: all of them or none.

        A word that holds already adds nothing.

        Returns
        -------
        how many were added

        Raises
        ------
        LogError
            The verification is not open, a cell was not drawn, or a word or the name cannot be.
        """
        with self.writing("the words were not logged") as connection:
            drawn = _drawn_refs(connection, verification_id)
            held = held_words(_words(connection, verification_id)).get(reader, {})
            added = 0
            for cell, label in words.items():
                if cell not in drawn:
                    raise LogError(
                        f"cell {cell.cell_id} of field {cell.field_id} was not drawn to be verified"
                    )
                if held.get(drawn[cell]) != label:
                    _say(connection, cell, drawn[cell], label, reader, role)
                    added += 1
        return added

    def undo_verified(
        self, verification_id: int, reader: str, expected: int | None = None, *, role: Role | None = None
    ) -> VerifiedWord | None:
        """Take back a reader's last word; again goes further back. See :meth:`undo_review`."""
        with self.writing("the word was not undone") as connection:
            drawn = {number: cell for cell, number in _drawn_refs(connection, verification_id).items()}
            rows = [word for word in _words(connection, verification_id) if word.reader == reader]
            standing = not_undone(rows)
            if not standing or expected not in (None, standing[-1].id):
                return None
            last = standing.pop()
            before = [word.label for word in standing if word.drawn_id == last.drawn_id]
            label = before[-1] if before else None
            number = _say(connection, drawn[last.drawn_id], last.drawn_id, label, reader, role, last.id)
            return next(word for word in _words(connection, verification_id) if word.id == number)

    def note_verification(
        self,
        verification_id: int,
        event: Event,
        record: str,
        *,
        who: str = NOBODY,
        role: Role | None = None,
    ) -> VerificationEvent:
        """Close or abandon an open verification, or note that a closed one was checked again.

        Raises
        ------
        LogError
            There is none, or it is not in the state for that.
        """
        with self.writing("the verification was left as it is") as connection:
            check_person(who)
            end = _get(connection, verification_id).end
            if event == "checked" and (end is None or end.event != "closed"):
                raise LogError(
                    f"verification {verification_id} is not closed; only a closed one is checked again"
                )
            if event != "checked" and end is not None:
                raise LogError(f"verification {verification_id} was {end.event} already")
            row = {
                "verification_id": verification_id,
                "at": utc_now().isoformat(),
                "event": event,
                "who": who,
                "role": role,
                "record": record,
            }
            number = append(connection, "verification_event", row)
            return next(one for one in _events(connection) if one.id == number)


def held_words(words: Sequence[VerifiedWord]) -> dict[str, dict[int, ReviewLabel]]:
    """Give the word that holds by drawn cell, by reader in the order of their first words."""
    return standing_words((word.reader, word.drawn_id, word.label) for word in words)


def last_word(words: Sequence[VerifiedWord], reader: str | None) -> VerifiedWord | None:
    """Find what an undo would take back: a reader's newest word that was not taken back yet."""
    own = not_undone([word for word in words if word.reader == reader])
    return own[-1] if own else None


def _insert(
    connection: sqlite3.Connection,
    plan: str,
    cells: Sequence[DrawnCell],
    keep: Collection[str],
    who: str,
    role: Role | None,
) -> Verification:
    check_person(who)
    there = next((one for one in _verifications(connection) if one.is_open), None)
    if there is not None:
        raise LogError(
            f"verification {there.id} is open since {there.at:%Y-%m-%d %H:%M} UTC; close or abandon it first"
        )
    if not cells:
        raise LogError("no cell was drawn; a verification needs some")
    for name in keep:
        change_sample(connection, name, "kept", who, role)
    row = {"at": utc_now().isoformat(), "who": who, "role": role, "plan": plan}
    number = append(connection, "verification", row)
    for drawn in cells:
        cell = {"verification_id": number, "field_id": drawn.cell.field_id, "cell_id": drawn.cell.cell_id}
        how = {"stratum": drawn.stratum, "weight": float(drawn.weight), "twice": int(drawn.twice)}
        append(connection, "verification_cell", cell | how)
    return _get(connection, number)


def _say(
    connection: sqlite3.Connection,
    cell: CellRef,
    drawn_id: int,
    label: ReviewLabel | None,
    reader: str,
    role: Role | None,
    undoes: int | None = None,
) -> int:
    check_word(connection, cell, label, reader)
    said = {"label": label, "reader": reader, "role": role, "at": utc_now().isoformat(), "undoes": undoes}
    return append(connection, "verification_word", {"drawn_id": drawn_id, **said})


def _drawn_refs(connection: sqlite3.Connection, verification_id: int) -> dict[CellRef, int]:
    """Give the rows of the drawn cells of an open verification."""
    if not _get(connection, verification_id).is_open:
        raise LogError(f"verification {verification_id} has ended; it takes no words any more")
    return {drawn.cell: drawn.id for drawn in _drawn(connection, verification_id)}


def _get(connection: sqlite3.Connection, verification_id: int) -> Verification:
    found = next((one for one in _verifications(connection) if one.id == verification_id), None)
    if found is None:
        raise LogError(f"there is no verification {verification_id}; `blastcount verify status` shows them")
    return found


def _verifications(connection: sqlite3.Connection) -> list[Verification]:
    ends = {one.verification_id: one for one in _events(connection) if one.event != "checked"}
    rows = connection.execute("SELECT id, at, who, role, plan FROM verification ORDER BY id").fetchall()
    return [
        Verification(number, datetime.fromisoformat(at), who, role, plan, ends.get(number))
        for number, at, who, role, plan in rows
    ]


def _events(connection: sqlite3.Connection) -> list[VerificationEvent]:
    query = "SELECT id, verification_id, at, event, who, role, record FROM verification_event ORDER BY id"
    return [
        VerificationEvent(number, of, datetime.fromisoformat(at), *rest)
        for number, of, at, *rest in connection.execute(query).fetchall()
    ]


def _drawn(connection: sqlite3.Connection, verification_id: int) -> list[DrawnCell]:
    rows = connection.execute(
        "SELECT id, field_id, cell_id, stratum, weight, twice FROM verification_cell "
        "WHERE verification_id = ? ORDER BY id",
        (verification_id,),
    ).fetchall()
    return [
        DrawnCell(CellRef(field_id, cell_id), stratum, weight, bool(twice), number)
        for number, field_id, cell_id, stratum, weight, twice in rows
    ]


def _words(connection: sqlite3.Connection, verification_id: int) -> list[VerifiedWord]:
    rows = connection.execute(
        "SELECT word.id, drawn_id, label, reader, role, at, undoes FROM verification_word AS word "
        "JOIN verification_cell ON verification_cell.id = drawn_id "
        "WHERE verification_id = ? ORDER BY word.id",
        (verification_id,),
    ).fetchall()
    return [
        VerifiedWord(number, drawn_id, label, reader, role, datetime.fromisoformat(at), undoes)
        for number, drawn_id, label, reader, role, at, undoes in rows
    ]
