"""Small texts that templates and answers to the script share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from markupsafe import Markup, escape

from edge.bloodlog import LoggedField, ReviewLabel
from edge.bloodlog.contours import decode_contours
from edge.bloodlog.pictures import thumbnail_box
from edge.i18n import Catalogue
from edge.results.control_texts import alarms_text
from edge.results.reading import ReadCell
from edge.results.stopping import REFERENCE_LINES
from edge.results.texts import (
    LETTERS,
    TYPE_LETTERS,
    corrects_nothing_text,
    kind_text,
    outdated_text,
    person_text,
    probability_text,
    quota_text,
    reason_text,
    signature_text,
    specimen_text,
    state_text,
    warned_text,
    warning_text,
)
from edge.structures import CellRef, Polygon
from edge.web.kinds import group_of
from edge.web.slidemap import MapField
from edge.web.store import has_picture

_REF = re.compile(r"([0-9]{1,9})-([0-9]{1,6})")
_LABELS: tuple[ReviewLabel, ...] = get_args(ReviewLabel)


def ref_text(ref: CellRef) -> str:
    """Write a cell's place in the log as pages do.

    Examples
    --------
    >>> ref_text(CellRef(12, 3))
    '12-3'
    """
    return f"{ref.field_id}-{ref.cell_id}"


@dataclass(frozen=True, slots=True)
class PictureSize:
    """How large a cell's picture is shown, so that a µm is as long in every picture.

    Attributes
    ----------
    width, height : px of the page
    name : of its scale, as the style sheet knows it: ``full``, ``half`` or ``quarter``
    """

    width: int
    height: int
    name: str


def picture_size(cell: ReadCell) -> PictureSize | None:
    """Give the size at which a cell's picture is shown; None where its field has no scale.

    A cell that is larger than a card is shown at half or a quarter of the scale, whole.
    """
    if cell.um_per_px is None:
        return None
    left, top, right, bottom = thumbnail_box(cell.found.cell.bbox, *cell.field_px)
    longer_um = max(cell.found.cell.bbox[2:]) * cell.um_per_px
    name, px_per_um = next(
        (scale for scale in PICTURE_SCALES if longer_um * scale[1] <= _PICTURE_PX), PICTURE_SCALES[-1]
    )
    px = px_per_um * cell.um_per_px
    return PictureSize(max(1, round((right - left) * px)), max(1, round((bottom - top) * px)), name)


def parse_ref(text: str) -> CellRef | None:
    """Read what :func:`ref_text` wrote; None for anything else.

    Examples
    --------
    >>> parse_ref("12-3"), parse_ref("12-3-4")
    (CellRef(field_id=12, cell_id=3), None)
    """
    match = _REF.fullmatch(text)
    return None if match is None else CellRef(int(match[1]), int(match[2]))


def parse_choice(text: str) -> tuple[CellRef | None, ReviewLabel | None]:
    """Read what the button of a word on a cell sends; None for a cell or a word that is none.

    Examples
    --------
    >>> parse_choice("12-3-blast"), parse_choice("12-3-leukaemia")
    ((CellRef(field_id=12, cell_id=3), 'blast'), (CellRef(field_id=12, cell_id=3), None))
    """
    ref, _, word = text.rpartition("-")
    return parse_ref(ref), next((label for label in _LABELS if label == word), None)


def word_text(_: Catalogue, word: str) -> str:
    """Name what a person has called a cell: a class, or a type."""
    return _(f"type.{word}" if word in TYPE_LETTERS else f"class.{word}")


def field_words(_: Catalogue, field: MapField, hidden: bool) -> str:
    """Name a field of the map with what was counted in it."""
    if hidden:
        return _("map.field_hidden", field=field.id, cells=field.cells)
    return _("map.field", field=field.id, cells=field.cells, blasts=field.blasts)


def contour_paths(logged: LoggedField, cell: ReadCell) -> tuple[str, str] | None:
    """Write a cell's contour and its nucleus's as paths of an SVG; None where the log has none."""
    text = logged.contours.get(cell.ref.cell_id)
    if text is None:
        return None
    contours = decode_contours(text, cell.found.cell.bbox[:2])
    return _path(contours.cell), _path(contours.nucleus)


def _path(polygons: Iterable[Polygon]) -> str:
    # A point of a contour is a pixel: its middle.
    corners = (" ".join(f"{x + 0.5} {y + 0.5}" for x, y in polygon) for polygon in polygons)
    return "".join(f"M{text}z" for text in corners)


def own_words(_: Catalogue, word: str | None) -> str:
    """Say what the observer has said of a cell."""
    return _("cells.no_word") if word is None else _("cells.own_word", word=word_text(_, word))


def word_buttons(_: Catalogue, ref: str, words: Iterable[str], said: str | None = None) -> Markup:
    """Write one button a word on a cell; what was said of it is pressed.

    Twenty thousand of them are on the longest page: a template takes four times as long.

    Parameters
    ----------
    ref : of the cell
    words : that a person can choose from
    said : that was chosen
    """
    buttons = "".join(
        f'<button name="word" value="{ref}-{word}" data-word="{word}" aria-label="{name}, {ref}" '
        f'title="{name}" aria-pressed="{"true" if word == said else "false"}">{letter}</button>'
        for word in words
        for name, letter in [(escape(word_text(_, word)), _ALL_LETTERS[word])]
    )
    return Markup(f'<div class="words">{buttons}</div>')


def cell_words(_: Catalogue, cell: ReadCell, said: ReviewLabel | None, hidden: bool) -> str:
    """Name a cell with the program's word and the observer's own, kinds too, for a box in a field."""
    ref = ref_text(cell.ref)
    if hidden:
        return _("fields.cell_label_hidden", cell=ref)
    program = kind_text(_, group_of(cell, None))
    if said is None:
        return _("fields.cell_label", cell=ref, word=program)
    return _("fields.cell_label_own", cell=ref, word=program, own=word_text(_, said))


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


#: What a card holds on a phone, where two lie abreast, px of the page.
_PICTURE_PX = 128
#: Scales that pictures are shown at, px of the page per µm: a card holds a cell of 21 µm at the first, which
#: most are, of 42 and of 85 µm at the others.
PICTURE_SCALES = (("full", 6.0), ("half", 3.0), ("quarter", 1.5))

_ALL_LETTERS: dict[str, str] = LETTERS | TYPE_LETTERS

#: What templates may call.
TEMPLATE_WORDS = {
    "letters": _ALL_LETTERS,
    "word_buttons": word_buttons,
    "classes": tuple(LETTERS),
    "word_text": word_text,
    "ref_text": ref_text,
    "probability": probability_text,
    "own_words": own_words,
    "kind_text": kind_text,
    "field_words": field_words,
    "has_picture": has_picture,
    "contour_paths": contour_paths,
    "picture_size": picture_size,
    "cell_words": cell_words,
    "group_of": group_of,
    "alarms_text": alarms_text,
    "reasons": reasons,
    "advice": advice,
    "warnings": warnings,
    "warning_advice": warning_advice,
    "warned": warned_text,
    "quota_text": quota_text,
    "corrects_nothing_text": corrects_nothing_text,
    "specimen_text": specimen_text,
    "state_text": state_text,
    "person_text": person_text,
    "signature_text": signature_text,
    "outdated_text": outdated_text,
    "reference_lines": REFERENCE_LINES,
}
