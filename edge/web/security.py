"""What every request must pass before a page sees it, and the headers that every answer carries."""

from __future__ import annotations

from typing import NoReturn

from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response as AnyResponse

from edge.web import preferences
from edge.web.hosts import origin_of
from edge.web.setup import note_refusal, setup

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What is shown without the token: the form for it, its colours and its script. They say nothing of a sample.
_OPEN_ENDPOINTS = frozenset({"login.form", "login.enter", "login.prefer", "static"})
#: Fields of forms that hold what nobody may read: every field of type password.
SECRETS = frozenset({"password", "token"})
#: Fields of forms in which an older page, or somebody who made the form himself, names a person.
_NAMES = ("observer", "who")
#: What is refused to whom may see the page: the answer's code, and what the journal says.
_REFUSALS = {
    "no_name": (428, "a word without a name"),
    "other_name": (403, "a form in another's name"),
    "needs_supervisor": (403, "what a supervisor does"),
    "hidden": (423, "results that are hidden from who reads blind"),
    "stands": (403, "a reader's word on a cell that a supervisor settles"),
    "form_used": (409, "a form to sign that was used before, or is another's"),
    "changed": (409, "a signature of what has changed since"),
    "alarm": (409, "an alarm that somebody has seen, or that there is none of"),
    "not_yet": (409, "a signature of what is not to be signed yet"),
}
#: Pages that refresh themselves: they do not keep a session open.
_SELF_REFRESHING = frozenset({"live.state", "live.picture"})
#: Nothing from elsewhere, nothing inline, no frame around it. `base-uri` and `form-action` have no default.
CONTENT_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def protect(app: Flask) -> None:
    """Put the checks before every page of an application, and the headers behind it."""
    app.before_request(_check_host)
    app.before_request(_check_origin)
    app.before_request(_check_session)
    CSRFProtect(app)  # after ours: a stranger learns nothing of a form's token
    app.after_request(_add_headers)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(Refused, lambda refused: problem(refused.code, reason=refused.reason))


class Refused(HTTPException):
    """Something is refused for a reason that has a name.

    Attributes
    ----------
    code : of the answer
    reason : its name, which the answer to the script carries
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.code: int = _REFUSALS[reason][0]
        self.reason = reason


def refuse(reason: str) -> NoReturn:
    """Refuse a request, and write down why.

    Raises
    ------
    Refused
        Always.
    """
    note_refusal(_REFUSALS[reason][1])
    raise Refused(reason)


def named_observer() -> str:
    """Give the name of who says something; without one it is refused."""
    observer = preferences.observer()
    if observer is None:
        refuse("no_name")
    return observer


def _stale_form(_error: Exception) -> ResponseReturnValue:
    """Answer a form of a session that has ended, with a new token and what was sent.

    The origin has been checked: it is the page's own. The script repeats by itself, a person by a button.
    """
    note_refusal("missing or stale form token")
    if wants_json():
        _ = preferences.catalogue_of_request()
        return {"problem": _("problem.400"), "csrf_token": generate_csrf()}, 400
    # Nothing is repeated that holds a token or password, in whatever form it was sent.
    sent = [(key, text) for key, text in request.form.items(multi=True) if key != "csrf_token"]
    has_secret = not SECRETS.isdisjoint(request.form)
    repeats = not has_secret and request.endpoint not in _OPEN_ENDPOINTS and not request.routing_exception
    return render_template("stale.html", sent=sent if repeats else None), 400


def wants_json() -> bool:
    """Whether the script on the page asks, not a person."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def problem(code: int, detail: str | None = None, *, reason: str | None = None) -> ResponseReturnValue:
    """Answer with what went wrong: a line of JSON for the script, a page for a person."""
    _ = preferences.catalogue_of_request()
    keys = (f"refused.{reason}", f"problem.{code}")
    words = next((_(key) for key in keys if _.has(key)), None) or _("problem.other", code=code)
    if wants_json():
        told = {"problem": words if detail is None else f"{words} {detail}"}
        return told if reason is None else {**told, "reason": reason}, code
    return render_template("problem.html", words=words, detail=detail), code


def _check_host() -> Response | None:
    """Refuse a request under a name that Flask does not trust, before anything of the page is shown."""
    if not isinstance(request.routing_exception, SecurityError):
        return None
    note_refusal("unknown host name")
    return Response("unknown host name\n", 421, mimetype="text/plain")


def _check_origin() -> None:
    """Refuse a form that another page sent; browsers name the page's origin with every POST."""
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    if origin == origin_of(request.host_url):
        return
    public = setup().public_url
    if public is not None and origin == origin_of(public):
        note_refusal("a form from review.public_url without its host name: does the proxy pass Host on?")
    else:
        note_refusal("missing or foreign origin")
    abort(403)


def is_signed_in() -> bool:
    """Whether this request may see samples; asked before :func:`protect`'s checks are done, it may not."""
    return bool(g.get("signed_in", False))


def _look_who_asks() -> bool:
    """Find out whether a request may see samples, and who has signed in.

    Where there are users, it must come from the session of one who is still there, with the same password and
    role. Else its session must have shown the token, or none is asked for.
    """
    users, identity, sessions = setup().users.all(), session.get("id"), setup().sessions
    by_person = request.endpoint not in _SELF_REFRESHING
    has_session, user = False, None
    if isinstance(identity, str):
        has_session = sessions.holds(identity, by_person=by_person)
        user = sessions.user(identity)
    if users:
        if user is None or users.get(user.name) != user:
            return False
        g.account = user
        return True
    return setup().lock is None or (has_session and user is None)


def _check_session() -> AnyResponse | None:
    g.signed_in = _look_who_asks()
    if request.endpoint in _OPEN_ENDPOINTS:
        return None
    if g.signed_in:
        own = preferences.account()
        if own is not None and any(request.form.get(key, own.name) != own.name for key in _NAMES):
            refuse("other_name")
        return None
    note_refusal("no session")
    if not (request.method == "GET" and not wants_json() and request.accept_mimetypes.accept_html):
        abort(401)
    return redirect(url_for("login.form", next=preferences.here()))


def _add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    # Not `no-referrer`: browsers then send `Origin: null` with the page's own forms.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    # Colours and script may be kept, but are asked for again; what shows a sample is never kept.
    headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
    return response
