"""How often the charts of quality control alarm on clean days, and how soon where something drifts.

``python -m tests.tools.drift --data DATA --out docs/control.json`` reads fields of two real laboratories and
drawn ones, clean and altered (tests/tools/drifting_fields.py; what was read stays in ``--cache``), and then
simulates laboratories from the spread between and within their days: 1,000 clean days each, and 30 on which a
lamp fades by 20 % and a stain by 30 %, or from the first of which on the focus, the objective or oil on the
lens is as it was not before. Every simulated laboratory makes its own baseline first.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.results.causes import likely_cause
from edge.results.control_charts import (
    BASELINE_DAYS,
    CHARTS,
    COVERED,
    Chart,
    Day,
    Point,
    day_of_share,
    follow,
)
from edge.version import code_sha256, software_version
from tests.tools.drifting_fields import DEGRADATIONS, DOSES, drawn_fields, read_all, real_fields

#: Fields a day, and simulated laboratories.
FIELDS, LABORATORIES, CLEAN_DAYS = 20, 60, 1000
#: Clean days before something changes, and days that it is watched for.
BEFORE, AFTER = 60, 30
FIRST = date(2026, 1, 1)
#: Charts that differ from patient to patient more than from day to day.
OF_PATIENTS = frozenset({"scale", "red_cells", "nuclei", "red_cell_colour", "nucleus_colour"})
#: Charts that are meant to show a degradation, and the cause that is meant to be named.
MEANT = {
    "lamp": ("light",),
    "stain": ("red_cells", "nuclei", "red_cell_colour", "nucleus_colour"),
    "focus": ("blur", "refused"),
    "dirt": ("covered", "unevenness", "refused"),
    "objective": ("scale",),
}


@dataclass(frozen=True)
class Laboratory:
    """What is known of a laboratory's days.

    Attributes
    ----------
    name : as the page shows it
    effects, residuals : by chart, of days (or patients) about their mean, and of fields about their day
    shares : by chart of shares, of the fields
    patients : a day, of those charts that a patient's cells decide
    again : days are drawn from those that were measured, with their outliers; else from a normal distribution
        as wide as they are
    """

    name: str
    effects: Mapping[str, NDArray[np.float64]]
    residuals: Mapping[str, NDArray[np.float64]]
    shares: Mapping[str, float]
    patients: int = 1
    again: bool = False

    @classmethod
    def of(cls, name: str, rows: Sequence[Mapping[str, Any]], **how: Any) -> Laboratory:
        """Take a laboratory's clean fields apart into days and fields."""
        effects, residuals = {}, {}
        for chart in {name for row in rows for name in row["values"]}:
            by_day: dict[str, list[float]] = defaultdict(list)
            for row in rows:
                if chart in row["values"]:
                    by_day[row["day"]].append(row["values"][chart])
            medians = {day: float(np.median(values)) for day, values in by_day.items()}
            effects[chart] = np.array(list(medians.values())) - np.mean(list(medians.values()))
            # A day of n fields hides a part of their spread behind its own median.
            residuals[chart] = np.array(
                [
                    (value - medians[day]) * np.sqrt(len(values) / (len(values) - 1))
                    for day, values in by_day.items()
                    if len(values) > 1
                    for value in values
                ]
            )
        return cls(name, effects, residuals, shares_of(rows), **how)

    def days(self, chart: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw (n, FIELDS) values: fields of as many days."""
        effects, residuals = self.effects[chart], self.residuals[chart]
        fields = rng.choice(residuals, (n, FIELDS))
        groups = self.patients if chart in OF_PATIENTS else 1
        if self.again:
            drawn = rng.choice(effects, (n, groups))
        else:
            # What the median of a day's few fields adds is drawn with the fields.
            within = float(np.var(residuals)) * np.pi / 2 / (len(residuals) / len(effects))
            between = np.sqrt(max(0.0, float(np.var(effects, ddof=1)) - within))
            drawn = rng.normal(0.0, between, (n, groups))
        return np.asarray(np.repeat(drawn, FIELDS // groups, axis=1) + fields)


def shares_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Shares of fields that were refused, and that are covered in part."""
    said = [COVERED.isdisjoint((*row["reasons"], *row["warnings"])) for row in rows]
    return {
        "refused": float(np.mean([row["status"] == "rejected" for row in rows])),
        "covered": 1 - float(np.mean(said)),
    }


def clean_alarms(lab: Laboratory, chart: Chart, rng: np.random.Generator) -> dict[str, Any]:
    """Count alarms of a chart in 1,000 clean days of each laboratory, by rule."""
    counts, rules, westgard = [], Counter[str](), Counter[str]()
    for _ in range(LABORATORIES):
        points = follow(chart, _days(lab, chart, BASELINE_DAYS + CLEAN_DAYS, rng))
        found = [point.rule for point in points if point.rule is not None]
        counts.append(len(found))
        rules.update(found)
        westgard.update(classical(points, rises_only=chart.rises_only))
    return {
        "mean": float(np.mean(counts)),
        "p95": float(np.percentile(counts, 95)),
        "most": int(max(counts)),
        "at_most_10": float(np.mean(np.array(counts) <= 10)),
        "by_rule": {rule: rules[rule] / LABORATORIES for rule in ("1-3.5s", "drift")},
        "westgard": {rule: westgard[rule] / LABORATORIES for rule in (*WESTGARD, "any")},
    }


#: Westgard's rules: points in a row, beyond which limit, on one side; R-4s is two on two sides.
WESTGARD = {"1-3s": (1, 3.0), "2-2s": (2, 2.0), "R-4s": (2, 2.0), "4-1s": (4, 1.0), "10-x": (10, 0.0)}


def classical(points: Sequence[Point], *, rises_only: bool) -> Counter[str]:
    """Count what Westgard's rules would have given of the same days, each by itself and together."""
    z = np.array([point.z for point in points if point.z is not None])
    found: Counter[str] = Counter()
    days: set[int] = set()
    for rule, (n, limit) in WESTGARD.items():
        up, down = z > limit, (z < -limit) & (not rises_only)
        if rule == "R-4s":
            hits = np.flatnonzero((up[1:] & down[:-1]) | (down[1:] & up[:-1])) + 1
        else:
            rows = [np.lib.stride_tricks.sliding_window_view(side, n).all(axis=1) for side in (up, down)]
            hits = np.flatnonzero(rows[0] | rows[1]) + n - 1
        last = -n
        for day in hits.tolist():
            if day - last >= n:  # after an alarm the row of points begins anew
                found[rule] += 1
                days.add(day)
                last = day
    found["any"] = len(days)
    return found


def _days(
    lab: Laboratory,
    chart: Chart,
    n: int,
    rng: np.random.Generator,
    shift: Callable[[int], float] = lambda _day: 0.0,
) -> list[Day]:
    if chart.form == "share":
        shares = [min(1.0, lab.shares[chart.name] + shift(k)) for k in range(n)]
        k_of = rng.binomial(FIELDS, shares).tolist()
        return [day_of_share(FIRST + timedelta(day), k, FIELDS) for day, k in enumerate(k_of)]
    values = lab.days(chart.name, n, rng) + np.array([[shift(k)] for k in range(n)])
    summed = zip(np.median(values, axis=1).tolist(), np.var(values, axis=1, ddof=1).tolist(), strict=True)
    return [
        Day(FIRST + timedelta(k), median, FIELDS, variance) for k, (median, variance) in enumerate(summed)
    ]


def shifts(rows: Sequence[Mapping[str, Any]], kind: str) -> dict[str, list[tuple[float, float]]]:
    """Give, by chart, how far a degradation moves a field at each dose: medians of the same fields."""
    clean = {row["name"]: row for row in rows if row["kind"] is None}
    found: dict[str, list[tuple[float, float]]] = defaultdict(lambda: [(0.0, 0.0)])
    for dose in DOSES[DEGRADATIONS[kind]]:
        changed = [row for row in rows if (row["kind"], row["dose"]) == (kind, dose)]
        for chart in CHARTS:
            moved = [
                row["values"][chart] - clean[row["name"]]["values"][chart]
                for row in changed
                if chart in row["values"] and chart in clean[row["name"]]["values"]
            ]
            if moved:
                found[chart].append((dose, float(np.median(moved))))
        before = shares_of([clean[row["name"]] for row in changed])
        for chart, share in shares_of(changed).items():
            found[chart].append((dose, share - before[chart]))
    return dict(found)


def first_alarm(
    lab: Laboratory,
    kind: str | None,
    moved: Mapping[str, list[tuple[float, float]]],
    charts: Sequence[str],
    rng: np.random.Generator,
) -> tuple[int | None, str]:
    """Day of the first alarm of some charts after something changed, and the cause that is named then."""
    slow = kind is not None and DEGRADATIONS[kind]

    def dose(day: int) -> float:
        since = day - BEFORE + 1
        return 0.0 if since < 1 else since / AFTER if slow else 1.0

    points = {}
    for name, chart in CHARTS.items():
        if name not in (*lab.effects, *lab.shares) or (kind is None and name not in charts):
            continue
        at, size = zip(*moved.get(name, [(0.0, 0.0)]), strict=True)
        shift = partial(np.interp, xp=at, fp=size)
        drawn = _days(lab, chart, BEFORE + AFTER, rng, lambda day, shift=shift: float(shift(dose(day))))
        points[name] = follow(chart, drawn)
    for k in range(BEFORE, BEFORE + AFTER):
        if any(points[name][k].rule for name in charts if name in points):
            return k - BEFORE + 1, likely_cause({name: of[k].moved for name, of in points.items()})
    return None, "none"


def degraded(
    lab: Laboratory, kind: str, moved: Mapping[str, list[tuple[float, float]]], rng: np.random.Generator
) -> dict[str, Any]:
    """Say how soon a degradation is seen, and how often chance would have been as quick."""
    found = [first_alarm(lab, kind, moved, MEANT[kind], rng) for _ in range(LABORATORIES)]
    clean = [first_alarm(lab, None, {}, MEANT[kind], rng)[0] for _ in range(LABORATORIES)]
    limit = 15 if DEGRADATIONS[kind] else 1
    days = [day if day is not None else AFTER + 1 for day, _ in found]
    return {
        "limit": limit,
        "in_time": float(np.mean(np.array(days) <= limit)),
        "by_chance": float(np.mean([day is not None and day <= limit for day in clean])),
        "median": float(np.median(days)),
        "p95": float(np.percentile(days, 95)),
        "cause": dict(Counter(cause for _, cause in found).most_common()),
        "moved": {name: at[-1][1] for name, at in moved.items()},
    }


#: Days in which a drift is to be seen, and alarms in 1,000 clean days that it may cost.
SEEN_BY, MOST_ALARMS = 15, 10


def at_best(lab: Mapping[str, Any], kind: str, patients: int = 1) -> float:
    """Say how often any rule could see a drift of one chart in time, at ``MOST_ALARMS`` in 1,000 clean days.

    Parameters
    ----------
    lab : what the document has of a laboratory
    kind : of what comes little by little
    patients : a day

    Notes
    -----
    Of normal days the most powerful test for a drift of known course is the sum of each day times what it has
    drifted by (Neyman and Pearson); it is asked every day for the last 15. It knows centre and spread without
    error, and how long the drift takes, which no chart does: what it does not find, none can.
    """
    found = 0.0
    for name in MEANT[kind]:
        if name not in lab["spread"]:
            continue
        between, within = (lab["spread"][name][part] for part in ("between", "within"))
        of_median = within**2 * np.pi / 2
        days = max(0.0, between**2 - of_median / (lab["fields"] / lab["days"]))
        spread = np.sqrt(days / (patients if name in OF_PATIENTS else 1) + of_median / FIELDS)
        drift = abs(lab["degraded"][kind]["moved"][name]) / spread / SEEN_BY
        found = max(found, _found_at_best(float(drift)))
    return found


def _sums(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum (n, days) up as the most powerful test does, over each 15 days."""
    ramp = np.arange(1.0, SEEN_BY + 1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(z, SEEN_BY, axis=1) @ ramp) / np.sqrt(
        ramp @ ramp
    )


@cache
def _limit_at_best() -> float:
    sums = _sums(np.random.default_rng(20260503).standard_normal((40, 5000)))

    def alarms(limit: float) -> float:
        number = 0
        for row in np.abs(sums):
            last = -SEEN_BY
            for day in np.flatnonzero(row > limit).tolist():
                if day - last >= SEEN_BY:  # after an alarm the days are gathered anew
                    number, last = number + 1, day
        return 1000.0 * number / sums.size

    limits = np.arange(1.5, 3.5, 0.05)
    return float(next(limit for limit in limits if alarms(limit) <= MOST_ALARMS))


def _found_at_best(drift: float) -> float:
    days = np.random.default_rng(20260504).standard_normal((4000, 2 * SEEN_BY - 1))
    days[:, SEEN_BY - 1 :] += drift * np.arange(1, SEEN_BY + 1)
    return float((_sums(days) > _limit_at_best()).any(axis=1).mean())


def measure(data: Path | None, kept: Path) -> dict[str, Any]:
    """Read, simulate, and give what the page shows."""
    fields = [*drawn_fields(), *(() if data is None else real_fields(data))]
    by_lab: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_all(fields, kept):
        by_lab[row["lab"]].append(row)
    laboratories: dict[str, dict[str, Any]] = {}
    how: dict[str, Any]
    for name, rows, moved_in, how in (
        ("rendered", "rendered", "rendered", {}),
        ("all-idb1", "all-idb1", "all-idb1", {}),
        ("jhu-aml, 1 patient a day", "jhu-aml", "all-idb1", {}),
        ("jhu-aml, 5 patients a day", "jhu-aml", "all-idb1", {"patients": 5}),
        ("jhu-aml, its own patients again", "jhu-aml", "all-idb1", {"again": True}),
    ):
        if rows not in by_lab:
            continue
        clean = [row for row in by_lab[rows] if row["kind"] is None]
        lab, rng = Laboratory.of(name, clean, **how), np.random.default_rng(20260503)
        charts = [chart for chart in CHARTS.values() if chart.name in {*lab.effects, *lab.shares}]
        laboratories[name] = {
            "days": len({row["day"] for row in clean}),
            "fields": len(clean),
            "moved_in": moved_in,
            "shares": lab.shares,
            "spread": {
                chart.name: {
                    "between": float(np.std(lab.effects[chart.name], ddof=1)),
                    "within": float(np.std(lab.residuals[chart.name])),
                }
                for chart in charts
                if chart.form != "share"
            },
            "clean": {chart.name: clean_alarms(lab, chart, rng) for chart in charts},
            "degraded": {
                kind: degraded(lab, kind, shifts(by_lab[moved_in], kind), rng) for kind in DEGRADATIONS
            },
            "altered": len({row["name"] for row in by_lab[moved_in] if row["kind"] is not None}),
        }
        for kind in (kind for kind, slow in DEGRADATIONS.items() if slow):
            laboratories[name]["degraded"][kind]["at_best"] = at_best(laboratories[name], kind, lab.patients)
    return {
        "schema": "blastcount.drift/1",
        "software_version": software_version(),
        "code_sha256": code_sha256(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}",
        "simulated": LABORATORIES,
        "clean_days": CLEAN_DAYS,
        "fields_a_day": FIELDS,
        "laboratories": laboratories,
    }


def main() -> None:
    """Write the figures of docs/control.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="with all-idb1 and jhu-aml; drawn alone without")
    parser.add_argument("--cache", type=Path, default=Path("drift.jsonl"), help="what was read of each field")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    given = parser.parse_args()
    given.out.write_text(json.dumps(measure(given.data, given.cache), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
