"""Observers beside each other, once they have read every cell, and the cells on which they differ."""

from __future__ import annotations

from itertools import combinations

from flask import Blueprint, render_template

from edge.results.agreement import agreement
from edge.results.reading import WORDS, ReadCell, Reading
from edge.web import preferences, store
from edge.web.figures import figures_of

blueprint = Blueprint("observers", __name__)


@blueprint.get("/samples/<int(max=1000000000):sample_id>/observers")
def page(sample_id: int) -> str:
    """Show how far each observer is; the comparison only when both are done."""
    observer = preferences.observer()
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        figures = figures_of(log, sample, observer)
    reading = figures.reading
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
        differing=[] if reading.withholds_results(observer) else _differing(reading),
        blind=reading.is_blind(observer),
        words=WORDS,
    )


def _differing(reading: Reading) -> list[tuple[ReadCell, list[tuple[str, str]]]]:
    """Give the cells on which people differ, with each one's word."""
    cells = {cell.ref: cell for cell in reading.cells}
    return [(cells[ref], list(words.items())) for ref, words in reading.differing.items()]
