"""Signing in by name and password or by the token, and what a browser chooses for itself."""

from __future__ import annotations

from flask import Blueprint, abort, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from edge.bloodlog.users import user_name
from edge.i18n import languages
from edge.web import preferences
from edge.web.access import LONGEST_S
from edge.web.setup import setup
from edge.web.tries import try_password, try_token

blueprint = Blueprint("login", __name__)

#: How long a reader's wish to see nothing of the program is kept: a working day, as the longest session.
_HIDING_S = int(LONGEST_S)


@blueprint.get("/login")
def form() -> Response | str:
    """Ask for name and password, or for the token."""
    if setup().lock is None and not setup().users.all():
        return redirect(preferences.next_path(None))
    return _form(preferences.next_path(request.args.get("next")))


def _form(following: str, wrong: str | None = None) -> str:
    named = bool(setup().users.all())
    return render_template("login.html", next=following, wrong=wrong, named=named)


@blueprint.post("/login")
def enter() -> Response:
    """Open a session for a user's password, or for the right token."""
    lock, user = setup().lock, None
    following = preferences.next_path(request.form.get("next"))
    if setup().users.all():
        user = setup().users.find(request.form.get("user", ""))
        failed = try_password(user, request.form.get("password", ""))
    elif lock is not None:
        failed = try_token(lock, request.form.get("token", "").strip())
    else:
        return redirect(preferences.next_path(None))
    if failed is not None:
        answer = make_response(_form(following, failed.key), failed.code)
        if failed.code == 503:
            answer.headers["Retry-After"] = "2"
        return answer
    # A new session: nothing of the cookie from before the login stays valid.
    kept = {key: session[key] for key in ("language", "theme") if key in session}
    session.clear()
    session.update(kept, id=setup().sessions.begin(user))
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
    return redirect(preferences.next_path(request.form.get("next")))


@blueprint.post("/observer")
def observe() -> Response:
    """Keep who is looking, where nobody has signed in, and whether the program's words are hidden."""
    hides = request.form.get("hide_program") == "1"
    answer = redirect(preferences.next_path(request.form.get("next")))
    if preferences.account() is None:
        name = user_name(request.form.get("observer", ""))
        if name is None:
            abort(400)
        session.update(observer=name, hide_program=hides)
    else:
        answer.set_cookie(
            preferences.HIDING,
            "1" if hides else "",
            max_age=_HIDING_S if hides else 0,
            path=f"{request.script_root}/",
            secure=request.is_secure,
            httponly=True,
            samesite="Strict",
        )
    return answer
