"""The form for the token, and what a browser chooses for itself."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from edge.i18n import languages
from edge.web import preferences
from edge.web.setup import note_refusal, setup

blueprint = Blueprint("login", __name__)

#: Nobody types more; what is longer is not hashed.
_MAX_SECRET = 256


@blueprint.get("/login")
def form() -> Response | str:
    """Ask for the token."""
    if setup().lock is None:
        return redirect("/")
    return render_template("login.html", next=preferences.local_path(request.args.get("next", "/")))


@blueprint.post("/login")
def enter() -> Response | tuple[str, int]:
    """Open a session for the right token."""
    lock = setup().lock
    if lock is None:
        return redirect("/")
    following = preferences.local_path(request.form.get("next", "/"))
    if not setup().tries.allows(request.remote_addr or "unknown"):
        note_refusal("too many tries at the token")
        return render_template("login.html", next=following, wrong="problem.429"), 429
    typed = request.form.get("token", "")
    if len(typed) > _MAX_SECRET or not lock.opens(typed.strip()):
        note_refusal("wrong token")
        return render_template("login.html", next=following, wrong="login.wrong"), 403
    # A new session: nothing of the cookie from before the login stays valid.
    kept = {key: session[key] for key in ("language", "theme") if key in session}
    session.clear()
    session.update(kept, id=setup().sessions.begin())
    return redirect(following)


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
    return redirect(preferences.local_path(request.form.get("next", "/")))


@blueprint.post("/observer")
def observe() -> Response:
    """Keep the name of who is looking."""
    name = preferences.observer_name(request.form.get("observer", ""))
    if name is None:
        abort(400)
    session["observer"] = name
    session["hide_program"] = request.form.get("hide_program") == "1"
    return redirect(preferences.local_path(request.form.get("next", "/")))
