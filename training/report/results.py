"""The folder that a training leaves: model, card, table, figure, manifest and crops, all or nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.device.hashing import file_sha256
from training.data.allidb import AllIdb
from training.data.crops import CropSet, LabelledCrop, Survey
from training.protocol.evaluation import Evaluated, sections
from training.recipes import akbar2024, akbar2024_splits
from training.recipes.akbar2024 import Epoch, Outcome
from training.recipes.akbar2024_splits import SplitTest
from training.report import cardpage
from training.report import evaluation as report
from training.report.card import (
    ELSEWHERE,
    NOT_ELSEWHERE,
    calibration_crops,
    card,
    held_back_crops,
    manifest,
    rows,
)
from training.report.figures import draw_figure_4
from training.report.folder import written_whole

MODEL, CARD, MANIFEST, SPLIT = "model.keras", "card.json", "manifest.json", "split.csv"
TABLE_1, HISTORY, FIGURE_4, CROPS = "table1.csv", "history.json", "figure4.png", "crops.npz"
CARD_PAGE, SPLITS = "card.md", "splits.csv"
FILES = (MODEL, CARD, CARD_PAGE, MANIFEST, SPLIT, SPLITS, TABLE_1, HISTORY, FIGURE_4, CROPS)


def write(
    out: Path,
    data: AllIdb,
    surveyed: Survey,
    crop_set: CropSet,
    outcome: Outcome,
    splits: Sequence[SplitTest],
    evaluated: Evaluated | None = None,
    *,
    force: bool,
) -> None:
    """Write everything that a run of the recipe gave.

    Parameters
    ----------
    out : folder; appears whole or not at all
    data, surveyed, crop_set, outcome : of the run
    splits : tests of every random split, that of ``outcome`` among them
    evaluated : of the leak-free protocol; None where it was not run
    force : whether earlier results there may be replaced

    Raises
    ------
    OutputError
        The folder is taken or cannot be written.
    RuntimeMissingError
        Matplotlib is not installed.
    """
    with written_whole(out, (*FILES, *report.FILES), force=force) as folder:
        write_json(folder / MANIFEST, manifest(data, outcome))
        _write_csv(folder / SPLIT, rows(outcome))
        _write_csv(folder / TABLE_1, table_1(outcome.history))
        _write_csv(folder / SPLITS, akbar2024_splits.rows(splits))
        write_json(folder / HISTORY, history(outcome, splits))
        draw_figure_4(outcome.history, folder / FIGURE_4)
        _write_crops(folder / CROPS, outcome)
        outcome.model.save(folder / MODEL)
        hashes = {name: file_sha256(folder / name) for name in (MANIFEST, MODEL, CROPS)}
        made = card(data, surveyed, crop_set, outcome, splits, hashes)
        if evaluated is not None:
            # Not its "calls": the protocol's thresholds are not this card's, so that they would correct a
            # share of blasts for errors that the device does not make.
            made["evaluation"]["protocol"] = sections(evaluated.document)["protocol"]
            made["limits"] = [ELSEWHERE if limit == NOT_ELSEWHERE else limit for limit in made["limits"]]
            report.write(evaluated.document, folder)
        write_json(folder / CARD, made)
        (folder / CARD_PAGE).write_text(cardpage.as_markdown(made), encoding="utf-8")


def table_1(epochs: Sequence[Epoch]) -> list[dict[str, object]]:
    """Return the paper's Table 1 for this training, with the paper's own figures beside it."""
    paper = {number: (error, accuracy) for number, error, accuracy in akbar2024.PAPER_TABLE_1}
    return [
        {
            "epoch": epoch.number,
            "error": round(epoch.error, 4),
            "accuracy_percent": round(100 * epoch.accuracy, 2),
            "paper_error": paper[epoch.number][0] if epoch.number in paper else None,
            "paper_accuracy_percent": paper[epoch.number][1] if epoch.number in paper else None,
        }
        for epoch in epochs
    ]


def history(outcome: Outcome, splits: Sequence[SplitTest]) -> dict[str, object]:
    """Return table and test figures of this training, and those of every random split, as JSON."""
    return {
        "recipe": akbar2024.NAME,
        "seed": outcome.seed,
        "epochs": table_1(outcome.history),
        "test": outcome.evaluation.to_json(),
        "paper_test": akbar2024.PAPER_TEST,
        "splits": akbar2024_splits.rows(splits),
    }


def write_json(path: Path, content: object) -> None:
    """Write JSON as every file of a training has it."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_csv(path: Path, lines: Sequence[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _write_crops(path: Path, outcome: Outcome) -> None:
    """Write the crops for the converter; plain arrays, so that they are read back without pickle."""
    train, test = calibration_crops(outcome), held_back_crops(outcome)
    np.savez_compressed(
        path,
        train_crops=_pixels(train),
        train_labels=_labels(train),
        train_sha256=_hashes(train),
        train_fields=_fields(train),
        test_crops=_pixels(test),
        test_labels=_labels(test),
        test_sha256=_hashes(test),
        test_fields=_fields(test),
        test_p_blast=outcome.p_blast,
    )


def _pixels(crops: Sequence[LabelledCrop]) -> NDArray[np.uint8]:
    size = akbar2024.SPEC.size_px
    return np.array([crop.pixels for crop in crops], dtype=np.uint8).reshape(-1, size, size, 3)


def _labels(crops: Sequence[LabelledCrop]) -> NDArray[np.int64]:
    return np.array([crop.label for crop in crops], dtype=np.int64)


def _hashes(crops: Sequence[LabelledCrop]) -> NDArray[np.str_]:
    return np.array([crop.sha256 for crop in crops], dtype="U64")


def _fields(crops: Sequence[LabelledCrop]) -> NDArray[np.str_]:
    return np.array([crop.field or "" for crop in crops], dtype=np.str_)
