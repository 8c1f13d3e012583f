"""What people say of cells: every word and every taking back is a row of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeVar, get_args

from edge.bloodlog.chain import append
from edge.bloodlog.users import Role, check_person
from edge.device.clock import utc_now
from edge.errors import LogError
from edge.structures import CellRef, CellType

#: What a person may call a cell. A type says at once that it is no blast, and which kind of cell it is.
ClassWord = Literal["blast", "normal", "smudge", "not_a_cell"]
ReviewLabel = Literal[ClassWord, CellType]
TYPES: tuple[CellType, ...] = get_args(CellType)
#: Words that are a class, and those that are a type, each by itself.
_CLASSES: dict[ReviewLabel, ClassWord] = {word: word for word in get_args(ClassWord)}
_TYPES: dict[ReviewLabel, CellType] = {kind: kind for kind in TYPES}

_COLUMNS = (
    "review.id, review.field_id, review.cell_id, review.label, review.observer, review.at, review.undoes, "
    "review.role"
)


class Said(Protocol):
    """A word, or the taking back of one: of a sample's review, or of a verification."""

    @property
    def id(self) -> int:
        """Row in the log; later words have larger ones."""

    @property
    def undoes(self) -> int | None:
        """Id of the word that is taken back, or None."""


_Said = TypeVar("_Said", bound=Said)
_Of = TypeVar("_Of", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Review:
    """One word of one observer on one cell. The latest one of an observer on a cell holds.

    Attributes
    ----------
    id : row in the log; later words have larger ones
    field_id, cell_id : which cell
    label : ``blast``, ``normal``, ``smudge``, ``not_a_cell`` or a type; None: no word of this observer holds
        any more
    observer : who said it
    at : aware UTC wall time
    undoes : id of the word that this row takes back, or None; ``label`` is then what held before that word
    role : of the observer, who had signed in; None where the name was given on trust
    """

    id: int
    field_id: int
    cell_id: int
    label: ReviewLabel | None
    observer: str
    at: datetime
    undoes: int | None = None
    role: Role | None = None

    @property
    def cell(self) -> CellRef:
        """The cell that it is about."""
        return CellRef(self.field_id, self.cell_id)


def insert_review(
    connection: sqlite3.Connection,
    cell: CellRef,
    label: ReviewLabel | None,
    observer: str,
    undoes: int | None = None,
    role: Role | None = None,
) -> Review:
    """Add a word on a cell; call it inside a write transaction.

    Raises
    ------
    LogError
        There is no such cell, or the label or the observer's name cannot be.
    """
    check_word(connection, cell, label, observer)
    where, at = (cell.field_id, cell.cell_id), utc_now()
    said = {"label": label, "observer": observer, "at": at.isoformat(), "undoes": undoes, "role": role}
    number = append(connection, "review", {"field_id": cell.field_id, "cell_id": cell.cell_id, **said})
    return Review(number, *where, label, observer, at, undoes, role)


def check_word(connection: sqlite3.Connection, cell: CellRef, label: str | None, observer: str) -> None:
    """See whether a word on a cell can be written down.

    Raises
    ------
    LogError
        There is no such cell, or the label or the observer's name cannot be.
    """
    if label is not None and label not in get_args(ReviewLabel):
        raise LogError(f"a cell can be called {', '.join(get_args(ReviewLabel))}; got {label!r}")
    check_person(observer)
    where = (cell.field_id, cell.cell_id)
    if connection.execute("SELECT 1 FROM cell WHERE field_id = ? AND id = ?", where).fetchone() is None:
        raise LogError(f"there is no cell {cell.cell_id} in field {cell.field_id}")


def class_of(word: ReviewLabel) -> ClassWord:
    """Give the class that a word puts a cell into.

    Examples
    --------
    >>> class_of("lymphocyte"), class_of("smudge")
    ('normal', 'smudge')
    """
    return _CLASSES.get(word, "normal")


def type_of(word: ReviewLabel) -> CellType | None:
    """Give the type that a word says; None where it says only a class."""
    return _TYPES.get(word)


def last_word(connection: sqlite3.Connection, cell: CellRef, observer: str) -> ReviewLabel | None:
    """Give the word of an observer that holds on a cell; None without one."""
    row = connection.execute(
        "SELECT label FROM review WHERE field_id = ? AND cell_id = ? AND observer = ? "
        "ORDER BY id DESC LIMIT 1",
        (cell.field_id, cell.cell_id, observer),
    ).fetchone()
    return None if row is None else row[0]


def not_undone(said: Sequence[_Said]) -> list[_Said]:
    """Pick one person's words that were not taken back: an undo takes back the last of them."""
    undone = {one.undoes for one in said}
    return [one for one in said if one.undoes is None and one.id not in undone]


def standing_words(said: Iterable[tuple[str, _Of, ReviewLabel | None]]) -> dict[str, dict[_Of, ReviewLabel]]:
    """Give the word that holds on each cell, by person in the order of their first words.

    Parameters
    ----------
    said : person, cell and word, None where no word holds any more; oldest first
    """
    held: dict[str, dict[_Of, ReviewLabel]] = {}
    for person, cell, label in said:
        own = held.setdefault(person, {})
        if label is None:
            own.pop(cell, None)
        else:
            own[cell] = label
    return held


def undo_last(
    connection: sqlite3.Connection,
    observer: str,
    sample_id: int,
    expected: int | None = None,
    role: Role | None = None,
) -> Review | None:
    """Take back an observer's last word in a sample; call it inside a write transaction.

    Undoing again goes further back, through every word that was not undone yet. Where ``expected`` is given,
    nothing is undone unless it is that word's id: the same wish that comes twice takes back one word.

    Returns
    -------
    the new row, or None where nothing is left to be undone
    """
    rows = [review for review in select_reviews(connection, sample_id) if review.observer == observer]
    standing = not_undone(rows)
    if not standing or expected not in (None, standing[-1].id):
        return None
    last = standing.pop()
    before = [review.label for review in standing if review.cell == last.cell]
    now = before[-1] if before else None
    return insert_review(connection, last.cell, now, observer, undoes=last.id, role=role)


def select_reviews(connection: sqlite3.Connection, sample_id: int) -> list[Review]:
    """List every word on the cells of a sample, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM review JOIN membership ON membership.field_id = review.field_id "
        "WHERE membership.sample_id = ? ORDER BY review.id",
        (sample_id,),
    ).fetchall()
    return [
        Review(number, field_id, cell_id, label, observer, datetime.fromisoformat(at), undoes, role)
        for number, field_id, cell_id, label, observer, at, undoes, role in rows
    ]
