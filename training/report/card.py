"""What a trained model's card and manifest say; the converter copies the sections into the bundle's card."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edge.classification.card import SCHEMA
from edge.device.machine import describe_software
from training.data.allidb import LABELS, AllIdb
from training.data.crops import CropSet, LabelledCrop, Survey, same_cells
from training.protocol.accuracy import Proportion
from training.protocol.calibration import UNCERTAIN_BAND
from training.recipes import akbar2024, akbar2024_splits
from training.recipes.akbar2024 import Outcome
from training.recipes.akbar2024_splits import SplitTest

MANIFEST_SCHEMA = "blastcount.manifest/1"

REFERENCE = (
    'M. Akbar, P. T. Prasetyaningrum, P. W. Setyaningsih, M. Ahsan, A. E. Budianto, "Deteksi Leukemia '
    'Limfoblastik Akut menggunakan Convolutional Neural Network", 2024'
)
INTENDED_USE = (
    "Research use only. Counting white cells that look like blasts in stained blood smears, by people who "
    "can judge the smear themselves. Not for diagnosis, not for deciding on a treatment, and no statement "
    "about any disease."
)
#: What is not known without the leak-free protocol, and what is said in its place with it.
NOT_ELSEWHERE = "Not tested on other laboratories, stains or cameras."
ELSEWHERE = (
    "How it does on sessions, cameras and laboratories that it was not trained on is under the leak-free "
    "protocol, at thresholds chosen there; this card's threshold and temperature were not."
)
LABEL_RULE = (
    "ALL_IDB2: every crop, labelled as its file name says (platelets among the normal ones included). "
    "ALL_IDB1: blasts at the points of xyc; normal cells at the points of other_xyc in fields of healthy "
    "persons, as in ALL_IDB2, whose normal crops all come from such fields (without other_xyc: at the white "
    "cells that the segmentation finds there). Of both classes only points at which the product's "
    "segmentation finds a whole white cell."
)


def manifest(data: AllIdb, outcome: Outcome) -> dict[str, object]:
    """List every crop used: which pixels, where from, which side.

    Parameters
    ----------
    data : the data set
    outcome : of the recipe

    Returns
    -------
    dict
        JSON, schema ``blastcount.manifest/1``; the rows are also the lines of ``split.csv``.
    """
    return {
        "schema": MANIFEST_SCHEMA,
        "recipe": akbar2024.NAME,
        "seed": outcome.seed,
        "input": asdict(akbar2024.SPEC),
        "data": {"fields": len(data.fields), "idb2_crops": len(data.crops)},
        "crops": rows(outcome),
    }


def rows(outcome: Outcome) -> list[dict[str, object]]:
    """Describe each crop in the order of ``outcome.crops``; see :class:`training.data.crops.LabelledCrop`."""
    sides = ["test" if test else "train" for test in outcome.is_test]
    other_side = {
        side: {id(crop) for crop in same_cells(_side(outcome, side), _side(outcome, other))}
        for side, other in (("test", "train"), ("train", "test"))
    }
    return [
        {
            "sha256": crop.sha256,
            "side": side,
            "label": crop.label,
            "class": LABELS[crop.label],
            "origin": crop.origin,
            "source": crop.source,
            "field": crop.field,
            "x": crop.x,
            "y": crop.y,
            "um_per_px": round(crop.um_per_px, 5),
            "scene": crop.scene,
            "camera": crop.camera,
            "difference": crop.difference,
            "cell_on_both_sides": id(crop) in other_side[side],
        }
        for crop, side in zip(outcome.crops, sides, strict=True)
    ]


def calibration_crops(outcome: Outcome) -> list[LabelledCrop]:
    """Return the training crops whose cell no held-back crop shows: quantisation never sees a test cell."""
    train, test = _side(outcome, "train"), _side(outcome, "test")
    shared = {id(crop) for crop in same_cells(train, test)}
    return [crop for crop in train if id(crop) not in shared]


def held_back_crops(outcome: Outcome) -> list[LabelledCrop]:
    """Return the crops of the test side."""
    return _side(outcome, "test")


def card(
    data: AllIdb,
    surveyed: Survey,
    crop_set: CropSet,
    outcome: Outcome,
    splits: Sequence[SplitTest],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """Describe the model.

    Parameters
    ----------
    data, surveyed, crop_set : what it was trained on
    outcome : of the recipe
    splits : tests of every random split, that of ``outcome`` among them
    files : SHA-256 of files that belong to the model, by name

    Returns
    -------
    dict
        JSON: the sections of a ``blastcount.model/1`` card that training knows.
    """
    n_test = int(outcome.is_test.sum())
    return {
        "schema": SCHEMA,
        "name": akbar2024.NAME,
        "labels": list(LABELS),
        "input": asdict(akbar2024.SPEC),
        "decision": _decision(outcome),
        "training": _training(data, surveyed, crop_set, outcome, files),
        "evaluation": {
            "held_back": outcome.evaluation.to_json()
            | {"split": "at random over crops, as in the paper", "paper": akbar2024.PAPER_TEST},
            "leakage": {
                "test_crops": n_test,
                "cell_also_in_training": outcome.leaked,
                "text": f"leakage: {outcome.leaked} of {n_test} test crops show a cell that is also in "
                "training",
                "held_back_without_those": outcome.unleaked.to_json(),
            },
            "repeated_splits": akbar2024_splits.pooled(splits),
            "by_scene": _by_scene(outcome),
            "patients_non_blasts_called_blast": outcome.patients_non_blasts.to_json()
            | {"text": "non-blasts of patients' fields (other_xyc), none of them trained on"},
            "camera_alone": camera_alone(outcome.crops).to_json()
            | {"text": "accuracy of naming each camera's commoner class, without looking at a cell"},
        },
        "limits": _limits(outcome),
        "intended_use": INTENDED_USE,
    }


def camera_alone(crops: Sequence[LabelledCrop]) -> Proportion:
    """How many crops are right when each camera's crops all get that camera's commoner class."""
    by_camera: dict[str | None, Counter[int]] = defaultdict(Counter)
    for crop in crops:
        by_camera[crop.camera][crop.label] += 1
    return Proportion(sum(max(labels.values()) for labels in by_camera.values()), len(crops))


def _side(outcome: Outcome, side: str) -> list[LabelledCrop]:
    return [
        crop for crop, test in zip(outcome.crops, outcome.is_test, strict=True) if test == (side == "test")
    ]


def _training(
    data: AllIdb, surveyed: Survey, crop_set: CropSet, outcome: Outcome, files: Mapping[str, str]
) -> dict[str, object]:
    count = Counter((crop.source.split("/")[0], LABELS[crop.label]) for crop in outcome.crops)
    origins = Counter(crop.origin for crop in outcome.crops)
    last = outcome.history[-1]
    return {
        "recipe": akbar2024.NAME,
        "reference": REFERENCE,
        "data": {
            "name": "ALL-IDB (Donida Labati, Piuri, Scotti 2011)",
            "fields": len(data.fields),
            "overlapping_fields": [f"{shift.first} {shift.second}" for shift in surveyed.shifts],
            "crops": len(outcome.crops),
            "by_folder_and_class": {f"{folder} {label}": n for (folder, label), n in sorted(count.items())},
            "by_origin": dict(sorted(origins.items())),
            "idb1_points_left_out": dict(crop_set.dropped),
            "cameras": dict(sorted(Counter(crop.camera or "unknown" for crop in outcome.crops).items())),
            "label_rule": LABEL_RULE,
        },
        "split": {"train": int((~outcome.is_test).sum()), "test": int(outcome.is_test.sum())},
        "hyperparameters": {
            "loss": "cross-entropy",
            "optimizer": "Adam",
            "learning_rate": akbar2024.LEARNING_RATE,
            "epochs": outcome.epochs,
            "batch_size": akbar2024.BATCH_SIZE,
            "padding": "same",
            "input": "-1 to 1",
            "augmentation": "none",
        },
        "not_in_the_paper": [
            "batch_size",
            "padding",
            "scale of the input",
            "choice of ALL_IDB1 cells",
            "physical size of the crop",
        ],
        "parameters": int(outcome.model.count_params()),
        "seed": outcome.seed,
        "last_epoch": {"error": last.error, "accuracy": last.accuracy},
        "software": describe_software(),
        "machine": platform.machine(),
        "sha256": dict(files),
    }


def _decision(outcome: Outcome) -> dict[str, float]:
    low, high = UNCERTAIN_BAND
    temperature = outcome.scene_test.temperature if outcome.scene_test else 1.0
    return {
        "threshold": 0.5,
        "uncertain_low": low,
        "uncertain_high": high,
        "temperature": round(temperature, 3),
    }


def _by_scene(outcome: Outcome) -> dict[str, object]:
    test = outcome.scene_test
    if test is None:
        return {"text": "not run (--no-leak-free)"}
    return test.evaluation.to_json() | {
        "folds": test.folds,
        "scenes": test.scenes,
        "calibration_error": test.calibration_error,
        "uncertain": test.uncertain,
        "text": "no scene (a field with those that overlap it) on both sides; patients, sessions and cameras "
        "may be. Calibration error and uncertain share: each fold at the temperature of the others",
    }


def _limits(outcome: Outcome) -> list[str]:
    n_test = int(outcome.is_test.sum())
    return [
        "Trained and tested on one public data set of few patients and one laboratory.",
        f"The held-back figures come from a random split: {outcome.leaked} of {n_test} test crops show a "
        "cell that was also trained on.",
        f"In this data the camera alone names the class of {camera_alone(outcome.crops)} of the crops: how "
        "much of the figures is cells and how much is camera cannot be told from them.",
        "Non-blasts of patients' fields were not trained on: their labels are unsure, and blasts are among "
        f"them. Of these it calls blast: {outcome.patients_non_blasts}.",
        NOT_ELSEWHERE,
        "Its probabilities are not calibrated."
        if outcome.scene_test is None
        else "Its probabilities are calibrated on this data set's cameras and stains, not for others.",
    ]
