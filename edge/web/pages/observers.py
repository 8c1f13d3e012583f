"""Observers beside each other, once they have read every cell, and the cells on which they differ."""

from __future__ import annotations

from collections.abc import Container
from itertools import combinations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from edge.bloodlog import ReviewLabel
from edge.bloodlog.reviews import TYPES
from edge.results.agreement import agreement
from edge.results.reading import WORDS, ReadCell, Reading
from edge.structures import CellRef
from edge.web import preferences, security, store
from edge.web.figures import figures_of
from edge.web.words import parse_choice

blueprint = Blueprint("observers", __name__)

#: In place of a word: what was settled is taken back.
_BACK = "-back"


@blueprint.get("/samples/<int(max=1000000000):sample_id>/observers")
def page(sample_id: int) -> str:
    """Show how far each observer is; the comparison only when both are done."""
    observer = preferences.observer()
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        figures = figures_of(log, sample, observer)
    reading = figures.reading
    sees_others = not reading.withholds_results(observer)
    pairs = []
    for first, second in combinations(reading.done, 2):
        words = reading.blind_words(first, second)
        pairs.append(
            {
                "first": first,
                "second": second,
                "agreement": agreement((one, other) for _, one, other in words),
                "differing": [(ref, one, other) for ref, one, other in words if one != other],
            }
        )
    return render_template(
        "observers.html",
        sample=sample,
        figures=figures,
        observers=[(name, reading.read_by(name)) for name in reading.observers],
        all=len(reading.to_read),
        # Whoever is still reading must not see what others have said.
        pairs=[] if reading.is_blind(observer) and observer in reading.words else pairs,
        differing=_differing(reading) if sees_others else [],
        differing_types=_with_words(reading, reading.differing_types) if sees_others else [],
        settled=_with_words(reading, reading.settled_words) if sees_others else [],
        settled_words=reading.settled_words,
        may_settle=preferences.role() == "supervisor" and not figures.withheld,
        blind=reading.is_blind(observer),
        words=WORDS,
        types=TYPES,
    )


@blueprint.post("/samples/<int(max=1000000000):sample_id>/settle")
def settle(sample_id: int) -> Response:
    """Keep what a supervisor says of a cell on which readers differ, or take it back."""
    user = preferences.account()
    if user is None or user.role != "supervisor":
        security.refuse("needs_supervisor")
    chosen = request.form.get("word", "")
    ref, label = parse_choice(chosen)
    if ref is None or (label is None and not chosen.endswith(_BACK)):
        abort(400)
    with store.writing() as log:
        figures = figures_of(log, store.sample_of(log, sample_id), user.name)
        if figures.withheld:
            security.refuse("hidden")
        reading = figures.reading
        if ref not in reading.settled and (label is None or ref not in reading.unsettled):
            abort(409)
        log.settle({ref: label}, user.name)
    return redirect(f"{url_for('observers.page', sample_id=sample_id)}#differing")


def _with_words(
    reading: Reading, refs: Container[CellRef]
) -> list[tuple[ReadCell, list[tuple[str, ReviewLabel]]]]:
    """Give some cells with what each reader has said of them, kinds too."""
    return [
        (cell, [(name, word) for name in reading.observers if (word := reading.said(name, cell.ref))])
        for cell in reading.cells
        if cell.ref in refs
    ]


def _differing(reading: Reading) -> list[tuple[ReadCell, list[tuple[str, str]]]]:
    """Give the cells on which people differ, with each one's word."""
    cells = {cell.ref: cell for cell in reading.cells}
    return [(cells[ref], list(words.items())) for ref, words in reading.differing.items()]
