"""The list of samples; opening, closing and reopening one; its result."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from edge.bloodlog import Sample
from edge.bloodlog.pseudonym import personal_doubt, wrong_id
from edge.bloodlog.samples import NOBODY, SEARCH_QUOTAS
from edge.device.printable import printable
from edge.errors import LogError
from edge.results.stopping import USUAL_QUOTA
from edge.web import preferences, store
from edge.web.figures import figures_of
from edge.web.setup import setup

blueprint = Blueprint("samples", __name__)

_QUOTAS = {"": None, "100": 100, "200": 200, "500": 500}
_SEARCHES = {f"search-{quota}": quota for quota in SEARCH_QUOTAS}


@blueprint.get("/")
def start() -> str:
    """Show the open sample and all others."""
    return _start()


def _start(wrong: str | None = None, typed: str = "", *, must_confirm: bool = False) -> str:
    samples: tuple[Sample, ...] = ()
    current = figures = None
    if setup().log_path.exists():
        with store.reading() as log:
            samples, current = log.samples(), log.current_sample()
            if current is not None:
                figures = figures_of(log, current, preferences.observer())
    return render_template(
        "samples.html",
        samples=samples[::-1],
        current=current,
        sample=current,
        figures=figures,
        wrong=wrong,
        typed=typed,
        must_confirm=must_confirm,
        search_quotas=SEARCH_QUOTAS,
    )


@blueprint.post("/samples")
def open_new() -> Response | tuple[str, int]:
    """Open a new sample."""
    name = request.form.get("name", "").strip()
    specimen, quota = request.form.get("specimen", ""), request.form.get("quota", "")
    if specimen not in USUAL_QUOTA or quota not in _QUOTAS | _SEARCHES:
        abort(400)
    _ = preferences.catalogue_of_request()
    if wrong_id(name) is not None:
        return _start(_("samples.wrong_name"), name), 400
    if request.form.get("sure") != "1" and personal_doubt(name) is not None:
        return _start(_("samples.personal"), name, must_confirm=True), 400
    try:
        with store.writing() as log:
            log.open_sample(
                name,
                "marrow" if specimen == "marrow" else "blood",
                _SEARCHES.get(quota) or _QUOTAS[quota] or USUAL_QUOTA[specimen],
                who=_who(),
                role=preferences.role(),
                search=quota in _SEARCHES,
            )
    except LogError as error:  # the name is taken or cannot be, or another sample was opened meanwhile
        return _start(printable(error), name), 409
    return redirect(url_for("live.page"))


def _who() -> str:
    return preferences.observer() or NOBODY


@blueprint.get("/samples/<int(max=1000000000):sample_id>")
def page(sample_id: int) -> str:
    """Show what a sample gave."""
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        return render_template(
            "sample.html",
            sample=sample,
            figures=figures_of(log, sample, preferences.observer()),
            another_open=log.current_sample() is not None,
        )


@blueprint.post("/samples/<int(max=1000000000):sample_id>/close")
def close(sample_id: int) -> Response:
    """Close a sample."""
    with store.writing() as log:
        sample = store.sample_of(log, sample_id)
        if sample.closed_at is not None:
            abort(409)
        log.change_sample(sample.name, "closed", who=_who(), role=preferences.role())
    return redirect(url_for("samples.page", sample_id=sample_id))


@blueprint.post("/samples/<int(max=1000000000):sample_id>/reopen")
def reopen(sample_id: int) -> Response:
    """Count on in a sample that was closed."""
    with store.writing() as log:
        sample = store.sample_of(log, sample_id)
        if sample.closed_at is None or log.current_sample() is not None:
            abort(409)
        log.change_sample(sample.name, "reopened", who=_who(), role=preferences.role())
    return redirect(url_for("live.page"))
