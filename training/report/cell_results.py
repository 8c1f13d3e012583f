"""The folder that a recipe of cells leaves: model, card, manifest, crops and evaluation, all or nothing."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import SCHEMA
from edge.device.hashing import file_sha256, pixels_sha256
from edge.device.machine import describe_software
from training.data.allidb import LABELS
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol.decision import Chosen
from training.protocol.evaluation import Evaluated, sections
from training.protocol.plan import known_label
from training.protocol.recipe import Fitted, Recipe
from training.recipes import networks
from training.report import cardpage
from training.report import evaluation as report
from training.report.card import INTENDED_USE, MANIFEST_SCHEMA
from training.report.folder import written_whole
from training.report.results import CARD, CARD_PAGE, CROPS, MANIFEST, MODEL, write_json

FILES = (MODEL, CARD, CARD_PAGE, MANIFEST, CROPS, *report.FILES)
LABEL_RULE = (
    "Cells are those that the product's own segmentation finds, whole ones, each once. ALL-IDB: blasts at "
    "the points of xyc, normal cells at those of other_xyc and where an ALL_IDB2 crop says so. "
    "all-taleqani: the label of the field. Other laboratories: normal cells of people without leukaemia, "
    "at their boxes or in the middle of their images."
)
HELD_OUT_RULE = (
    "The crops held out for the parity test are of cells that the image's edge cuts, which are never trained "
    "on; those of all-taleqani have the label of their field. They judge what conversion changes. How well "
    "the model knows cells is judged by the out-of-fold tests, not by them."
)
#: Crops that the converter measures ranges on. More of them hold more extremes, which widen every range: with
#: all 7,558 the mean |Δp| is 0.0052, with these 0.0047.
CALIBRATION_CELLS = 1500
Json = dict[str, Any]


def trained_on(collection: Collection, recipe: Recipe) -> list[CellRecord]:
    """Whole white cells of the recipe's laboratories: what the final model is handed."""
    return [cell for cell in collection.cells if cell.usable and cell.lab in recipe.labs]


def write(
    out: Path,
    collection: Collection,
    recipe: Recipe,
    fitted: Fitted,
    evaluated: Evaluated | None,
    *,
    seed: int,
    force: bool,
) -> Json:
    """Write everything that a training gave, and return the card.

    Parameters
    ----------
    out : folder; appears whole or not at all
    collection, recipe, fitted : of the training
    evaluated : of the protocol; None where it was not run. The offset of its decision is added to the
        network's last bias.
    seed : of the training
    force : whether earlier results there may be replaced

    Raises
    ------
    OutputError
        The folder is taken or cannot be written.
    """
    with written_whole(out, FILES, force=force) as folder:
        train = trained_on(collection, recipe)
        held_out = [
            cell
            for cell in collection.cells
            if cell.cell.kind == "wbc" and cell.cell.touches_border and known_label(cell) is not None
        ]
        if evaluated is not None:
            networks.add_to_logit(fitted.model, evaluated.decision.offset)
        _write_crops(folder / CROPS, collection, recipe, fitted, train, held_out, seed)
        write_json(folder / MANIFEST, _manifest(collection, recipe, train, held_out, seed))
        fitted.model.save(folder / MODEL)
        hashes = {name: file_sha256(folder / name) for name in (MANIFEST, MODEL, CROPS)}
        made = card(collection, recipe, fitted, evaluated, seed=seed, files=hashes)
        write_json(folder / CARD, made)
        (folder / CARD_PAGE).write_text(cardpage.as_markdown(made), encoding="utf-8")
        if evaluated is not None:
            report.write(evaluated.document, folder)
    return made


def card(
    collection: Collection,
    recipe: Recipe,
    fitted: Fitted,
    evaluated: Evaluated | None,
    *,
    seed: int,
    files: Mapping[str, str],
) -> Json:
    """Describe the model: the sections of a ``blastcount.model/1`` card that training knows."""
    train = trained_on(collection, recipe)
    count = Counter((cell.lab, _word(cell)) for cell in train)
    decision = asdict(Chosen() if evaluated is None else evaluated.decision)
    offset = decision.pop("offset")
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "labels": list(LABELS),
        "input": asdict(recipe.spec),
        "decision": {name: round(value, 4) for name, value in decision.items()},
        "training": {
            "recipe": recipe.name,
            "version": recipe.version(),
            "seed": seed,
            "parameters": int(fitted.model.count_params()),
            "offset_in_last_bias": round(offset, 4),
            "data": {
                "cells": len(train),
                "by_laboratory_and_label": {f"{lab} {word}": n for (lab, word), n in sorted(count.items())},
                "label_rule": LABEL_RULE,
                "held_out_rule": HELD_OUT_RULE,
            },
            "software": describe_software(),
            "machine": platform.machine(),
            "sha256": dict(files),
        },
        "evaluation": {} if evaluated is None else sections(evaluated.document),
        "limits": limits(evaluated),
        "intended_use": INTENDED_USE,
    }


def limits(evaluated: Evaluated | None) -> list[str]:
    """Say what a reader must not overlook; figures below their goal among it."""
    found = [
        "Trained on public data of few patients; blasts come from two data sets, all of acute lymphoblastic "
        "leukaemia. Other leukaemias were never shown to it.",
        "ALL-IDB has no patient numbers: sessions stand for patients, which they may not.",
        "The labels of all-taleqani are those of fields: normal cells of a patient's field count as blasts.",
        "Immature normal cells (haematogones, myelocytes) look like blasts to people, too.",
    ]
    if evaluated is None:
        return [*found, "Not evaluated: its threshold and its probabilities mean nothing yet."]
    return found + [
        f"Below its goal: {goal['name']} {report.number(goal['figure'])}, 95 % interval "
        f"{report.interval(goal['figure'])}, goal {'≥' if goal['at_least'] else '≤'} {goal['wanted']:g}."
        for goal in evaluated.document["goals"]
        if not goal["reached"]
    ]


def _word(cell: CellRecord) -> str:
    if cell.label is not None:
        return LABELS[cell.label]
    return "of patients' fields" if cell.weak_label else "of other fields"


def _manifest(
    collection: Collection,
    recipe: Recipe,
    train: Sequence[CellRecord],
    held_out: Sequence[CellRecord],
    seed: int,
) -> Json:
    return {
        "schema": MANIFEST_SCHEMA,
        "recipe": recipe.name,
        "seed": seed,
        "input": asdict(recipe.spec),
        "data": {"fields": len(collection.fields)},
        "crops": [
            {
                "source": collection.fields[cell.field].path.relative_to(collection.root).as_posix(),
                "source_sha256": collection.fields[cell.field].sha256,
                "side": side,
                "label": cell.label,
                "class": _word(cell),
                "origin": cell.origin,
                "x": round(cell.cell.x, 1),
                "y": round(cell.cell.y, 1),
                "group": cell.group,
                "session": cell.session,
                "camera": cell.camera,
            }
            for side, cells in (("train", train), ("held out", held_out))
            for cell in cells
        ],
    }


def _write_crops(
    path: Path,
    collection: Collection,
    recipe: Recipe,
    fitted: Fitted,
    train: Sequence[CellRecord],
    held_out: Sequence[CellRecord],
    seed: int,
) -> None:
    """Write the crops for the converter; plain arrays, so that they are read back without pickle."""
    arrays: dict[str, NDArray[Any]] = {}
    labelled = [cell for cell in train if known_label(cell) is not None]
    if len(labelled) > CALIBRATION_CELLS:
        chosen = np.random.default_rng(seed).permutation(len(labelled))[:CALIBRATION_CELLS]
        labelled = [labelled[index] for index in np.sort(chosen)]
    for side, cells in (("train", labelled), ("test", held_out)):
        crops = cut(collection, cells, recipe.spec)
        arrays[f"{side}_crops"] = crops
        arrays[f"{side}_labels"] = np.array([known_label(cell) for cell in cells], dtype=np.int64)
        hashes = [pixels_sha256(crop) for crop in crops]
        arrays[f"{side}_sha256"] = np.array(hashes, dtype="U64")
        arrays[f"{side}_fields"] = np.array([cell.field for cell in cells], dtype=np.str_)
    np.savez_compressed(path, test_p_blast=np.asarray(fitted(held_out), np.float32), **arrays)
