"""How long to wait after a camera's failure, and when to give up."""

from __future__ import annotations

from collections import Counter, deque

#: A camera that failed is opened again after 0.5, 1, 2 and then every 3 seconds. An attempt takes up to 5 s
#: (a USB camera that hangs while it opens), so that a camera is back within 10 s of its return.
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 3.0
#: So many failures within so many seconds end the process. A new one, started by systemd, also gets rid of
#: whatever state a driver's library was left in, and of threads that hang in it. An absent camera reaches the
#: number after 56 s; one that hangs in every attempt, which takes 8 s, after 160 s.
MAX_FAILURES = 20
FAILURE_WINDOW_S = 300.0


class Reconnect:
    """Counts failures of a camera, by reason, and says what to do about each.

    Attributes
    ----------
    by_reason : failures since the start, by their reasons' names
    in_a_row : failures since the last usable frame
    """

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.in_a_row = 0
        self._recent_s: deque[float] = deque(maxlen=MAX_FAILURES)

    @property
    def total(self) -> int:
        """Failures since the start."""
        return self.by_reason.total()

    def failed(self, reason: str, now_s: float) -> float:
        """Note a failure.

        Parameters
        ----------
        reason : its name
        now_s : monotonic seconds

        Returns
        -------
        seconds to wait before the next attempt

        Examples
        --------
        >>> reconnect = Reconnect()
        >>> [reconnect.failed("unplugged", now_s) for now_s in range(5)]
        [0.5, 1.0, 2.0, 3.0, 3.0]
        """
        self.by_reason[reason] += 1
        self._recent_s.append(now_s)
        self.in_a_row += 1
        # The exponent is bounded, because a camera that is away for a month fails more than 1,024 times.
        return float(min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self.in_a_row - 1, 10)))

    def worked(self) -> bool:
        """Note a usable frame; return whether it ends a row of failures."""
        recovered, self.in_a_row = self.in_a_row > 0, 0
        return recovered

    def is_hopeless(self, now_s: float) -> bool:
        """Whether there were too many failures in too short a time to go on in this process."""
        return len(self._recent_s) == MAX_FAILURES and now_s - self._recent_s[0] <= FAILURE_WINDOW_S
