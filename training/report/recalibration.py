"""The tables of docs/recalibration.md: what a laboratory gains by giving labelled cells back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.verification.fitting import MOST_CALLED
from training.report.page import Block, Bullets, Heading, Table

Json = Mapping[str, Any]


def blocks(document: Json) -> Iterator[Block]:
    """Lay out the prior, the curves and what was wanted of them.

    Parameters
    ----------
    document : schema ``blastcount.recalibration-curve/1``
    """
    sites = document["sites"]
    yield Heading("What laboratories were seen to differ by", 3)
    yield Table(
        ("site", "blasts, others", "offset", "log temperature", "threshold then moves by"),
        tuple(
            (
                _name(site),
                f"{site['blasts']}, {site['others']}",
                f"{site['offset']:+.2f} ± {site['offset_error']:.2f}",
                f"{site['log_temperature']:+.2f} ± {site['log_temperature_error']:.2f}",
                f"{site['best_threshold_moved']:+.2f} ± {site['best_threshold_error']:.2f}",
            )
            for site in document["laboratories"]
        ),
    )
    prior = document["prior"]
    yield Bullets(
        (
            f"prior: standard deviation of the offset {prior['sd_offset']:g}, of the log temperature "
            f"{prior['sd_log_temperature']:g}, correlation {prior['correlation']:g}; "
            f"m = {prior['cells_for_half']:g} cells",
        )
    )
    yield Heading("Blasts and other cells", 3)
    yield Table(
        (
            "left out", "k", "error, own threshold", "used", "corrected", "any share: own", "used",
            "at 20 %: own", "used", "corrected", "blasts called: own", "used", "others called: own", "used",
            "refused", "worse",
        ),
        tuple(
            (
                _name(site), str(row["k"]), _3(row["factory"]), _3(row["used"]), _3(row["corrected"]),
                _3(row["factory_even"]), _3(row["used_even"]), _3(row["factory_at_line"]),
                _3(row["used_at_line"]), _3(row["corrected_at_line"]), _3(row["factory_sensitivity"]),
                _3(row["used_sensitivity"]), _3(row["factory_called"]), _3(row["used_called"]),
                _percent(row["refused"]), _percent(row["worse"]),
            )
            for site in sites
            if site["cells"]["blast"]
            for row in site["curve"]
        ),
    )  # fmt: skip
    yield Heading("Mature cells alone", 3)
    yield Table(
        ("left out", "k", "own threshold", "fitted", "used", "used, 95 % of draws below", "refused"),
        tuple(
            (
                _name(site), str(row["k"]), _3(row["factory_called"]), _3(row["fit_called"]),
                _3(row["used_called"]), _3(row["used_called_95"]), _percent(row["refused"]),
            )
            for site in sites
            if not site["cells"]["blast"]
            for row in site["curve"]
        ),
    )  # fmt: skip
    yield Heading("Against what was wanted", 3)
    yield Bullets(tuple(wanted(sites)))


def wanted(sites: Sequence[Json]) -> Iterator[str]:
    """Say where 200 cells give what was wanted of them; of a site without as many, what the most gave."""
    for site in sites:
        row = next((row for row in site["curve"] if row["k"] == 200), site["curve"][-1])
        at = "at 200" if row["k"] == 200 else f"has too few cells for 200; at {row['k']}"
        if site["cells"]["blast"]:
            reached = row["used"] < row["factory"] and row["used_even"] < row["factory_even"]
            said = (
                f"the share's error is {_3(row['used'])}, by the model's own threshold {_3(row['factory'])}; "
                f"over all shares {_3(row['used_even'])} and {_3(row['factory_even'])}"
            )
        else:
            reached = row["used_called"] <= MOST_CALLED
            said = (
                f"{_3(row['used_called'])} of mature cells are called blast, at most {_3(MOST_CALLED)} wanted"
            )
        yield f"{_name(site)}: {at} {said}: {'reached' if reached else '**not reached**'}"


def _name(site: Json) -> str:
    return str(site["site"]).replace(":", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _3(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
