"""Cells by their kind, as one reader sees them: by the own word, else the program's, never by others'."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge.bloodlog import ReviewLabel
from edge.bloodlog.reviews import class_of, type_of
from edge.counting.differential import KINDS
from edge.results.reading import WORDS, ReadCell, Reading

#: Every kind of cell, in the order of the groups.
GROUPS: tuple[str, ...] = (*KINDS, "normal", "not_a_cell")


def group_of(cell: ReadCell, said: ReviewLabel | None) -> str:
    """Name the group that a cell is shown in.

    Parameters
    ----------
    cell : which
    said : the reader's own word on it
    """
    word = cell.program if said is None else class_of(said)
    if word != "normal":
        return word
    return (None if said is None else type_of(said)) or cell.found.type or "normal"


def has_types(reading: Reading, observer: str | None) -> bool:
    """Whether a network has named types of a sample's cells, or the reader has."""
    by_network = any(logged.result.type_model is not None for logged in reading.fields)
    own = (reading.said(observer, ref) for ref in reading.types)
    return by_network or any(word is not None and type_of(word) is not None for word in own)


def sure_word(cell: ReadCell) -> ReviewLabel | None:
    """Give the program's word where a person can simply agree with it: its type, where it names one."""
    if cell.program == "normal" and cell.found.type not in (None, "other"):
        return cell.found.type
    return next((word for word in WORDS if word == cell.program), None)


def is_changed(cell: ReadCell, said: ReviewLabel | None) -> bool:
    """Whether a reader has said something else of a cell than the program."""
    if said is None:
        return False
    return class_of(said) != cell.program or type_of(said) not in (None, cell.found.type)


def in_groups(
    cells: Iterable[ReadCell], said_of: Callable[[ReadCell], ReviewLabel | None]
) -> dict[str, list[ReadCell]]:
    """Put cells into their groups, in the order of the groups; those that have none are left out."""
    groups: dict[str, list[ReadCell]] = {name: [] for name in GROUPS}
    for cell in cells:
        groups[group_of(cell, said_of(cell))].append(cell)
    return {name: group for name, group in groups.items() if group}
