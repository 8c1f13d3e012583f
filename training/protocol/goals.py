"""What a classifier for the device should reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_GROUPED = (("scene", "by scene"), ("session", "by session"))
#: Laboratories of mature cells whose called-blast share is bounded one by one.
_MATURE = ("bccd", "wbc-chula", "pbc", "wbc-seg")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that should be at least (or at most) so much."""

    name: str
    wanted: float
    at_least: bool


def against_goals(tests: Mapping[str, Json]) -> list[Json]:
    """Compare what was measured with what is wanted.

    Parameters
    ----------
    tests : from :func:`training.protocol.figures.of_test`, by name; tests that were not run are left out

    Returns
    -------
    list of dict
        ``name``, ``wanted``, ``at_least``, the figure, and whether its value reaches it.
    """
    rows: list[Json] = []
    for key, words in _GROUPED:
        if (test := tests.get(key)) is None or "figures" not in test:
            continue
        for name, shown, wanted, at_least in (
            ("sensitivity", "sensitivity", 0.95, True),
            ("specificity", "specificity", 0.95, True),
            ("auc", "AUC", 0.98, True),
            ("uncertain", "uncertain", 0.10, False),
            ("calibration_error", "calibration error", 0.03, False),
        ):
            rows.append(_row(Goal(f"{words}: {shown}", wanted, at_least), test["figures"][name]))
        rows.append(_row(Goal(f"{words}: blasts a field, r²", 0.97, True), test["count"]["r2"]))
        rows.append(
            _row(Goal(f"{words}: blasts a field, mean absolute error", 0.6, False), test["count"]["mae"])
        )
    cameras = {
        name.partition(":")[2]: test["figures"]["auc"]
        for name, test in tests.items()
        if name.startswith("camera:") and test["figures"]["auc"]["value"] is not None
    }
    if cameras:
        worst = min(cameras, key=lambda name: float(cameras[name]["value"]))
        rows.append(_row(Goal(f"worse camera left out ({worst}): AUC", 0.90, True), cameras[worst]))
    weak = tests.get("lab:all-taleqani", {}).get("weak")
    if weak:
        goal = Goal("all-taleqani left out: AUC of fields, malignant against benign", 0.75, True)
        rows.append(_row(goal, weak["field_auc"]))
    for lab in _MATURE:
        mature = tests.get(f"lab:{lab}", {}).get("mature", {}).get(lab)
        if mature:
            goal = Goal(f"{lab} left out: mature cells called blast", 0.05, False)
            rows.append(_row(goal, mature["figures"]["called_blast"]))
    return rows


def _row(goal: Goal, figure: Json) -> Json:
    value = figure["value"]
    reached = value is not None and (value >= goal.wanted if goal.at_least else value <= goal.wanted)
    return {
        "name": goal.name,
        "wanted": goal.wanted,
        "at_least": goal.at_least,
        "figure": figure,
        "reached": reached,
    }
