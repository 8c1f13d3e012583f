"""Small texts that templates and answers to the script share."""

from __future__ import annotations

from collections.abc import Iterable

from edge.i18n import Catalogue
from edge.results.reading import ReadCell
from edge.structures import CellRef
from edge.web.shown import REFERENCE_LINES

#: The letter of a class, the same in every language and on every picture.
LETTERS = {"blast": "B", "normal": "N", "uncertain": "U", "smudge": "S", "not_a_cell": "X"}


def ref_text(ref: CellRef) -> str:
    """Write a cell's place in the log as pages do.

    Examples
    --------
    >>> ref_text(CellRef(12, 3))
    '12-3'
    """
    return f"{ref.field_id}-{ref.cell_id}"


def probability(_: Catalogue, p: float) -> str:
    """Write a probability with two digits, and never as certainty.

    Examples
    --------
    >>> from edge.i18n import catalogue
    >>> [probability(catalogue("id"), p) for p in (0.004, 0.5, 0.998)]
    ['<0,01', '0,50', '>0,99']
    """
    if p < 0.005:
        return "<" + _.number(0.01, 2)
    return ">" + _.number(0.99, 2) if p >= 0.995 else _.number(p, 2)


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
    """Say why a field was not counted; a reason that no catalogue knows is shown by its name."""
    keys = {name: f"reason.{name}" for name in names}
    return ", ".join(_(key) if _.has(key) else name.replace("_", " ") for name, key in keys.items())


def advice(_: Catalogue, names: Iterable[str]) -> str:
    """Say what a person can do about a field that was not counted."""
    return " ".join(_(key) for name in names if _.has(key := f"advice.{name}"))


#: What templates may call.
TEMPLATE_WORDS = {
    "letters": LETTERS,
    "ref_text": ref_text,
    "probability": probability,
    "own_words": own_words,
    "cell_words": cell_words,
    "reasons": reasons,
    "advice": advice,
    "reference_lines": REFERENCE_LINES,
}
