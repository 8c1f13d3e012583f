"""The daemon's look at the charts of quality control: once a sample and a day, never in a field's time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import Any

from edge.bloodlog import BloodLog
from edge.device.clock import WallClock, utc_now
from edge.i18n import catalogue
from edge.results.control import Ledger, local_day, look
from edge.results.control_texts import alarm_text

_log = logging.getLogger(__name__)


class ChartWatch:
    """Judges the charts of a log, and tells which alarms are open.

    Parameters
    ----------
    log : open to be written, in the loop's thread
    clock : says whether the wall clock can be believed
    """

    def __init__(self, log: BloodLog, clock: WallClock) -> None:
        self._log = log
        self._clock = clock
        self._ledger = Ledger()
        self._looked: date | None = None

    def look(self, *, sample_changed: bool, go_on: Callable[[], bool] = lambda: True) -> None:
        """Judge the charts where a sample was opened or closed, or the day is another.

        Parameters
        ----------
        sample_changed : one was
        go_on : asked now and then; where it says no, the charts are judged another time

        Raises
        ------
        LogError
            The log cannot be read, or an alarm not be written.
        """
        today = local_day(utc_now())
        if not sample_changed and today == self._looked:
            return
        trusted = self._clock.is_trusted(self._log.newest_trusted())
        for found in look(self._log, self._ledger, clock_trusted=trusted, go_on=go_on):
            _log.warning("quality control: %s", alarm_text(catalogue(), found))
        self._looked = today

    def status(self) -> dict[str, Any]:
        """Tell the alarms that nobody has acknowledged.

        Raises
        ------
        LogError
            The log cannot be read.
        """
        return {
            "alarms": [
                {
                    "alarm": one.id,
                    "day": one.found.day.isoformat(),
                    "slide": one.found.slide,
                    "chart": one.found.chart,
                    "rule": one.found.rule,
                    "rises": one.found.rises,
                    "cause": one.found.cause,
                    "text": alarm_text(catalogue(), one.found),
                }
                for one in self._log.open_alarms()
            ]
        }
