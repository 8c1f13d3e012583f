"""The folder that a training leaves: model, card, manifest, crops, paper's table; all or nothing."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import LABELS, SCHEMA
from edge.device.hashing import file_sha256, pixels_sha256
from edge.device.machine import describe_machine, describe_software
from training.data.cache import source_hash
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol import random_split
from training.protocol.decision import Chosen
from training.protocol.disagreement import COLUMNS
from training.protocol.evaluation import Evaluated
from training.protocol.evaluation import sections as protocol_sections
from training.protocol.figures import MYELOID
from training.protocol.plan import deal, known_label
from training.protocol.random_split import RandomSplit
from training.protocol.recipe import Fitted, Recipe
from training.protocol.run import Judged
from training.report import cardpage, paper
from training.report import evaluation as report
from training.report.folder import written_whole

if TYPE_CHECKING:
    import keras

MODEL, CARD, CARD_PAGE, CROPS = "model.keras", "card.json", "card.md", "crops.npz"
MANIFEST, SPLIT = "manifest.json", "split.csv"
DISAGREEMENT = "disagreement.csv"
TABLE_1, FIGURE_4, SPLITS = "table1.csv", "figure4.png", "splits.csv"
#: What every training leaves, and what one with random splits leaves beside.
FILES = (MODEL, CARD, CARD_PAGE, MANIFEST, SPLIT, CROPS)
PAPER_FILES = (TABLE_1, FIGURE_4, SPLITS)
ALL_FILES = (*FILES, *PAPER_FILES, *report.FILES, DISAGREEMENT)

MANIFEST_SCHEMA = "blastcount.manifest/1"
INTENDED_USE = (
    "Research use only. Counting white cells that look like blasts in stained blood smears, by people who "
    "can judge the smear themselves. Not for diagnosis, not for deciding on a treatment, and no statement "
    "about any disease."
)
LABEL_RULE = (
    "Cells are those that the product's own segmentation finds, whole ones, each once. ALL-IDB: blasts at "
    "the points of xyc, normal cells at those of other_xyc and where an ALL_IDB2 crop says so. "
    "all-taleqani: the label of the field. jhu-aml and lmu-aml: the class of the cell in the middle of the "
    "image; promyelocytes, promonocytes and crushed cells have no label. Other laboratories: normal cells of "
    "people without leukaemia, at their boxes or in the middle of their images."
)
RANDOM_RULE = (
    " In random splits every crop of ALL_IDB2 has the label of its file's name (platelets among the normal "
    "ones included), also where the segmentation finds no whole white cell in its middle."
)
HELD_OUT_RULE = (
    "The crops held out for the parity test are whole cells of whole groups of fields that the converter's "
    "calibration crops are not from. They judge what conversion changes, and may have been trained on. How "
    "well the model knows cells is judged by the out-of-fold tests, not by them."
)
#: Crops that the converter measures ranges on. More of them hold more extremes, which widen every range: with
#: all 7,558 the mean |Δp| is 0.0052, with these 0.0047.
CALIBRATION_CELLS = 1500
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a training gave.

    Attributes
    ----------
    collection, recipe, seed : of it
    fitted : the network that is kept
    cells : that it was trained on
    evaluated : of the protocol; None where it was not run
    random : each random split with what its network said, that of ``fitted`` first
    """

    collection: Collection
    recipe: Recipe
    seed: int
    fitted: Fitted
    cells: Sequence[CellRecord]
    evaluated: Evaluated | None = None
    random: Sequence[tuple[RandomSplit, Judged]] = field(default=())


def write(out: Path, training: Training, *, force: bool) -> Json:
    """Write everything that a training gave, and return the card.

    Parameters
    ----------
    out : folder; appears whole or not at all
    training : what it gave; the offset of the protocol's decision is added to the network's last bias
    force : whether earlier results there may be replaced

    Raises
    ------
    OutputError
        The folder is taken or cannot be written.
    RuntimeMissingError
        Matplotlib is not installed.
    """
    with written_whole(out, ALL_FILES, force=force) as folder:
        rows = _rows(training)
        manifest = {"schema": MANIFEST_SCHEMA, "recipe": training.recipe.name, "seed": training.seed}
        _write_json(folder / MANIFEST, manifest | {"input": asdict(training.recipe.spec), "crops": rows})
        _write_csv(folder / SPLIT, rows)
        if training.random:
            history, tests = training.fitted.history, random_split.rows(training.random)
            _write_csv(folder / TABLE_1, paper.table_1(history))
            _write_csv(folder / SPLITS, tests)
            paper.draw_figure_4(history, folder / FIGURE_4)
        if training.evaluated is not None:
            _add_to_logit(training.fitted.model, training.evaluated.decision.offset)
            report.write(training.evaluated.document, folder)
            _write_csv(folder / DISAGREEMENT, training.evaluated.disagreements, COLUMNS)
        _write_crops(folder / CROPS, training)
        training.fitted.model.save(folder / MODEL)
        made = card(training, {name: file_sha256(folder / name) for name in (MANIFEST, MODEL, CROPS)})
        _write_json(folder / CARD, made)
        (folder / CARD_PAGE).write_text(cardpage.as_markdown(made), encoding="utf-8")
    return made


def card(training: Training, files: Mapping[str, str]) -> Json:
    """Describe the model: the sections of a ``blastcount.model/1`` card that training knows.

    Parameters
    ----------
    training : what it gave
    files : SHA-256 of files that belong to the model, by name
    """
    recipe, evaluated = training.recipe, training.evaluated
    count = Counter((cell.lab, _word(cell)) for cell in training.cells)
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
            **recipe.about,
            "source": source_hash(),
            "seed": training.seed,
            "parameters": int(training.fitted.model.count_params()),
            "offset_in_last_bias": round(offset, 4),
            "data": {
                "cells": len(training.cells),
                "by_laboratory_and_label": {f"{lab} {word}": n for (lab, word), n in sorted(count.items())},
                "label_rule": LABEL_RULE + (RANDOM_RULE if training.random else ""),
                "held_out_rule": HELD_OUT_RULE,
            },
            "software": describe_software(),
            "machine": describe_machine(),
            "sha256": dict(files),
        },
        "evaluation": (random_split.sections(training.random, paper.TEST) if training.random else {})
        | (protocol_sections(evaluated.document) if evaluated is not None else {}),
        "limits": limits(training),
        "intended_use": INTENDED_USE,
    }


def limits(training: Training) -> list[str]:
    """Say what a reader must not overlook; figures below their goal among it."""
    blasts = {cell.lab for cell in training.cells if known_label(cell) == 1}
    found = [
        f"Trained on public data of few patients; its blasts come from {', '.join(sorted(blasts))}, all of "
        f"acute lymphoblastic {'or myeloid ' if blasts & set(MYELOID) else ''}leukaemia. Other leukaemias "
        "were never shown to it.",
        "ALL-IDB has no patient numbers: sessions stand for patients, which they may not.",
        "The labels of all-taleqani are those of fields: normal cells of a patient's field count as blasts.",
        "Immature normal cells (haematogones, myelocytes) look like blasts to people, too.",
    ]
    if training.random:
        leaked = training.random[0][0].leaked
        found.append(
            f"The held-back figures come from a random split: {leaked.sum()} of {len(leaked)} test crops "
            "show a cell that was also trained on; and the camera alone names the class of many "
            "(camera_alone)."
        )
    if training.evaluated is None:
        return [*found, "Not evaluated: its threshold and its probabilities mean nothing yet."]
    found.append(
        "Its probability is that of a world where half of the cells are blasts: too high where fewer are."
    )
    return found + [
        f"Below its goal: {goal['name']} {report.number(goal['figure'])}, 95 % interval "
        f"{report.interval(goal['figure'])}, goal {'≥' if goal['at_least'] else '≤'} {goal['wanted']:g}."
        for goal in training.evaluated.document["goals"]
        if not goal["reached"]
    ]


def _word(cell: CellRecord) -> str:
    if cell.label is not None:
        return LABELS[cell.label]
    return "of patients' fields" if cell.weak_label else "of other fields"


def _rows(training: Training) -> list[Json]:
    """List every cell used: where it is, what it is, and on which side."""
    tested, leaked = [], np.zeros(0, np.bool_)
    if training.random:
        split = training.random[0][0]
        tested, leaked = split.side(split.split.judged), split.leaked
    both = {cell.identity for cell, too in zip(tested, leaked, strict=True) if too}
    return [
        {
            "source": training.collection.source(cell.field),
            "side": side,
            "label": cell.label,
            "class": _word(cell),
            "origin": cell.origin,
            "x": round(cell.cell.x, 1),
            "y": round(cell.cell.y, 1),
            "group": cell.group,
            "session": cell.session,
            "camera": cell.camera,
            "cell_on_both_sides": cell.identity in both,
            "source_sha256": training.collection.fields[cell.field].sha256,
        }
        for side, cells in (("train", training.cells), ("test", tested))
        for cell in cells
    ]


def _write_crops(path: Path, training: Training) -> None:
    """Write the crops for the converter; plain arrays, so that they are read back without pickle.

    Whole groups of fields go to one side: what calibration sees and what judges parity share no field, nor
    one that overlaps it.
    """
    recipe, collection = training.recipe, training.collection
    cells = [cell for cell in collection.cells if cell.usable and cell.lab in recipe.labs]
    cells = [cell for cell in cells if known_label(cell) is not None]
    fold_of = deal(cells, [cell.group for cell in cells], recipe.labs, training.seed)
    calibration = [cell for cell, fold in zip(cells, fold_of, strict=True) if fold != 0]
    held_out = [cell for cell, fold in zip(cells, fold_of, strict=True) if fold == 0]
    if len(calibration) > CALIBRATION_CELLS:
        chosen = np.random.default_rng(training.seed).permutation(len(calibration))[:CALIBRATION_CELLS]
        calibration = [calibration[index] for index in np.sort(chosen)]
    arrays: dict[str, NDArray[Any]] = {}
    for side, own in (("train", calibration), ("test", held_out)):
        crops = cut(collection, own, recipe.spec)
        arrays[f"{side}_crops"] = crops
        arrays[f"{side}_labels"] = np.array([known_label(cell) for cell in own], dtype=np.int64)
        hashes = [pixels_sha256(crop) for crop in crops]
        arrays[f"{side}_sha256"] = np.array(hashes, dtype="U64")
        arrays[f"{side}_fields"] = np.array([cell.field for cell in own], dtype=np.str_)
        arrays[f"{side}_groups"] = np.array([cell.group for cell in own], dtype=np.str_)
        arrays[f"{side}_touches_border"] = np.array([cell.cell.touches_border for cell in own], np.bool_)
    np.savez_compressed(path, test_p_blast=np.asarray(training.fitted(held_out), np.float32), **arrays)


def _add_to_logit(model: keras.Model, offset: float) -> None:
    """Add to the logit of a blast, in the bias of the last layer, a dense softmax of normal and blast."""
    *kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([*kernel, bias + np.array([-offset / 2, offset / 2], bias.dtype)])


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_csv(
    path: Path, lines: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns or lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
