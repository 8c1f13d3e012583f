"""The cells of a site verification, where readers say blind what each is: nobody else's word is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.bloodlog import BloodLog, LoggedField, ReviewLabel
from edge.bloodlog.reviews import class_of
from edge.bloodlog.verifications import DrawnCell, Verification, held_words, last_word
from edge.calibration.site import SiteCard
from edge.results.reading import WORDS, ReadCell
from edge.results.texts import TYPE_LETTERS
from edge.structures import CellRef
from edge.web import preferences, security, store
from edge.web.paging import list_page
from edge.web.setup import setup
from edge.web.words import own_words, parse_choice, ref_text, word_text

blueprint = Blueprint("verification", __name__, url_prefix="/verification")

#: Cells on a page: each is of another field, which has to be read for it.
SIZE = 60
#: Which cells are shown.
PARTS = ("all", "twice", "left")


@blueprint.get("")
def page() -> str:
    """Show the drawn cells, and what earlier verifications measured."""
    reader = preferences.observer()
    if not setup().log_path.exists():
        return render_template("verification.html", current=None, cards=())
    with store.reading() as log:
        verifications = log.verifications()
        current = next((one for one in verifications if one.is_open), None)
        cards = [
            SiteCard.from_json(one.end.record, f"verification {one.id}")
            for one in reversed(verifications)
            if one.end is not None and one.end.event == "closed"
        ]
        if current is None:
            return render_template("verification.html", current=None, cards=cards)
        drawn, words = log.drawn_cells(current.id), log.verified_words(current.id)
        held = held_words(words)
        own = held.get(reader or "", {})
        # Whoever comes after the first reader reads the share that is for two.
        usual = "all" if not any(held.values()) or next(iter(held)) == reader else "twice"
        part = request.args.get("part", usual)
        if part not in PARTS:
            abort(400)
        shown = [one for one in drawn if _is_in(part, one, own)]
        listed = list_page(shown, SIZE)
        last = last_word(words, reader)
        return render_template(
            "verification.html",
            current=current,
            cards=cards,
            listed=listed,
            cells=_read_cells(log, listed.rows),
            own=own,
            part=part,
            parts=PARTS,
            words=WORDS,
            types=TYPE_LETTERS,
            class_of=class_of,
            last=None if last is None else last.id,
            progress=_progress(drawn, own),
        )


@blueprint.post("/words")
def say() -> ResponseReturnValue:
    """Add a reader's word on one drawn cell."""
    reader = security.named_observer()
    ref, word = parse_choice(request.form.get("word", ""))
    if ref is None or word is None:
        abort(400)
    with store.writing() as log:
        current = _current(log)
        if all(one.cell != ref for one in log.drawn_cells(current.id)):
            abort(404)
        log.say_verified(current.id, {ref: word}, reader, role=preferences.role())
        return _answer(log, current, ref, reader, "cells.said")


@blueprint.post("/undo")
def undo() -> ResponseReturnValue:
    """Take back the reader's newest word, if it is still the one that the page knew of."""
    reader = security.named_observer()
    last = request.form.get("last", type=int)
    if last is None:
        abort(409)
    with store.writing() as log:
        current = _current(log)
        undone = log.undo_verified(current.id, reader, last, role=preferences.role())
        if undone is None:  # a form that is sent twice must not take back another word
            if not security.wants_json():
                abort(409)
            last_now = last_word(log.verified_words(current.id), reader)
            problem = preferences.catalogue_of_request()("cells.undo_stale")
            return {"problem": problem, "last": None if last_now is None else last_now.id}, 409
        cell = next(one.cell for one in log.drawn_cells(current.id) if one.id == undone.drawn_id)
        return _answer(log, current, cell, reader, "cells.undone")


def _is_in(part: str, drawn: DrawnCell, own: Mapping[int, ReviewLabel]) -> bool:
    return part == "all" or (drawn.twice if part == "twice" else drawn.id not in own)


def _read_cells(log: BloodLog, drawn: Sequence[DrawnCell]) -> dict[int, ReadCell]:
    """Give what the pictures of drawn cells are made of."""
    fields: dict[int, LoggedField | None] = {}
    cells: dict[int, ReadCell] = {}
    for one in drawn:
        number = one.cell.field_id
        logged = fields[number] = fields[number] if number in fields else log.field(number)
        if logged is None:
            abort(404)
        result = logged.result
        found = next(cell for cell in result.cells if cell.cell.id == one.cell.cell_id)
        cells[one.id] = ReadCell(
            one.cell,
            found,
            logged.thumbnails.get(one.cell.cell_id),
            counts=True,
            field_px=(result.width, result.height),
            um_per_px=result.scale.reported_um_per_px,
        )
    return cells


def _progress(drawn: Sequence[DrawnCell], own: Mapping[int, ReviewLabel]) -> str:
    """Say how many cells a reader has read, and of those that two read how many."""
    twice = [one for one in drawn if one.twice]
    return preferences.catalogue_of_request()(
        "verify.progress",
        read=len(own),
        all=len(drawn),
        twice=sum(one.id in own for one in twice),
        twice_all=len(twice),
    )


def _current(log: BloodLog) -> Verification:
    current = log.current_verification()
    if current is None:
        abort(409)
    return current


def _answer(
    log: BloodLog, current: Verification, ref: CellRef, reader: str, said: str
) -> ResponseReturnValue:
    if not security.wants_json():
        following = preferences.way_back(url_for("verification.page"))
        return redirect(f"{following}#c{ref_text(ref)}")
    _ = preferences.catalogue_of_request()
    drawn, words = log.drawn_cells(current.id), log.verified_words(current.id)
    own = held_words(words).get(reader, {})
    word = next((own.get(one.id) for one in drawn if one.cell == ref), None)
    last = last_word(words, reader)
    return {
        "ref": ref_text(ref),
        "word": None if word is None else class_of(word),
        "own": own_words(_, word),
        "progress": _progress(drawn, own),
        "figure": "",
        "last": None if last is None else last.id,
        "said": _(said, cell=ref_text(ref), word="" if word is None else word_text(_, word)),
    }
