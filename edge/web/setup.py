"""What the pages need to know of the machine, and who asks: below everything else of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from flask import current_app, g, request

from edge.bloodlog.users import UserFile
from edge.daemon.client import ask, find_socket
from edge.device.clock import WallClock
from edge.device.printable import printable
from edge.results.reading import ThresholdOf
from edge.results.summary import ErrorsOf
from edge.structures import Denominator
from edge.web.access import Gate, Lock, Sessions
from edge.web.charted import Charted
from edge.web.counted import Counted
from edge.web.hosts import is_loopback
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
    host : what is listened on
    names : names of this machine that browsers may use, besides its own
    public_url : where a proxy on this machine shows the page
    lock : opened by the token; None where no token is asked for. Where there are users, each opens the page
        by name and password, and the token opens nothing
    gate : where users' passwords are compared
    refusals : where refusals are written
    sessions : who has shown the token or signed in
    clock : whether the time of a signature can be believed
    tries : how often an address may be wrong about one. Five at once, then one in twelve seconds: a token of
        128 bits is out of reach at any speed, and the million commonest passwords would take 140 days
    wrong_tries : how often all addresses together may be wrong about one, or about one user's password. One
        in three seconds: the same passwords take 35 days however many addresses try, and four that try all
        the time keep nobody else out
    errors_of : gives the known errors of the model that counted, for the report
    threshold_of : gives the threshold of the model that counted, for the order of doubt
    denominator : which cells shares are of, as configured
    """

    log_path: Path
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    public_url: str | None = None
    lock: Lock | None = None
    gate: Gate = field(default_factory=Gate)
    refusals: RefusalLog = field(default_factory=RefusalLog)
    sessions: Sessions = field(default_factory=Sessions)
    clock: WallClock = field(default_factory=WallClock)
    errors_of: ErrorsOf = lambda _model: None
    threshold_of: ThresholdOf = lambda _model: None
    denominator: Denominator | None = None
    tries: RateLimit = field(default_factory=lambda: RateLimit(per_s=1.0 / 12.0, burst=5))
    wrong_tries: RateLimit = field(default_factory=lambda: RateLimit(per_s=1.0 / 3.0, burst=20))

    @property
    def for_network(self) -> bool:
        """Whether other devices can reach the page."""
        return self.public_url is not None or not is_loopback(self.host)

    @cached_property
    def users(self) -> UserFile:
        """Who may sign in."""
        return UserFile.beside(self.log_path)

    @cached_property
    def counted(self) -> Counted:
        """The sample that was looked at last, shared by all requests."""
        return Counted(self.errors_of, self.denominator, self.threshold_of)

    @cached_property
    def charted(self) -> Charted:
        """The fields of the charts, shared by all requests."""
        return Charted()

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
    """Write down that this request is refused, in a few fixed words, and to whom."""
    address, user = request.remote_addr or "unknown", g.get("account")
    setup().refusals.add(address if user is None else f"{printable(user.name)} at {address}", reason)
