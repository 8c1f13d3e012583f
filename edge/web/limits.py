"""How often somebody may ask, and what is written about those who were refused."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug.exceptions import TooManyRequests

from edge.web.hosts import network_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

#: Addresses that are remembered at once: far more than a clinic's network has, 100 kB.
MOST_ADDRESSES = 1024
#: A flood is told of in one line every so often, not in one a request, or it would fill the journal.
REPORT_EVERY_S = 10.0
#: Tokens of an address: a page of 200 cells takes 210, so that a person who leafs quickly gets through.
TOKENS_PER_S, BURST = 100.0, 600
#: A page reads the log, a picture only a file.
PAGE_COST, FILE_COST = 10.0, 1.0
_FILES = ("/pictures/", "/static/")
#: When a browser that was refused may ask again.
_RETRY_AFTER_S = 2


class RateLimit:
    """A bucket of tokens for each address, filled at a steady rate [1]_.

    Parameters
    ----------
    per_s : requests a second that may go on for ever
    burst : requests that may come at once after a pause
    clock : monotonic seconds

    References
    ----------
    .. [1] J. S. Turner, "New directions in communications (or which way to the information age?)",
       IEEE Communications Magazine 24(10), 1986.

    Examples
    --------
    >>> limit = RateLimit(per_s=1.0, burst=2, clock=lambda: 0.0)
    >>> [limit.allows("10.0.0.5") for _ in range(3)], limit.allows("10.0.0.6")
    ([True, True, False], True)
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str, cost: float = 1.0) -> bool:
        """Take tokens out of an address's bucket; False where it has too few."""
        with self._lock:
            now = self._clock()
            left, since = self._buckets.pop(address, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._per_s)
            allowed = left >= cost
            # Put at the end: the address that was silent for longest is forgotten first.
            self._buckets[address] = (left - cost if allowed else left, now)
            if len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)
            return allowed

    def give_back(self, address: str, cost: float = 1.0) -> None:
        """Put back what :meth:`allows` took, for what turned out to need no limit."""
        with self._lock:
            left, since = self._buckets.get(address, (self._burst, self._clock()))
            self._buckets[address] = (left + cost, since)


class RefusalLog:
    """Writes down refusals: the first of a kind at once, then how many there were, every ten seconds.

    Parameters
    ----------
    clock : monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._unreported: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self.total = 0

    def add(self, address: str, reason: str) -> None:
        """Record one refusal.

        Parameters
        ----------
        address : of whom
        reason : why, in a few fixed words: never text that the other side chose
        """
        with self._lock:
            self.total += 1
            now = self._clock()
            count, since = self._unreported.pop((address, reason), (-1, now))
            report = count < 0 or now - since >= REPORT_EVERY_S
            self._unreported[address, reason] = (0, now) if report else (count + 1, since)
            if len(self._unreported) > MOST_ADDRESSES:
                self._unreported.popitem(last=False)
        if count < 0:
            _log.warning("refused %s: %s", address, reason)
        elif report:
            _log.warning("refused %s: %s, %d times in %.0f s", address, reason, count + 1, now - since)

    def flush(self) -> None:
        """Write down what has not been told yet; for the end."""
        with self._lock:
            pending, self._unreported = self._unreported, OrderedDict()
        for (address, reason), (count, since) in pending.items():
            if count > 0:
                _log.warning(
                    "refused %s: %s, %d times in %.0f s", address, reason, count, self._clock() - since
                )


class FloodGate:
    """WSGI middleware that refuses an address which asks too often, before anything else is done for it.

    Parameters
    ----------
    application : what lies behind
    refusals : where refusals are written
    """

    def __init__(self, application: WSGIApplication, refusals: RefusalLog) -> None:
        self._application = application
        self._refusals = refusals
        self._limit = RateLimit(TOKENS_PER_S, BURST)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on, or refuse it."""
        address = environ.get("REMOTE_ADDR", "")
        if self._limit.allows(
            network_of(address), FILE_COST if environ["PATH_INFO"].startswith(_FILES) else PAGE_COST
        ):
            return self._application(environ, start_response)
        self._refusals.add(address, "too many requests")
        return TooManyRequests(retry_after=_RETRY_AFTER_S)(environ, start_response)
