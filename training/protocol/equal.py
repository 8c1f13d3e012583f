"""Laboratories left out, at one threshold that finds as many blasts whatever the network.

The threshold of each test comes of its inner fold and moves from one training to the next, and with it how
many mature cells are called blasts. Two designs are compared where both find as many blasts of the sessions
and patients that they never saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.data.allidb import LAB as ALL_IDB
from training.data.records import CellRecord
from training.protocol.figures import is_mature
from training.protocol.plan import HEALTHY, PATIENTS
from training.protocol.run import Judged
from training.protocol.statistics import proportion

#: Share of the blasts of the test by session that are found.
KEPT = 0.9
#: Whose blasts set the threshold, each laboratory with the same weight.
_KNOWN = (ALL_IDB, PATIENTS)
_BLASTS_LEFT_OUT = "lmu-aml"

Json = dict[str, Any]


def at_equal_sensitivity(cells: Sequence[CellRecord], by_test: Mapping[str, Sequence[Judged]]) -> Json | None:
    """Call cells of laboratories that were left out at the threshold that keeps 90 % of known blasts.

    Parameters
    ----------
    cells : of the collection
    by_test : all folds of each test, by its name

    Returns
    -------
    dict or None
        ``threshold`` (of the probability before any calibration), ``kept`` and ``blasts`` that it is of;
        ``called_blast``: of each laboratory left out its mature cells at or above it,
        ``basophils_called_blast`` those of them; ``mean_called_blast`` over the laboratories whose people
        have no leukaemia; ``blasts_found``: blasts at or above it. None where the test by session has no
        blast.
    """
    known: dict[str, list[float]] = {lab: [] for lab in _KNOWN}
    for fold in by_test.get("session", ()):
        for index, p in zip(fold.split.judged, fold.p_blast, strict=True):
            cell = cells[index]
            if cell.lab in known and cell.usable and cell.label == 1:
                known[cell.lab].append(float(p))
    if not any(known.values()):
        return None
    threshold = keeping([p for p in known.values() if p])
    left_out = {lab: by_test.get(f"lab:{lab}", ()) for lab in (*HEALTHY, _BLASTS_LEFT_OUT)}
    called: Json = {}
    basophils: Json = {}
    found: Json = {}
    for lab, folds in left_out.items():
        for shares, wanted in ((called, _is_mature), (basophils, _is_basophil), (found, _is_blast)):
            own = [
                (cells[index].group, p >= threshold)
                for fold in folds
                for index, p in zip(fold.split.judged, fold.p_blast, strict=True)
                if cells[index].usable and wanted(cells[index])
            ]
            if own:
                groups, above = zip(*own, strict=True)
                shares[lab] = dict(proportion(np.array(above, bool), groups).to_json())
    of_healthy = [share["value"] for lab, share in called.items() if lab in HEALTHY]
    return {
        "kept": KEPT,
        "blasts": {lab: len(p) for lab, p in known.items()},
        "threshold": threshold,
        "called_blast": called,
        "basophils_called_blast": basophils,
        "mean_called_blast": float(np.mean(of_healthy)) if of_healthy else None,
        "blasts_found": found,
    }


def keeping(p_blast: Sequence[Sequence[float]]) -> float:
    """Return the largest probability that keeps ``KEPT`` of the blasts, each laboratory with one weight.

    Parameters
    ----------
    p_blast : of each laboratory's blasts, one or more

    Examples
    --------
    >>> keeping([[0.1, *[0.5] * 9]]), keeping([[0.1, *[0.5] * 9], [0.4] * 5])
    (0.5, 0.4)
    """
    p = np.concatenate([np.asarray(own, float) for own in p_blast])
    weight = np.concatenate([np.full(len(own), 1 / len(own) / len(p_blast)) for own in p_blast])
    falling = np.argsort(-p, kind="stable")
    # A sum of shares that are exactly 0.9 together may fall short by the last bit.
    enough = np.searchsorted(np.cumsum(weight[falling]), KEPT - 1e-9)
    return float(p[falling[enough]])


def _is_mature(cell: CellRecord) -> bool:
    return cell.label == 0 and is_mature(cell)


def _is_basophil(cell: CellRecord) -> bool:
    return cell.label == 0 and cell.cell_type == "basophil"


def _is_blast(cell: CellRecord) -> bool:
    return cell.label == 1
