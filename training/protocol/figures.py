"""What the tests of the protocol say, as JSON: every figure with its n and its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.structures import CellClass
from training.data.allidb import LAB as ALL_IDB
from training.data.records import MATURE_TYPES, OWN, CellRecord, FieldRecord
from training.protocol.decision import cross_entropy, even_weights, expected_calibration_error
from training.protocol.judged import JudgedCells
from training.protocol.plan import HEALTHY, PATIENTS, WEAK
from training.protocol.statistics import (
    Figure,
    auc,
    calibration_error_by_chance,
    proportion,
    statistic,
)

#: Laboratories with blasts of acute myeloid leukaemia, and cells of the same slides that are none.
MYELOID = (PATIENTS, "lmu-aml")
_WORDS: tuple[CellClass, ...] = ("normal", "uncertain", "blast")
_BINS = 10

#: Calibrated probabilities at which the report shows what another threshold would have given.
_OTHER_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)

Json = dict[str, Any]


def of_test(judged: JudgedCells, fields: Mapping[str, FieldRecord]) -> Json:
    """Sum up one test.

    Parameters
    ----------
    judged : its cells
    fields : of the collection, by key

    Returns
    -------
    dict
        ``figures`` by name; parts by camera, laboratory, type; ``confusion``, ``reliability``.
    """
    kind = judged.test.partition(":")[0]
    about: Json = {
        "test": judged.test,
        "networks": len(judged.decisions),
        "trained_on": list(judged.trained_on),
        "decisions": [asdict(decision) for decision in judged.decisions],
        "decided_on": list(judged.chosen_on),
    }
    own = judged.take([cell.lab == ALL_IDB for cell in judged.cells])
    if own.cells:
        about |= _blasts(own, fields, by_camera=kind != "camera")
    for lab in MYELOID:
        part = judged.take([cell.lab == lab and cell.usable for cell in judged.cells])
        if part.cells:
            about.setdefault("myeloid", {})[lab] = _myeloid(part)
    others = {
        lab: judged.take([cell.lab in members for cell in judged.cells]) for lab, members in HEALTHY.items()
    }
    about["mature"] = {lab: _mature(part) for lab, part in others.items() if part.cells}
    about["at_thresholds"] = at_thresholds(judged)
    ours = judged.take([cell.lab == OWN and cell.usable and cell.label is not None for cell in judged.cells])
    if ours.cells:
        about[OWN] = {"figures": _json(cell_figures(ours)), "confusion": confusion(ours)}
    weak = judged.take([cell.lab == WEAK and cell.usable for cell in judged.cells])
    if weak.cells:
        about["weak"] = _weak(weak, fields)
    return about


def at_thresholds(judged: JudgedCells) -> list[Json]:
    """Say what fixed thresholds without a band would have given; shown, never chosen from.

    Parameters
    ----------
    judged : cells of a test

    Returns
    -------
    list of dict
        ``threshold``, and the share of cells at or above it by kind of cell: blasts and normal cells of
        ALL-IDB, mature cells of each other laboratory; kinds that the test does not have are left out.
    """
    kinds = {
        f"{ALL_IDB} {word}": [_is_of(cell, (ALL_IDB,), label) for cell in judged.cells]
        for word, label in (("blasts", 1), ("normal cells", 0))
    } | {
        f"{lab} mature cells": [_is_of(cell, members, 0) and is_mature(cell) for cell in judged.cells]
        for lab, members in HEALTHY.items()
    }
    parts = {name: judged.take(chosen) for name, chosen in kinds.items() if any(chosen)}
    return [
        {"threshold": threshold}
        | {
            name: dict(proportion(part.p_blast >= threshold, part.groups).to_json())
            for name, part in parts.items()
        }
        for threshold in (_OTHER_THRESHOLDS if parts else ())
    ]


def _is_of(cell: CellRecord, labs: tuple[str, ...], label: int) -> bool:
    return cell.usable and cell.lab in labs and cell.label == label


def is_mature(cell: CellRecord) -> bool:
    """Whether a cell is mature, by its type; of laboratories that name none, every cell is."""
    return cell.cell_type is None or cell.cell_type in MATURE_TYPES


def cell_figures(judged: JudgedCells) -> dict[str, Figure]:
    """Figures of labelled cells: at the threshold, and with the uncertain band.

    Parameters
    ----------
    judged : cells with labels
    """
    labels, groups, p = judged.labels, judged.groups, judged.p_blast
    blast, normal = labels == 1, labels == 0
    of_blasts = [group for group, is_blast in zip(groups, blast, strict=True) if is_blast]
    of_normal = [group for group, is_normal in zip(groups, normal, strict=True) if is_normal]
    return {
        "sensitivity": proportion(judged.above[blast], of_blasts),
        "specificity": proportion(~judged.above[normal], of_normal),
        "accuracy": proportion(judged.above == blast, groups),
        "auc": statistic(lambda i: auc(labels[i], p[i]), groups),
        "error": statistic(lambda i: cross_entropy(labels[i], p[i]), groups),
        "calibration_error": statistic(lambda i: expected_calibration_error(labels[i], p[i]), groups),
        "calibration_error_even": statistic(
            lambda i: expected_calibration_error(labels[i], p[i], even_weights(labels[i])), groups
        ),
        "uncertain": proportion(judged.word == 1, groups),
        "blasts_called_blast": proportion(judged.word[blast] == 2, of_blasts),
        "normal_called_blast": proportion(judged.word[normal] == 2, of_normal),
    }


def _blasts(own: JudgedCells, fields: Mapping[str, FieldRecord], *, by_camera: bool) -> Json:
    labelled = own.take([cell.usable and cell.label is not None for cell in own.cells])
    found: Json = {
        "figures": _json(cell_figures(labelled)),
        "calibration_error_by_chance": calibration_error_by_chance(labelled.p_blast),
        "confusion": confusion(labelled),
        "reliability": reliability(labelled.labels, labelled.p_blast),
        "normal_of": {
            name: _json(_called(part))
            for name, part in (
                ("healthy persons", labelled.take([_is_normal(c, patient=False) for c in labelled.cells])),
                ("patients", labelled.take([_is_normal(c, patient=True) for c in labelled.cells])),
            )
            if part.cells
        },
        "count": _count(own, fields),
    }
    if by_camera:
        found["by_camera"] = {
            camera: _json(cell_figures(labelled.take([cell.camera == camera for cell in labelled.cells])))
            for camera in sorted({cell.camera for cell in labelled.cells})
        }
    return found


def _is_normal(cell: CellRecord, *, patient: bool) -> bool:
    return cell.label == 0 and cell.weak_label == int(patient)


def _count(own: JudgedCells, fields: Mapping[str, FieldRecord]) -> Json:
    """Compare cells called blast with marked blasts, field by field; cut cells and missed ones count, too."""
    names = sorted({cell.field for cell in own.cells if fields[cell.field].lab == ALL_IDB})
    place = {name: i for i, name in enumerate(names)}
    called = np.zeros(len(names))
    for cell, word in zip(own.cells, own.word, strict=True):
        called[place[cell.field]] += word == 2
    marked = np.array([fields[name].blasts for name in names], dtype=np.float64)
    groups = [fields[name].group for name in names]
    return {
        "marked": int(marked.sum()),
        "not_found": sum(fields[name].unmatched_blasts for name in names),
        "called": int(called.sum()),
        "r2": statistic(lambda i: _r2(marked[i], called[i]), groups).to_json(),
        "mae": statistic(lambda i: float(np.abs(marked[i] - called[i]).mean()), groups).to_json(),
        "fields": [
            {"field": name, "marked": int(m), "called": int(c)}
            for name, m, c in zip(names, marked, called, strict=True)
        ],
    }


def _r2(marked: NDArray[np.float64], called: NDArray[np.float64]) -> float | None:
    """Squared correlation; None where either does not vary."""
    if not marked.std() or not called.std():
        return None
    return float(np.corrcoef(marked, called)[0, 1] ** 2)


def _mature(part: JudgedCells) -> Json:
    """How often normal cells of a laboratory without patients are called blasts."""
    normal = part.take([cell.usable and cell.label == 0 for cell in part.cells])
    kinds = sorted({cell.cell_type for cell in normal.cells if cell.cell_type is not None})
    mature = normal.take([is_mature(cell) for cell in normal.cells])
    return {
        "figures": _json(_called(mature)),
        "by_type": {
            kind: _json(_called(normal.take([cell.cell_type == kind for cell in normal.cells])))
            for kind in kinds
        },
        # What a user of the device would see, cells cut by the border and false finds among them.
        "all_found": _json(_called(part)),
    }


def _myeloid(part: JudgedCells) -> Json:
    """Blasts against mature cells and erythroblasts; other classes are shown by type, not judged."""
    against = part.take([cell.label == 1 or is_mature_or_erythroblast(cell) for cell in part.cells])
    found: Json = {
        "figures": _json(cell_figures(against)),
        "calibration_error_by_chance": calibration_error_by_chance(against.p_blast),
        "confusion": confusion(against),
        "by_type": {
            kind: _json(_called(part.take([cell.cell_type == kind for cell in part.cells])))
            for kind in sorted({cell.cell_type for cell in part.cells if cell.cell_type is not None})
        },
    }
    return found


def is_mature_or_erythroblast(cell: CellRecord) -> bool:
    """Whether a cell is one of those that myeloid blasts are told from."""
    return cell.label == 0 and cell.cell_type in MATURE_TYPES | {"erythroblast"}


def _called(part: JudgedCells) -> dict[str, Figure]:
    return {
        "called_blast": proportion(part.word == 2, part.groups),
        "uncertain": proportion(part.word == 1, part.groups),
    }


def _weak(part: JudgedCells, fields: Mapping[str, FieldRecord]) -> Json:
    """Fields of all-taleqani: the mean probability of a field's cells as its score.

    The mean is the expected share of blasts; it was fixed before any figure was seen.
    """
    names = sorted({cell.field for cell in part.cells})
    place = {name: i for i, name in enumerate(names)}
    index = np.array([place[cell.field] for cell in part.cells])
    score = np.bincount(index, part.p_blast) / np.bincount(index)
    label = np.array([fields[name].weak_label for name in names], dtype=np.int64)
    stage = np.array([fields[name].name.split("/")[0] for name in names])
    groups = np.array([fields[name].group for name in names])
    malignant = sorted(set(stage[label == 1].tolist()))
    without = [
        field
        for field in fields.values()
        if field.lab == WEAK and field.duplicate_of is None and field.key not in place
    ]
    return {
        "fields": {"benign": int((label == 0).sum()), "malignant": int((label == 1).sum())},
        "fields_without_whole_cell": len(without),
        "field_auc": _field_auc(label, score, groups).to_json(),
        "field_auc_by_stage": {
            name: _field_auc(label[chosen], score[chosen], groups[chosen]).to_json()
            for name in malignant
            if (chosen := (stage == name) | (label == 0)).any()
        },
        "cells": {
            name: _json(_called(part.take([cell.weak_label == value for cell in part.cells])))
            for name, value in (("benign", 0), ("malignant", 1))
        },
    }


def _field_auc(label: NDArray[np.int64], score: NDArray[np.float64], groups: NDArray[np.str_]) -> Figure:
    return statistic(lambda i: auc(label[i], score[i]), groups.tolist())


def confusion(judged: JudgedCells) -> dict[str, dict[str, int]]:
    """Count words by label."""
    labels = judged.labels
    return {
        name: {word: int(((labels == value) & (judged.word == i)).sum()) for i, word in enumerate(_WORDS)}
        for name, value in (("blast", 1), ("normal", 0))
    }


def reliability(labels: NDArray[np.int64], p: NDArray[np.float64]) -> list[Json]:
    """Mean probability and frequency of blasts in ten bins, empty ones left out."""
    index = np.minimum((p * _BINS).astype(int), _BINS - 1)
    found = []
    for k in range(_BINS):
        members = index == k
        if members.any():
            figure = proportion(labels[members] == 1, [str(i) for i in np.nonzero(members)[0]])
            found.append({"p": round(float(p[members].mean()), 4), "frequency": figure.to_json()})
    return found


def _json(figures: Mapping[str, Figure]) -> dict[str, Json]:
    return {name: dict(figure.to_json()) for name, figure in figures.items()}
