"""The tables of ``docs/control.md``: alarms of clean days, and how soon a degradation is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.report.page import Block, Table, Text

#: What was changed, in the words of the page.
_CHANGED = {
    "lamp": "lamp, -20 % over 30 days",
    "stain": "stain, -30 % over 30 days",
    "focus": "focus, at once",
    "dirt": "oil on a part, at once",
    "objective": "100x to 63x, at once",
}


def blocks(document: Mapping[str, Any]) -> Iterator[Block]:
    """Lay out the tables.

    Parameters
    ----------
    document : what ``python -m tests.tools.drift`` wrote
    """
    laboratories = document["laboratories"]
    n = document["simulated"]
    yield Text(
        f"{n} simulated laboratories of {document['clean_days']:,} clean days and {document['fields_a_day']} "
        f"fields a day each, behind a baseline of their own; alarms a laboratory and chart:"
    )
    yield Table(
        (
            "days drawn from",
            "days, fields read",
            "mean over charts",
            "worst chart: 95 % of labs up to",
            "most",
            "labs with 10 or fewer",
        ),
        tuple(_clean_row(name, lab) for name, lab in laboratories.items()),
    )
    yield Text("The same days by Westgard's rules, alarms in 1,000 days and chart (means over charts):")
    names = list(next(iter(next(iter(laboratories.values()))["clean"].values()))["westgard"])
    yield Table(
        ("days drawn from", "in use: 1-3.5s", "in use: drift", *names[:-1], "all five"),
        tuple(
            (
                name,
                *(f"{_mean(lab, 'by_rule', rule):.1f}" for rule in ("1-3.5s", "drift")),
                *(f"{_mean(lab, 'westgard', rule):.1f}" for rule in names),
            )
            for name, lab in laboratories.items()
        ),
    )
    yield Text(
        "After 60 clean days something changes. In time is by day 15 for what comes little by little, on the "
        "same day for what comes at once; of its own charts alone, and beside how often chance was as quick, "
        "and how often any rule could see one of its charts drift at 10 alarms in 1,000 clean days:"
    )
    yield Table(
        (
            "changed",
            "days drawn from",
            "in time",
            "by chance",
            "any rule, at most",
            "median day",
            "95 % by day",
            "cause named",
        ),
        tuple(
            _degraded_row(text, name, lab["degraded"][kind], n)
            for kind, text in _CHANGED.items()
            for name, lab in laboratories.items()
        ),
    )
    yield Text(
        "How far days and fields are spread (standard deviations; log10 but for unevenness and colours):"
    )
    charts = sorted({chart for lab in laboratories.values() for chart in lab["spread"]})
    shown = {name.partition(",")[0]: lab for name, lab in laboratories.items()}
    yield Table(
        ("chart", *(f"{name}, {part}" for name in shown for part in ("days", "fields"))),
        tuple(
            (
                chart,
                *(
                    f"{lab['spread'][chart][part]:.4f}" if chart in lab["spread"] else "-"
                    for lab in shown.values()
                    for part in ("between", "within")
                ),
            )
            for chart in charts
        ),
    )


def _clean_row(name: str, lab: Mapping[str, Any]) -> tuple[str, ...]:
    charts = lab["clean"].values()
    mean = sum(chart["mean"] for chart in charts) / len(charts)
    return (
        name,
        f"{lab['days']}, {lab['fields']}",
        f"{mean:.1f}",
        f"{max(chart['p95'] for chart in charts):.0f}",
        str(max(chart["most"] for chart in charts)),
        f"{100 * min(chart['at_most_10'] for chart in charts):.1f} %",
    )


def _mean(lab: Mapping[str, Any], key: str, rule: str) -> float:
    charts = lab["clean"].values()
    return float(sum(chart[key][rule] for chart in charts) / len(charts))


def _degraded_row(text: str, name: str, found: Mapping[str, Any], n: int) -> tuple[str, ...]:
    late = 31
    cause, times = next(iter(found["cause"].items()))
    return (
        text,
        name,
        f"{100 * found['in_time']:.1f} %",
        f"{100 * found['by_chance']:.1f} %",
        f"{100 * found['at_best']:.0f} %" if "at_best" in found else "",
        f"{found['median']:.0f}",
        "not within 30" if found["p95"] >= late else f"{found['p95']:.0f}",
        f"{cause}, {100 * times / n:.0f} %",
    )
