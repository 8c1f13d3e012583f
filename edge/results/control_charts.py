"""Levey-Jennings charts of the microscope and the stain, and the rules by which one gives an alarm.

One chart a quantity, one point a day: the median of the day's fields. A point's place is told in standard
deviations of what is usual for it, which the laboratory's own first days say.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from edge.structures import Readings

Rule = Literal["1-3.5s", "drift"]
Form = Literal["log", "plain", "share"]

#: Days that make a baseline, as CLSI C24 has it [1]_; or so many fields, from which a point is judged by what
#: is usual between the days of other laboratories.
BASELINE_DAYS, BASELINE_FIELDS = 20, 200
#: A baseline grows up to so many days: the mean of 20 is off by 0.22 of a day's standard deviation, which a
#: rule for slow drifts takes for one; that of 200 by 0.07. A day joins it so much later, so that what has
#: been drifting for that long is not in it.
MOST_BASELINE_DAYS, LAG = 200, timedelta(days=15)
#: Limit of Westgard's rule for one point [2]_, and of what has moved without an alarm. 3.5 in place of 3
#: leaves a fifth of the alarms of clean days, and what happens at once is ten standard deviations and more.
#: Of his other rules 2-2s, 4-1s and 10-x ask for what the cumulative sum finds with fewer of these, and R-4s
#: for two values of one run (docs/control.md has the figures).
_ONE, _MOVED = 3.5, 2.0
#: Limit for a day that goes on, which is looked at several times.
_ONE_TODAY = 4.0
#: Variance of a normal distribution that is cut off beyond 3.5, as a baseline is: it takes no alarm in.
_CUT_OFF = 0.994
#: Reference value and limit of the cumulative sum [3]_: half the shift that matters, and where it alarms.
DRIFT_REFERENCE, DRIFT_LIMIT = 0.5, 6.0
#: Variance of a normal sample's median over that of its mean, from three values on.
_OF_MEDIAN = math.pi / 2


@dataclass(frozen=True, slots=True)
class Chart:
    """One quantity that is charted.

    Attributes
    ----------
    name : of the chart, in log and texts
    form : ``log``: values are log10 of what is shown; ``plain``: as shown; ``share``: of the day's fields, by
        the arcsine transform
    least : standard deviation that the days are taken to have at least: three of these change no count, and a
        camera that is steadier would give alarms that nobody needs
    usual : that between days of other laboratories, for as long as a laboratory's own is not known
    digits : behind the point of what is shown; of a share in per cent
    rises_only : only a rise is an alarm
    control_only : of the control slide alone
    """

    name: str
    form: Form
    least: float
    usual: float
    digits: int
    rises_only: bool = False
    control_only: bool = False

    def shown(self, value: float, n: int) -> float:
        """Give a value of n fields as a person reads it: levels of 255, µm, density, or a share."""
        if self.form == "log":
            return float(10.0**value)
        if self.form == "plain":
            return value
        k = math.sin(min(max(value, 0.0), math.pi / 2)) ** 2 * (n + 0.75) - 0.375
        return min(max(k / n, 0.0), 1.0)


#: What is said of a field a part of which lies under oil, a bubble or dirt.
COVERED = frozenset({"obstructed", "partly_blurred"})
#: Every chart, by its name. ``usual`` is the spread between the sessions of a camera that is set by hand
#: (ALL-IDB1) or the patients of a scanner (jhu-aml), the larger one (docs/control.md); shares were guessed.
CHARTS: Mapping[str, Chart] = {
    chart.name: chart
    for chart in (
        Chart("light", "log", 0.004, 0.055, 0),
        Chart("white_red", "log", 0.004, 0.01, 3),
        Chart("white_blue", "log", 0.004, 0.01, 3),
        Chart("unevenness", "plain", 0.004, 0.015, 3, rises_only=True),
        Chart("blur", "plain", 0.02, 0.06, 2, rises_only=True),
        Chart("scale", "log", 0.008, 0.03, 4),
        Chart("red_cells", "log", 0.01, 0.07, 3),
        Chart("nuclei", "log", 0.01, 0.07, 3),
        Chart("red_cell_colour", "plain", 0.01, 0.1, 3),
        Chart("nucleus_colour", "plain", 0.01, 0.035, 3),
        Chart("covered", "share", 0.03, 0.1, 0, rises_only=True),
        Chart("refused", "share", 0.03, 0.1, 0, rises_only=True),
        Chart("p", "plain", 0.02, 0.05, 3, control_only=True),
    )
}


def chart_values(readings: Readings, um_per_px: float | None) -> dict[str, float]:
    """Give a field's value on each chart that it has one on.

    Parameters
    ----------
    readings : of the field
    um_per_px : what its own red cells say of its scale; None where they say nothing
    """
    red, green, blue = readings.blank
    values = {
        "light": (red + green + blue) / 3,
        "white_red": red - green,
        "white_blue": blue - green,
        "unevenness": readings.unevenness,
    }
    if readings.blur_um is not None:
        values["blur"] = readings.blur_um
    if um_per_px is not None:
        values["scale"] = math.log10(um_per_px)
    for name, colour, dye in (
        ("red_cells", "red_cell_colour", readings.red_cells),
        ("nuclei", "nucleus_colour", readings.nuclei),
    ):
        if dye is not None and (amount := sum(dye)) > 0:
            values[name] = math.log10(amount)
            values[colour] = (dye[0] - dye[2]) / amount
    return values


@dataclass(frozen=True, slots=True)
class Day:
    """A chart's value of one day.

    Attributes
    ----------
    day : by the laboratory's clock
    value : median of its fields; for a share its arcsine
    n : number of fields
    variance : of the fields about their mean; None where one field has none, and for a share
    error2 : variance of the value itself where that is known, which is a share's; None for a median
    """

    day: date
    value: float
    n: int
    variance: float | None = None
    error2: float | None = None


def day_of_fields(day: date, values: Sequence[float]) -> Day:
    """Sum up the fields of a day.

    Examples
    --------
    >>> summed = day_of_fields(date(2026, 5, 3), [1.0, 2.0, 6.0])
    >>> summed.value, summed.n, summed.variance
    (2.0, 3, 7.0)
    """
    n, ordered = len(values), sorted(values)
    mean = sum(ordered) / n
    variance = None if n == 1 else sum((value - mean) ** 2 for value in ordered) / (n - 1)
    return Day(day, (ordered[(n - 1) // 2] + ordered[n // 2]) / 2, n, variance)


def day_of_share(day: date, k: int, n: int) -> Day:
    """Sum up a share by Freeman and Tukey's arcsine in Anscombe's form [4]_, whose variance is 1 / (4n + 2).

    Examples
    --------
    >>> one = day_of_share(date(2026, 5, 3), 1, 20)
    >>> round(CHARTS["refused"].shown(one.value, 20), 3), round(one.error2, 4)
    (0.05, 0.0122)
    """
    return Day(day, math.asin(math.sqrt((k + 0.375) / (n + 0.75))), n, error2=1 / (4 * n + 2))


@dataclass(frozen=True, slots=True)
class Point:
    """A day on its chart.

    Attributes
    ----------
    day, value, n : as in :class:`Day`
    centre, spread : what is usual: the baseline's mean, and the standard deviation of a day with so many
        fields; None while the baseline is being made
    z : place of the value, in standard deviations of a normal distribution; None without a baseline
    drift : the larger cumulative sum, negative for the one downwards
    rule : by which it gives an alarm; None where it gives none
    rises : whether it lies, or drifts, above what is usual
    """

    day: date
    value: float
    n: int
    centre: float | None = None
    spread: float | None = None
    z: float | None = None
    drift: float = 0.0
    rule: Rule | None = None
    rises: bool = False

    @property
    def moved(self) -> Literal[-1, 0, 1]:
        """Which way it has moved, if it has: by an alarm, two standard deviations, or half a drift."""
        if self.z is None:
            return 0
        if self.rule is not None or abs(self.z) > _MOVED or abs(self.drift) > DRIFT_LIMIT / 2:
            return 1 if self.rises else -1
        return 0


class _Baseline:
    """What is usual: sums over the days that it is made of."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self.days = self.fields = self._degrees = 0
        self._first = 0.0
        self._sum = self._squares = self._within = self._errors = self._shares = 0.0

    def add(self, day: Day) -> None:
        self.days += 1
        self.fields += day.n
        # Squares of what differs from the first value of all: of a light of 2.3 nothing would be left.
        self._first = day.value if self.days == 1 else self._first
        off = day.value - self._first
        self._sum += off
        self._squares += off * off
        if day.variance is not None:
            self._degrees += day.n - 1
            self._within += (day.n - 1) * day.variance
        self._errors += day.error2 or 0.0
        self._shares += _per_field(day.n)

    @property
    def is_known(self) -> bool:
        """Whether it says by itself what is usual between days."""
        return self.days >= BASELINE_DAYS

    @property
    def judges(self) -> bool:
        return self.is_known or self.fields >= BASELINE_FIELDS

    def place(self, day: Day) -> tuple[float, float, float]:
        """Give centre, spread and z of a day."""
        n = self.days
        off = self._sum / n
        within = self._within / self._degrees if self._degrees else 0.0
        total = (self._squares - n * off * off) / (n - 1) / _CUT_OFF if n > 1 else 0.0
        between = total - (self._errors + within * self._shares) / n
        between = max(between, (self._chart.least if self.is_known else self._chart.usual) ** 2)
        error2 = within * _per_field(day.n) if day.error2 is None else day.error2
        spread = math.sqrt(between + error2)
        t = (day.value - self._first - off) / (spread * math.sqrt(1 + 1 / n))
        return self._first + off, spread, normal_score(t, n - 1) if self.is_known else t


def _per_field(n: int) -> float:
    """Variance of the median of n normal values over that of one."""
    return 1 / n if n <= 2 else _OF_MEDIAN / n


def normal_score(t: float, degrees: int) -> float:
    """Give the normal score that is as rare as a t of so many degrees of freedom, by Wallace [5]_.

    Few days say little of a spread: limits of 3 from 20 days would be passed three times as often.

    Examples
    --------
    >>> round(normal_score(3.0, 19), 2), round(normal_score(-3.0, 1000), 2)
    (2.68, -2.99)
    """
    score = math.sqrt(degrees * math.log1p(t * t / degrees)) * (8 * degrees + 1) / (8 * degrees + 3)
    return math.copysign(score, t)


class Follower:
    """Puts the days of a chart in their places, one after the other.

    Parameters
    ----------
    chart : which

    Notes
    -----
    The first 20 days are the baseline and are not judged; from 200 fields on they are, by one point beyond
    3.5 standard deviations of what other laboratories have between days. Then days of other than normal
    spread are put right by Student's t, and the cumulative sums join in. After an alarm these begin anew, and
    no day with an alarm joins the baseline.

    References
    ----------
    .. [1] CLSI C24-Ed4, "Statistical Quality Control for Quantitative Measurement Procedures", 2016.
    .. [2] J. O. Westgard et al., "A multi-rule Shewhart chart for quality control in clinical chemistry",
       Clin. Chem. 27, 1981.
    .. [3] NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.3 "CUSUM Control Charts".
    .. [4] F. J. Anscombe, "The transformation of Poisson, binomial and negative-binomial data", Biometrika
       35, 1948.
    .. [5] D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions",
       Ann. Math. Statist. 30, 1959.
    """

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._baseline = _Baseline(chart)
        self._waiting: deque[Day] = deque()
        self._up = self._down = 0.0

    def judge(self, day: Day, *, is_over: bool = False) -> Point:
        """Place a day, and remember nothing of it; one that goes on has to lie beyond four."""
        if not self._baseline.judges:
            return Point(day.day, day.value, day.n)
        centre, spread, z = self._baseline.place(day)
        up, down = self._sums(z)
        seen = max(z, 0.0) if self._chart.rises_only else z
        rule: Rule | None = None
        if abs(seen) > (_ONE if is_over else _ONE_TODAY):
            rule = "1-3.5s"
        elif is_over and max(up, down) > DRIFT_LIMIT:
            rule = "drift"
        drift = up if up >= down else -down
        rises = drift > 0 if rule == "drift" or (abs(z) <= _MOVED and drift) else z > 0
        return Point(day.day, day.value, day.n, centre, spread, z, drift, rule, rises)

    def close(self, day: Day) -> Point:
        """Place a day that is over, and remember it."""
        while self._waiting and self._waiting[0].day + LAG <= day.day:
            one = self._waiting.popleft()
            if self._baseline.days < MOST_BASELINE_DAYS:
                self._baseline.add(one)
        point = self.judge(day, is_over=True)
        if point.rule is not None:
            self._up = self._down = 0.0
            return point
        if point.z is not None:
            self._up, self._down = self._sums(point.z)
        if self._baseline.is_known:
            self._waiting.append(day)
        else:
            self._baseline.add(day)
        return point

    def _sums(self, z: float) -> tuple[float, float]:
        if not self._baseline.is_known:
            return 0.0, 0.0
        down = 0.0 if self._chart.rises_only else max(0.0, self._down - z - DRIFT_REFERENCE)
        return max(0.0, self._up + z - DRIFT_REFERENCE), down


def follow(
    chart: Chart, days: Sequence[Day], restart: date | None = None, today: date | None = None
) -> list[Point]:
    """Put days on a chart and judge each by those before it; see :class:`Follower`.

    Parameters
    ----------
    chart : which
    days : in order, each day once
    restart : day from which a new baseline is made, because something was changed on purpose
    today : day that goes on, if it is the last one

    Returns
    -------
    a point a day from ``restart`` on
    """
    follower = Follower(chart)
    chosen = [day for day in days if restart is None or day.day >= restart]
    return [follower.judge(day) if day.day == today else follower.close(day) for day in chosen]
