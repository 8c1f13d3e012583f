"""What the camera sees, the field that was counted last, and how far the count is."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from edge.errors import ControlError
from edge.results.reading import Reading
from edge.web import preferences, store
from edge.web.figures import figures_of
from edge.web.preview import EXPOSURE_HIGH, EXPOSURE_LOW, SHARP_ENOUGH, Preview
from edge.web.setup import setup

_log = logging.getLogger(__name__)

#: Counting a crowded field takes two seconds on a Pi 4.
_CAPTURE_TIMEOUT_S = 10.0

blueprint = Blueprint("live", __name__)


@blueprint.get("/live")
def page() -> str:
    """Show the page, which asks for the rest again and again."""
    return render_template("live.html", **_now())


@blueprint.get("/live/state")
def state() -> str:
    """Give what moves on it."""
    return render_template("live_state.html", **_now())


@blueprint.get("/live/picture")
def picture() -> Response:
    """Send the newest picture of the camera."""
    preview = setup().previews.newest
    if preview is None:
        abort(404)
    return Response(preview.jpeg, mimetype="image/jpeg")


@blueprint.post("/live/capture")
def capture() -> AnyResponse:
    """Ask the daemon to count what the camera sees now."""
    try:
        setup().ask_daemon("capture", _CAPTURE_TIMEOUT_S)
    except ControlError as error:
        _log.warning("the daemon did not count: %s", error)
        abort(502)
    return redirect(url_for("live.page"))


def _now() -> dict[str, Any]:
    observer = preferences.observer()
    preview = setup().previews.refresh()
    shown: dict[str, Any] = {"preview": preview, "meters": [] if preview is None else _meters(preview)}
    if not setup().log_path.exists():
        return {**shown, "sample": None, "logged": None}
    with store.reading() as log:
        sample = log.current_sample()
        if sample is None:
            logged = log.last_field()
            reading = Reading([] if logged is None else [logged], [])
            figures = None
        else:
            figures = figures_of(log, sample, observer)
            reading = figures.reading
            logged = reading.fields[-1] if reading.fields else None
    return {
        **shown,
        "sample": sample,
        "figures": figures,
        "logged": logged,
        "cells": [] if logged is None else [cell for cell in reading.cells if cell.ref.field_id == logged.id],
        "word_of": lambda cell: reading.word(observer, cell.ref),
        "said_of": lambda cell: reading.said(observer, cell.ref),
        "hidden": preferences.hides_program(),
    }


def _meters(preview: Preview) -> list[tuple[str, float, float, float, float, str]]:
    """Name, value, both limits of what is good, the best value, and the words for it."""
    _, meters = preferences.catalogue_of_request(), preview.meters
    middle = (EXPOSURE_LOW + EXPOSURE_HIGH) / 2
    focus, light = _(meters.sharpness_word), _(meters.exposure_word)
    return [
        ("sharpness", meters.sharpness, SHARP_ENOUGH / 2, SHARP_ENOUGH, 1.0, focus),
        ("exposure", meters.exposure, EXPOSURE_LOW, EXPOSURE_HIGH, middle, light),
    ]
