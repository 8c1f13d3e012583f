"""Small texts that templates and answers to the script share."""

from __future__ import annotations

from collections.abc import Iterable

from edge.i18n import Catalogue
from edge.results.reading import ReadCell
from edge.results.stopping import REFERENCE_LINES
from edge.results.texts import (
    LETTERS,
    probability_text,
    reason_text,
    state_text,
    warned_text,
    warning_text,
)
from edge.structures import CellRef


def ref_text(ref: CellRef) -> str:
    """Write a cell's place in the log as pages do.

    Examples
    --------
    >>> ref_text(CellRef(12, 3))
    '12-3'
    """
    return f"{ref.field_id}-{ref.cell_id}"


def own_words(_: Catalogue, word: str | None) -> str:
    """Say what the observer has said of a cell."""
    return _("cells.no_word") if word is None else _("cells.own_word", word=_(f"class.{word}"))


def cell_words(_: Catalogue, cell: ReadCell, word: str | None, hidden: bool) -> str:
    """Name a cell with the program's word and the observer's own, for a box in a field."""
    ref = ref_text(cell.ref)
    program = _(f"class.{cell.program}")
    if hidden:
        return _("fields.cell_label_hidden", cell=ref)
    if word is None:
        return _("fields.cell_label", cell=ref, word=program)
    return _("fields.cell_label_own", cell=ref, word=program, own=_(f"class.{word}"))


def reasons(_: Catalogue, names: Iterable[str]) -> str:
    """Say why a field was not counted."""
    return ", ".join(reason_text(_, name) for name in names)


def warnings(_: Catalogue, names: Iterable[str]) -> str:
    """Say what doubts a field was counted with."""
    return ", ".join(warning_text(_, name) for name in names)


def advice(_: Catalogue, names: Iterable[str]) -> str:
    """Say what a person can do about a field that was not counted."""
    return _advice(_, "advice", names)


def warning_advice(_: Catalogue, names: Iterable[str]) -> str:
    """Say what a person can do about a field that was counted with a doubt."""
    return _advice(_, "warning_advice", names)


def _advice(_: Catalogue, section: str, names: Iterable[str]) -> str:
    return " ".join(_(key) for name in names if _.has(key := f"{section}.{name}"))


#: What templates may call.
TEMPLATE_WORDS = {
    "letters": LETTERS,
    "ref_text": ref_text,
    "probability": probability_text,
    "own_words": own_words,
    "cell_words": cell_words,
    "reasons": reasons,
    "advice": advice,
    "warnings": warnings,
    "warning_advice": warning_advice,
    "warned": warned_text,
    "state_text": state_text,
    "reference_lines": REFERENCE_LINES,
}
