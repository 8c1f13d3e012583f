"""The form for the token, and what a browser chooses for itself."""

from __future__ import annotations

from flask import Blueprint, abort, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from edge.i18n import languages
from edge.web import preferences
from edge.web.access import Lock, LockBusyError
from edge.web.hosts import network_of
from edge.web.setup import note_refusal, setup

blueprint = Blueprint("login", __name__)

#: Nobody types more; what is longer is not hashed.
_MAX_SECRET = 256
#: Whose token it is: everybody's.
_ACCOUNT = "token"


@blueprint.get("/login")
def form() -> Response | str:
    """Ask for the token."""
    if setup().lock is None:
        return redirect(url_for("samples.start"))
    return render_template("login.html", next=preferences.next_path(request.args.get("next")))


@blueprint.post("/login")
def enter() -> Response:
    """Open a session for the right token."""
    lock = setup().lock
    if lock is None:
        return redirect(url_for("samples.start"))
    following = preferences.next_path(request.form.get("next"))
    address, typed = network_of(request.remote_addr or "unknown"), request.form.get("token", "").strip()
    try:
        with lock.place():
            wrong = _try(lock, address, typed)
    except LockBusyError:
        note_refusal("too many tries at once")
        answer = make_response(render_template("login.html", next=following, wrong="login.busy"), 503)
        answer.headers["Retry-After"] = "2"
        return answer
    if wrong is not None:
        key, code, noted = wrong
        note_refusal(noted)
        return make_response(render_template("login.html", next=following, wrong=key), code)
    # A new session: nothing of the cookie from before the login stays valid.
    kept = {key: session[key] for key in ("language", "theme") if key in session}
    session.clear()
    session.update(kept, id=setup().sessions.begin())
    return redirect(following)


def _try(lock: Lock, address: str, typed: str) -> tuple[str, int, str] | None:
    """Try a token; else say what is told to the person, with which code, and what is noted."""
    limits = setup()
    if not limits.tries.allows(address):
        return "problem.429", 429, "too many tries at the token"
    # Taken before and given back after, so that tries at the same time cannot pass together.
    if not limits.wrong_tries.allows(_ACCOUNT):
        return "problem.429", 429, "too many wrong tries at the token from all addresses"
    if len(typed) > _MAX_SECRET or not lock.opens(typed):
        return "login.wrong", 403, "wrong token"
    limits.wrong_tries.give_back(_ACCOUNT)
    return None


@blueprint.post("/logout")
def leave() -> Response:
    """End the session."""
    identity = session.get("id")
    if isinstance(identity, str):
        setup().sessions.end(identity)
    session.clear()
    return redirect(url_for("login.form"))


@blueprint.post("/preferences")
def prefer() -> Response:
    """Keep the chosen language and the choice of light or dark."""
    language, theme = request.form.get("language"), request.form.get("theme")
    if language is not None:
        if language not in languages():
            abort(400)
        session["language"] = language
    if theme is not None:
        if theme not in preferences.THEMES:
            abort(400)
        session["theme"] = theme
    return redirect(preferences.next_path(request.form.get("next")))


@blueprint.post("/observer")
def observe() -> Response:
    """Keep the name of who is looking."""
    name = preferences.observer_name(request.form.get("observer", ""))
    if name is None:
        abort(400)
    session["observer"] = name
    session["hide_program"] = request.form.get("hide_program") == "1"
    return redirect(preferences.next_path(request.form.get("next")))
