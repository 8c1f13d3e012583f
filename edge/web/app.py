"""The web application: its settings, its pages, and what is the same on all of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import Blueprint, Flask, request
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from edge.device.printable import printable
from edge.errors import EdgeError
from edge.i18n import languages
from edge.web import pages, preferences, security
from edge.web.hosts import PageRequest, machine_names
from edge.web.setup import EXTENSION, Setup, setup
from edge.web.words import TEMPLATE_WORDS

#: Largest body of a request. The largest form is a page of cells confirmed at once: a name of 20 bytes each.
MAX_BODY_BYTES = 64 * 1024


class _Cookies(SecureCookieSessionInterface):
    """Cookies that a browser sends back the way they came: over HTTPS alone, to the page's folder alone."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure

    def get_cookie_path(self, app: Flask) -> str:
        return f"{request.script_root}/"


@dataclass(frozen=True)
class Site:
    """Pages that belong together: the review page's, or another's that looks and is protected the same.

    Attributes
    ----------
    blueprints : the pages; ``login`` is among them, and the start page is ``/``
    tabs : what leads to the main ones, the start page first: name, endpoint and key of its text
    asks_name : whether people say who they are, because their words are kept
    """

    blueprints: tuple[Blueprint, ...]
    tabs: tuple[tuple[str, str, str], ...]
    asks_name: bool = False


REVIEW = Site(
    pages.BLUEPRINTS,
    (
        ("samples", "samples.start", "page.samples"),
        ("live", "live.page", "page.live"),
        ("verification", "verification.page", "verify.tab"),
        ("control", "control.page", "qc.title"),
    ),
    asks_name=True,
)


def create_app(made: Setup, site: Site = REVIEW) -> Flask:
    """Make the application; nothing is opened yet."""
    app = Flask("edge.web")
    app.request_class = PageRequest
    app.session_interface = _Cookies()
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),  # cookies end with the process
        SESSION_COOKIE_NAME="blastcount",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer over HTTPS; the Origin is asked for always
        TRUSTED_HOSTS=machine_names(made.names),
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(TEMPLATE_WORDS)
    app.extensions[EXTENSION] = made
    security.protect(app)
    app.context_processor(_template_context)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(EdgeError, _problem)
    app.context_processor(lambda: {"tabs": site.tabs, "asks_name": site.asks_name})
    for blueprint in site.blueprints:
        app.register_blueprint(blueprint)
    return app


def _template_context() -> dict[str, object]:
    """Names that every template has."""
    return {
        "_": preferences.catalogue_of_request(),
        "languages": languages(),
        "theme": preferences.theme(),
        "observer": preferences.observer(),
        "account": preferences.account(),
        "here": preferences.here(),
        "has_lock": setup().lock is not None,
        "signed_in": security.is_signed_in(),
        "hide_program": preferences.hides_program(),
    }


def _http_problem(error: HTTPException) -> ResponseReturnValue:
    return security.problem(error.code or 500)


def _problem(error: Exception) -> ResponseReturnValue:
    return security.problem(503, printable(error))
