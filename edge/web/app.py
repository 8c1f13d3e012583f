"""The web application: its settings, its pages, and what is the same on all of them."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from edge.daemon.client import ask, find_socket
from edge.device.printable import printable
from edge.errors import EdgeError
from edge.i18n import languages
from edge.results.summary import ErrorsOf
from edge.structures import Denominator
from edge.web import pages, preferences, security
from edge.web.access import Lock, Sessions
from edge.web.limits import RateLimit, RefusalLog
from edge.web.preview import Previews
from edge.web.words import TEMPLATE_WORDS

#: Largest body of a request. The largest form is a page of cells confirmed at once: a name of 20 bytes each.
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Setup:
    """What the pages need to know of the machine.

    Attributes
    ----------
    log_path : the blood log, with its pictures beside it; need not exist yet
    lock : opened by the token; None where no token is asked for
    refusals : where refusals are written
    sessions : who has shown the token
    tries : how often an address may try one. Five at once, then one in twelve seconds: a token of 128 bits is
        out of reach at any speed, and the million commonest passwords would take 140 days
    errors_of : gives the known errors of the model that counted, for the report
    denominator : which cells the shares of blasts are of
    one_writer : held while a word is added, so that two threads never judge by the same last word
    """

    log_path: Path
    lock: Lock | None = None
    refusals: RefusalLog = field(default_factory=RefusalLog)
    sessions: Sessions = field(default_factory=Sessions)
    errors_of: ErrorsOf = lambda _model: None
    denominator: Denominator = "classified"
    one_writer: threading.Lock = field(default_factory=threading.Lock)
    tries: RateLimit = field(default_factory=lambda: RateLimit(per_s=1.0 / 12.0, burst=5))

    @cached_property
    def previews(self) -> Previews:
        """The camera's picture, shared by all browsers."""
        return Previews(self.ask_daemon)

    def ask_daemon(self, command: str, timeout_s: float) -> dict[str, Any]:
        """Send a command to the daemon that has this log, wherever it listens by now."""
        return ask(find_socket(self.log_path), command, timeout_s)


def create_app(setup: Setup) -> Flask:
    """Make the application; nothing is opened yet."""
    app = Flask("edge.web")
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),  # cookies end with the process
        SESSION_COOKIE_NAME="blastcount",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        TRAP_BAD_REQUEST_ERRORS=False,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(TEMPLATE_WORDS)
    app.extensions["blastcount"] = setup
    security.protect(app, setup)
    app.context_processor(_everywhere)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(EdgeError, _problem)
    for blueprint in pages.BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _everywhere() -> dict[str, object]:
    """Names that every template has."""
    return {
        "_": preferences.catalogue_of_request(),
        "languages": languages(),
        "theme": preferences.theme(),
        "observer": preferences.observer(),
        "here": request.full_path.removesuffix("?"),
        "has_lock": security.setup().lock is not None,
        "signed_in": security.is_signed_in(),
        "hide_program": preferences.hides_program(),
    }


def _http_problem(error: HTTPException) -> ResponseReturnValue:
    return security.problem(error.code or 500)


def _problem(error: Exception) -> ResponseReturnValue:
    return security.problem(503, printable(error))
