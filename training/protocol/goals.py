"""What a classifier for the device should reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.protocol.plan import HEALTHY, PATIENTS

Json = dict[str, Any]
_GROUPED = (("scene", "by scene"), ("session", "by session"))
#: Of both: what is wanted of which figure; at least or at most so much.
_WANTED = (
    ("figures", "sensitivity", "sensitivity", 0.95, True),
    ("figures", "specificity", "specificity", 0.95, True),
    ("figures", "auc", "AUC", 0.98, True),
    ("figures", "uncertain", "uncertain", 0.10, False),
    ("figures", "calibration_error", "calibration error", 0.03, False),
    ("count", "r2", "blasts a field, r²", 0.97, True),
    ("count", "mae", "blasts a field, mean absolute error", 0.6, False),
)
#: Of the patients of jhu-aml, each judged by a network that saw none of that patient's cells.
_OF_PATIENTS = (
    ("sensitivity", "sensitivity", 0.93, True),
    ("specificity", "specificity", 0.90, True),
    ("auc", "AUC", 0.97, True),
    ("calibration_error", "calibration error", 0.04, False),
    ("calibration_error_even", "calibration error where each class is half of the cells", 0.04, False),
)
_WORSE_CAMERA_AUC, _WEAK_FIELD_AUC, _PATIENTS_LEFT_OUT_AUC = 0.94, 0.93, 0.93
_MATURE_CALLED_BLAST, _BASOPHILS_CALLED_BLAST = 0.05, 0.10


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
    rows = [
        _row(f"{words}: {shown}", wanted, test[part][name], at_least=at_least)
        for key, words in _GROUPED
        if "figures" in (test := tests.get(key, {}))
        for part, name, shown, wanted, at_least in _WANTED
    ]
    patients = tests.get("session", {}).get("myeloid", {}).get(PATIENTS)
    if patients:
        rows += [
            _row(f"by patient of {PATIENTS}: {shown}", wanted, patients["figures"][name], at_least=at_least)
            for name, shown, wanted, at_least in _OF_PATIENTS
        ]
    patients = tests.get(f"lab:{PATIENTS}", {}).get("myeloid", {}).get(PATIENTS)
    if patients:
        name = f"{PATIENTS} left out: AUC, blasts against mature cells"
        rows.append(_row(name, _PATIENTS_LEFT_OUT_AUC, patients["figures"]["auc"]))
    cameras = {
        name.partition(":")[2]: test["figures"]["auc"]
        for name, test in tests.items()
        if name.startswith("camera:") and test["figures"]["auc"]["value"] is not None
    }
    if cameras:
        worst = min(cameras, key=lambda name: float(cameras[name]["value"]))
        # Of one camera nobody knows whether it is the worse one.
        words = "worse camera" if len(cameras) > 1 else "camera"
        rows.append(_row(f"{words} left out ({worst}): AUC", _WORSE_CAMERA_AUC, cameras[worst]))
    weak = tests.get("lab:all-taleqani", {}).get("weak")
    if weak:
        name = "all-taleqani left out: AUC of fields, malignant against benign"
        rows.append(_row(name, _WEAK_FIELD_AUC, weak["field_auc"]))
    for lab in HEALTHY:
        mature = tests.get(f"lab:{lab}", {}).get("mature", {}).get(lab)
        if mature:
            name, figure = f"{lab} left out: mature cells called blast", mature["figures"]["called_blast"]
            rows.append(_row(name, _MATURE_CALLED_BLAST, figure, at_least=False))
            if "basophil" in mature["by_type"]:
                name, figure = (
                    f"{lab} left out: basophils called blast",
                    mature["by_type"]["basophil"]["called_blast"],
                )
                rows.append(_row(name, _BASOPHILS_CALLED_BLAST, figure, at_least=False))
    return rows


def _row(name: str, wanted: float, figure: Json, *, at_least: bool = True) -> Json:
    value = figure["value"]
    reached = value is not None and (value >= wanted if at_least else value <= wanted)
    return {"name": name, "wanted": wanted, "at_least": at_least, "figure": figure, "reached": reached}
