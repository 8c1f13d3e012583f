"""What the pages need to know of the machine, and who asks: below everything else of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from flask import current_app, request

from edge.daemon.client import ask, find_socket
from edge.results.summary import ErrorsOf
from edge.structures import Denominator
from edge.web.access import Lock, Sessions
from edge.web.limits import RateLimit, RefusalLog
from edge.web.preview import Previews

#: Name under which an application keeps its setup.
EXTENSION = "blastcount"


@dataclass(frozen=True)
class Setup:
    """What the pages need to know of the machine.

    Attributes
    ----------
    log_path : the blood log, with its pictures beside it; need not exist yet
    names : names of this machine that browsers may use, besides its own
    lock : opened by the token; None where no token is asked for
    refusals : where refusals are written
    sessions : who has shown the token
    tries : how often an address may try one. Five at once, then one in twelve seconds: a token of 128 bits is
        out of reach at any speed, and the million commonest passwords would take 140 days
    errors_of : gives the known errors of the model that counted, for the report
    denominator : which cells the shares of blasts are of
    """

    log_path: Path
    names: tuple[str, ...] = ()
    lock: Lock | None = None
    refusals: RefusalLog = field(default_factory=RefusalLog)
    sessions: Sessions = field(default_factory=Sessions)
    errors_of: ErrorsOf = lambda _model: None
    denominator: Denominator = "classified"
    tries: RateLimit = field(default_factory=lambda: RateLimit(per_s=1.0 / 12.0, burst=5))

    @cached_property
    def previews(self) -> Previews:
        """The camera's picture, shared by all browsers."""
        return Previews(self.ask_daemon)

    def ask_daemon(self, command: str, timeout_s: float) -> dict[str, Any]:
        """Send a command to the daemon that has this log, wherever it listens by now."""
        return ask(find_socket(self.log_path), command, timeout_s)


def setup() -> Setup:
    """Give the setup of the application that answers this request."""
    return cast("Setup", current_app.extensions[EXTENSION])


def note_refusal(reason: str) -> None:
    """Write down that this request is refused, in a few fixed words."""
    setup().refusals.add(request.remote_addr or "unknown", reason)
