"""Signing what a sample holds: the password entered again, for something that is said with it."""

from __future__ import annotations

import logging
from typing import get_args

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.signatures import Meaning
from edge.bloodlog.users import User
from edge.device.printable import printable
from edge.errors import LogBehindError
from edge.web import preferences, security, store
from edge.web.figures import Figures, figures_of
from edge.web.setup import setup
from edge.web.tries import try_password

_log = logging.getLogger(__name__)

blueprint = Blueprint("signatures", __name__, url_prefix="/samples/<int(max=1000000000):sample_id>")

MEANINGS: tuple[Meaning, ...] = get_args(Meaning)


@blueprint.get("/sign")
def form(sample_id: int) -> str:
    """Show what would be signed, and ask for the password."""
    return _form(sample_id, _user())


def _user() -> User:
    """Give who asks. Where there are no users, nobody can sign."""
    user = preferences.account()
    if user is None:
        abort(404)
    return user


def _form(sample_id: int, user: User, wrong: str | None = None) -> str:
    with store.reading() as log:
        sample, figures = _seen(log, sample_id, user)
        content = log.content_sha256(sample.id)
    return render_template(
        "sign.html",
        sample=sample,
        figures=figures,
        meanings={meaning: obstacle(figures, user, meaning) for meaning in MEANINGS},
        nonce=setup().sessions.offer(session["id"], f"{sample.id} {content}"),
        wrong=wrong,
    )


def _seen(log: BloodLog, sample_id: int, user: User) -> tuple[Sample, Figures]:
    sample = store.sample_of(log, sample_id)
    figures = figures_of(log, sample, user.name)
    if figures.withheld:
        security.refuse("hidden")
    return sample, figures


def obstacle(figures: Figures, user: User, meaning: Meaning) -> str | None:
    """Name what stands in the way of a signature; None where nothing does."""
    if figures.summary.sample.is_open:
        return "not_closed"
    if figures.reading.unsettled:
        return "not_settled"
    if meaning == "counted":
        return None if figures.reading.is_done(user.name) else "not_read"
    return None if user.role == "supervisor" else "needs_supervisor"


@blueprint.post("/sign")
def sign(sample_id: int) -> ResponseReturnValue:
    """Sign, with the password, what the form has shown."""
    user = _user()
    meaning = next((one for one in MEANINGS if one == request.form.get("meaning")), None)
    if meaning is None:
        abort(400)
    nonce = request.form.get("nonce", "")
    of, _, content = (setup().sessions.redeem(session["id"], nonce) or "").partition(" ")
    if of != str(sample_id):
        security.refuse("form_used")
    failed = try_password(user, request.form.get("password", ""), noted="password at a signature")
    if failed is not None:
        key = "refused.wrong_password" if failed.code == 403 else failed.key
        return _form(sample_id, user, key), failed.code
    with store.writing() as log:
        sample, figures = _seen(log, sample_id, user)
        why = obstacle(figures, user, meaning)
        if why is not None:
            security.refuse("needs_supervisor" if why == "needs_supervisor" else "not_yet")
        trusted = setup().clock.is_trusted(log.newest_trusted())
        try:
            log.sign(
                sample.name, meaning, user.name, user.role, seen_sha256=content, nonce=nonce,
                clock_trusted=trusted,
            )  # fmt: skip
        except LogBehindError:
            security.refuse("changed")
    _log.info("sample %s was signed as %s by %s", printable(sample.name), meaning, printable(user.name))
    return redirect(url_for("samples.page", sample_id=sample_id))
