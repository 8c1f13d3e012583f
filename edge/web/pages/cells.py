"""The cells of a sample, the doubtful ones first, and people's words on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from flask import Blueprint, abort, redirect, request, stream_template, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response

from edge.bloodlog import BloodLog, ReviewLabel, Sample
from edge.results.reading import WORDS, ReadCell, Reading
from edge.results.search import is_candidate, likeliest_first
from edge.results.texts import TYPE_LETTERS
from edge.structures import CellRef
from edge.web import preferences, security, store
from edge.web.figures import figures_of
from edge.web.kinds import GROUPS, group_of, has_types, in_groups, is_changed, sure_word
from edge.web.paging import list_page, number_asked
from edge.web.setup import setup
from edge.web.words import own_words, parse_choice, parse_ref, ref_text, word_text

blueprint = Blueprint("cells", __name__, url_prefix="/samples/<int(max=1000000000):sample_id>")

#: Cells on a page. 200 is a usual quota; all of a long sample is there for those who rather scroll.
SIZES = (200, 5000)
#: Pieces of a template that are sent at a time: some kB of text.
_PIECES = 500
#: Which cells are shown. The first is what a person should look at.
FILTERS: dict[str, Callable[[ReadCell, ReviewLabel | None], bool]] = {
    "counted": lambda cell, word: cell.counts,
    "unread": lambda cell, word: cell.counts and word is None,
    "uncertain": lambda cell, word: cell.counts and cell.program == "uncertain",
    "blast": lambda cell, word: cell.counts and cell.program == "blast",
    "normal": lambda cell, word: cell.counts and cell.program == "normal",
    "changed": is_changed,
    "smudge": lambda cell, word: cell.program == "smudge",
    "left_out": lambda cell, word: cell.program != "smudge" and not cell.counts,
    "candidates": lambda cell, word: is_candidate(cell),
}
#: What only a search asks for.
_OF_SEARCH = frozenset({"candidates"})
#: A filter by the program's word would tell it.
_TELLING = frozenset({"uncertain", "blast", "normal", "changed", "smudge", "candidates"})


@blueprint.get("/cells")
def page(sample_id: int) -> Response:
    """Show the cells."""
    show = request.args.get("show", "counted")
    size, field = number_asked("size") or SIZES[0], number_asked("field")
    hidden = preferences.hides_program()
    allowed = [name for name in FILTERS if not (hidden and name in _TELLING)]
    kind, grouped = request.args.get("kind"), request.args.get("grouped") == "1"
    if show not in allowed or size not in SIZES or (kind is not None and (hidden or kind not in GROUPS)):
        abort(400)
    observer = preferences.observer()
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        figures = figures_of(log, sample, observer)
    reading = figures.reading

    def said_of(cell: ReadCell) -> ReviewLabel | None:
        return reading.said(observer, cell.ref)

    chosen = [
        cell
        for cell in reading.cells
        if FILTERS[show](cell, said_of(cell)) and field in (None, cell.ref.field_id)
    ]
    kinds: dict[str, list[ReadCell]] = {}
    if not hidden:  # the order would tell the program's word
        if show == "candidates":
            chosen.sort(key=lambda cell: (said_of(cell) is not None, likeliest_first(cell)))
        else:
            chosen.sort(key=lambda cell: cell.doubt)
        kinds = in_groups(chosen, said_of) if has_types(reading, observer) else {}
    if kind is not None:
        chosen = kinds.get(kind, [])
    elif grouped and kinds:
        chosen = [cell for group in kinds.values() for cell in group]
    listed = list_page(chosen, size)
    last = reading.last_review(observer)
    text = stream_template(
        "cells.html",
        sample=sample,
        figures=figures,
        listed=listed,
        words=WORDS,
        word_of=lambda cell: reading.word(observer, cell.ref),
        said_of=said_of,
        sure_of=sure_word,
        types=TYPE_LETTERS,
        kinds=kinds,
        kind=kind,
        grouped=grouped,
        group_of=lambda cell: group_of(cell, said_of(cell)),
        show=show,
        filters=[name for name in allowed if sample.search or name not in _OF_SEARCH],
        size=size,
        field=field,
        last=None if last is None else last.id,
        agreeable=len(_agreeable(listed.rows, reading, observer)),
        progress=progress(reading, observer),
        hidden=hidden,
        has_bar=any(cell.um_per_px is not None for cell in listed.rows),
    )
    # The forms' token is the session's: its cookie must be sent before the first piece is.
    generate_csrf()
    # 2,000 cells are 2 MB of text, which need not be there at once.
    return Response(_in_pieces(text), mimetype="text/html")


@blueprint.post("/words")
def say(sample_id: int) -> ResponseReturnValue:
    """Add an observer's word on one cell."""
    observer = security.named_observer()
    ref, word = parse_choice(request.form.get("word", ""))
    if word == "normal" and (kind := request.form.get("kind")):  # chosen beforehand, where no script runs
        word = next((name for name in TYPE_LETTERS if name == kind), None)
    if ref is None or word is None:
        abort(400)
    with store.writing() as log:
        sample = store.sample_of(log, sample_id)
        reading = setup().counted.of(log, sample).reading
        _cells_or_404(reading, [ref])
        _refuse_if_it_stands(reading, observer, ref)
        log.add_reviews({ref: word}, observer, role=preferences.role())
        return _answer(log, sample, ref, observer, said="cells.said")


@blueprint.post("/agreed")
def agree(sample_id: int) -> Response:
    """Add the program's own word for every cell that was shown, was looked at, and has none yet."""
    observer = security.named_observer()
    if preferences.hides_program():
        abort(400)
    refs = [parse_ref(text) for text in request.form.get("refs", "").split()]
    if not refs or None in refs:
        abort(400)
    with store.writing() as log:
        reading = setup().counted.of(log, store.sample_of(log, sample_id)).reading
        cells = _cells_or_404(reading, [ref for ref in refs if ref is not None])
        log.add_reviews(_agreeable(cells, reading, observer), observer, role=preferences.role())
    return _back(sample_id)


@blueprint.post("/undo")
def undo(sample_id: int) -> ResponseReturnValue:
    """Take back the observer's newest word, if it is still the one that the page knew of."""
    observer = security.named_observer()
    last = request.form.get("last", type=int)
    if last is None:
        abort(409)
    with store.writing() as log:
        sample = store.sample_of(log, sample_id)
        if preferences.account() is not None:  # nobody else's word stands: no need to read every field
            reading = setup().counted.of(log, sample).reading
            newest = reading.last_review(observer)
            if newest is not None:
                _refuse_if_it_stands(reading, observer, newest.cell)
        undone = log.undo_review(observer, sample_id, expected=last, role=preferences.role())
        if undone is None:  # a form that is sent twice must not take back another word
            if not security.wants_json():
                abort(409)
            last_now = setup().counted.of(log, sample).reading.last_review(observer)
            problem = preferences.catalogue_of_request()("cells.undo_stale")
            return {"problem": problem, "last": None if last_now is None else last_now.id}, 409
        return _answer(log, sample, undone.cell, observer, said="cells.undone")


def _in_pieces(text: Iterator[str]) -> Iterator[str]:
    """Put a template's small pieces together to larger ones, each of which is a packet or more."""
    while piece := "".join(islice(text, _PIECES)):
        yield piece


def progress(reading: Reading, observer: str | None) -> str:
    """Say how many of the cells that count an observer has looked at."""
    _ = preferences.catalogue_of_request()
    return _("cells.progress", read=reading.read_by(observer), all=len(reading.to_read))


def _agreeable(
    cells: Iterable[ReadCell], reading: Reading, observer: str | None
) -> dict[CellRef, ReviewLabel]:
    """Give the program's word on each cell that an observer can agree with and has no word on yet."""
    words = {cell.ref: sure_word(cell) for cell in cells if reading.word(observer, cell.ref) is None}
    return {ref: word for ref, word in words.items() if word is not None}


def _refuse_if_it_stands(reading: Reading, observer: str, ref: CellRef) -> None:
    """Refuse a user another word on a cell that is a supervisor's to settle."""
    if preferences.account() is not None and reading.stands(observer, ref):
        security.refuse("stands")


def _cells_or_404(reading: Reading, refs: Sequence[CellRef]) -> list[ReadCell]:
    known = {cell.ref: cell for cell in reading.cells}
    if any(ref not in known for ref in refs):
        abort(404)
    return [known[ref] for ref in refs]


def _answer(log: BloodLog, sample: Sample, ref: CellRef, observer: str, *, said: str) -> ResponseReturnValue:
    if not security.wants_json():
        return _back(sample.id, ref)
    _ = preferences.catalogue_of_request()
    figures = figures_of(log, sample, observer)
    reading = figures.reading
    word = reading.said(observer, ref)
    last = reading.last_review(observer)
    return {
        "ref": ref_text(ref),
        "word": reading.word(observer, ref),
        "own": own_words(_, word),
        "progress": progress(reading, observer),
        "figure": figures.for_reader(_),
        "last": None if last is None else last.id,
        "said": _(said, cell=ref_text(ref), word="" if word is None else word_text(_, word)),
    }


def _back(sample_id: int, ref: CellRef | None = None) -> Response:
    following = preferences.way_back(url_for("cells.page", sample_id=sample_id))
    return redirect(following if ref is None else f"{following}#c{ref_text(ref)}")
