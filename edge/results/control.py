"""The charts of a log: its fields by day, where they lie, and which alarms they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from edge.bloodlog import BloodLog
from edge.bloodlog.control import Alarm, Found, ReadField
from edge.device.clock import utc_now
from edge.results.causes import likely_cause
from edge.results.control_charts import (
    CHARTS,
    COVERED,
    Day,
    Point,
    chart_values,
    day_of_fields,
    day_of_share,
    follow,
)

#: Confidence of a field's own red cells from which they say what a pixel is, as for its warning.
_LEAST_CONFIDENCE = 0.1

#: Fields that are taken up without asking whether to go on: a tenth of a second on a Pi 4.
_ASKED_EVERY = 500

#: Charts of the samples' fields (None), or of a control slide.
Slide = str | None
#: Points by slide and chart.
Charts = dict[Slide, dict[str, list[Point]]]


@dataclass
class _Fields:
    """The fields of one day."""

    n: int = 0
    rejected: int = 0
    covered: int = 0
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, read: ReadField) -> None:
        self.n += 1
        self.rejected += read.rejected
        self.covered += not COVERED.isdisjoint(read.said)
        if read.readings is None:
            return
        is_sure = read.confidence is not None and read.confidence >= _LEAST_CONFIDENCE
        for name, value in chart_values(read.readings, read.um_per_px if is_sure else None).items():
            self.values[name].append(value)
        if read.p is not None:
            self.values["p"].append(read.p)

    def days(self, day: date) -> Iterable[tuple[str, Day]]:
        for name, values in self.values.items():
            yield name, day_of_fields(day, values)
        yield "refused", day_of_share(day, self.rejected, self.n)
        yield "covered", day_of_share(day, self.covered, self.n)


class Ledger:
    """Fields summed up by day and slide, which takes up what was logged since the last look.

    A look reads no more of the log than what is new, and keeps a few numbers of each day that is over. Where
    the clock cannot be believed, a day begins with each start of the device: one without a battery behind its
    clock wakes up at the time at which it was switched off.

    Attributes
    ----------
    today : day of the newest field; None before the first
    """

    def __init__(self) -> None:
        self.today: date | None = None
        self._boot_id: str | None = None
        self._last_id = 0
        self._over: dict[Slide, dict[str, list[Day]]] = defaultdict(lambda: defaultdict(list))
        self._going_on: dict[Slide, tuple[date, _Fields]] = {}

    def catch_up(self, log: BloodLog, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Take up the fields that were logged since.

        Parameters
        ----------
        log : that they are in
        go_on : asked now and then: the first look at a log of years takes a Pi a while

        Returns
        -------
        whether all were taken up
        """
        for number, read in enumerate(log.read_fields(self._last_id), start=1):
            if number % _ASKED_EVERY == 0 and not go_on():
                return False
            self._last_id = read.id
            day = self._day_of(read)
            if read.readings is None and not read.rejected:
                continue  # of an earlier version
            on, fields = self._going_on.get(read.slide, (day, _Fields()))
            if day > on:
                self._close(read.slide, on, fields)
                on, fields = day, _Fields()
            fields.add(read)
            self._going_on[read.slide] = on, fields
        return True

    def _day_of(self, read: ReadField) -> date:
        """Give a field's day, which is never before that of the field before it."""
        day, before = local_day(read.logged_at), self.today
        if before is not None:
            starts = read.clock_trusted is False and read.boot_id != self._boot_id
            day = max(day, before + timedelta(days=starts))
        self.today, self._boot_id = day, read.boot_id
        return day

    def _close(self, slide: Slide, day: date, fields: _Fields) -> None:
        for name, one in fields.days(day):
            self._over[slide][name].append(one)

    def charts(self, alarms: Sequence[Alarm], now: datetime) -> Charts:
        """Put every day on its charts.

        Parameters
        ----------
        alarms : of the log; where somebody has said that something was changed on purpose, charts begin anew
        now : aware UTC; the newest field's day goes on unless the clock has left it
        """
        goes_on = self.today if self.today is not None and self.today >= local_day(now) else None
        return {slide: self._charts(slide, _restart(alarms, slide), goes_on) for slide in self._going_on}

    def _charts(self, slide: Slide, restart: date | None, goes_on: date | None) -> dict[str, list[Point]]:
        day, fields = self._going_on[slide]
        last = dict(fields.days(day))
        charts = {}
        for name, chart in CHARTS.items():
            days = [*self._over[slide][name], *([last[name]] if name in last else [])]
            if days and (slide is not None or not chart.control_only):
                charts[name] = follow(chart, days, restart, goes_on)
        return charts


def _restart(alarms: Sequence[Alarm], slide: Slide) -> date | None:
    """Day from which a slide's charts begin anew: that of the last alarm of which somebody said so."""
    said = (
        alarm.found.day
        for alarm in alarms
        if alarm.found.slide == slide and alarm.acknowledged is not None and alarm.acknowledged.new_baseline
    )
    return max(said, default=None)


def new_alarms(charts: Mapping[Slide, Mapping[str, Sequence[Point]]], alarms: Sequence[Alarm]) -> list[Found]:
    """Find the alarms that nobody has written down.

    Parameters
    ----------
    charts : of :meth:`Ledger.charts`
    alarms : of the log; from an alarm's day to that of its acknowledgement its chart gives no other
    """
    found = []
    for slide, of_slide in charts.items():
        moved: dict[date, dict[str, int]] = defaultdict(dict)
        for name, points in of_slide.items():
            moved |= {point.day: moved[point.day] | {name: point.moved} for point in points}
        for name, points in of_slide.items():
            known = [
                (one.found.day, None if one.acknowledged is None else local_day(one.acknowledged.at))
                for one in alarms
                if (one.found.slide, one.found.chart) == (slide, name)
            ]
            for point in points:
                if point.rule is None or any(
                    first <= point.day and (last is None or point.day <= max(first, last))
                    for first, last in known
                ):
                    continue
                assert point.centre is not None  # a rule has judged it
                assert point.spread is not None
                cause = likely_cause(moved[point.day])
                found.append(
                    Found(
                        point.day, slide, name, point.rule, point.rises, point.value, point.centre,
                        point.spread, point.n, cause,
                    )
                )  # fmt: skip
                known.append((point.day, None))
    return found


def local_day(at: datetime) -> date:
    """Give the day by the laboratory's clock."""
    return at.astimezone().date()


def alarms_during(alarms: Sequence[Alarm], first: datetime, last: datetime) -> tuple[Alarm, ...]:
    """Pick the alarms that were open on some day between two moments."""
    return tuple(
        one
        for one in alarms
        if one.found.day <= local_day(last)
        and (one.acknowledged is None or local_day(one.acknowledged.at) >= local_day(first))
    )


def charts_of(log: BloodLog, ledger: Ledger | None = None) -> tuple[Charts, tuple[Alarm, ...]]:
    """Read a log's charts and alarms; today is judged as it is by a look.

    Parameters
    ----------
    log : which
    ledger : of this log, where one has taken up a part of it already
    """
    ledger, alarms = ledger or Ledger(), log.alarms()
    ledger.catch_up(log)
    return ledger.charts(alarms, utc_now()), alarms


def look(
    log: BloodLog,
    ledger: Ledger,
    *,
    clock_trusted: bool | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Found]:
    """Take up what is new, write the alarms that it gives, and say which.

    Parameters
    ----------
    log : open to be written
    ledger : of this log
    clock_trusted : whether the wall clock can be believed
    go_on : see :meth:`Ledger.catch_up`; where it says no, nothing is judged
    """
    if not ledger.catch_up(log, go_on):
        return []
    alarms = log.alarms()
    found = new_alarms(ledger.charts(alarms, utc_now()), alarms)
    log.add_alarms(found, clock_trusted=clock_trusted)
    return found
