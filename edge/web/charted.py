"""The fields of the charts: summed up by day once for all who ask, until the log has more."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from edge.bloodlog import BloodLog
from edge.bloodlog.chain import Head
from edge.bloodlog.control import Alarm
from edge.results.control import Charts, Ledger, charts_of


@dataclass(slots=True)
class Charted:
    """Puts a log on its charts, and keeps the days: the fields of a year take a Pi seconds to read."""

    _lock: Lock = field(default_factory=Lock)
    _ledger: Ledger = field(default_factory=Ledger)
    _known: Head | None = None

    def of(self, log: BloodLog) -> tuple[Charts, tuple[Alarm, ...]]:
        """Give the charts and alarms of what the log holds now.

        Raises
        ------
        LogError
            The file is damaged.
        """
        with self._lock:
            if self._known is not None and not log.goes_on_from(self._known):
                self._ledger = Ledger()  # another log lies there now
            self._known = log.head()
            return charts_of(log, self._ledger)
