"""How well the network of types names cells of laboratories that it was not trained on, and what it may say.

Each laboratory is judged by a network that was trained without it (small ones together). The threshold of a
type at a laboratory is chosen on the others' cells, each again judged by a network that has not seen their
laboratory, so that no figure is of cells that chose anything. A type is offered where its recall, the mean
over the laboratories, each weighing alike, has a 95 % interval that begins at ``LEAST_RECALL`` or above; a
cell that the network abstains on counts as missed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.device.machine import describe_machine, describe_software
from training.data.cache import source_hash
from training.data.cell_types import BLAST, CLASSES, MATURE, NO_CLASS, classes_of
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol.folds import keep
from training.protocol.statistics import Figure, proportion, statistic
from training.recipes import types as recipe

SCHEMA = "blastcount.types-evaluation/1"
#: Laboratories that are left out together; lisc is never trained on.
LEFT_OUT = (
    ("jhu-aml",), ("pbc",), ("lmu-aml", "wbc-chula", "wbc-seg1", "wbc-seg2", "lisc"),
)  # fmt: skip
#: Laboratories whose cells decide nothing and are shown: single cells in a yellow rapid stain and others of
#: unknown origin, cut so closely that many show no red cell. That was decided after the first figures
#: (docs/classifier.md). They are trained on otherwise.
SHOWN_ONLY = ("wbc-seg1", "wbc-seg2")
#: Recall from which on a type is offered: where its 95 % interval begins.
LEAST_RECALL = 0.85
#: Share of the cells with a name that must have the right one where types are as common as in healthy blood.
LEAST_PRECISION = 0.9
#: How common that is (middle of reference ranges), and all else together.
BLOOD = {"neutrophil": 0.6, "lymphocyte": 0.3, "monocyte": 0.06, "eosinophil": 0.03, "basophil": 0.01}
_ELSE = 0.05
#: Laboratories with fewer cells of a type are shown and say nothing about it by themselves.
LEAST_CELLS = 15
_THRESHOLDS = np.round(np.arange(0.3, 0.96, 0.05), 2)
#: A threshold that nothing reaches: where none gives the precision.
NEVER = 1.01
#: What is left for all types where a network is sure of a blast: less is rounding.
_LEAST = 1e-3
Json = dict[str, Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What networks that had not seen their laboratories said of cells.

    Attributes
    ----------
    lab, group : (n,) of each cell
    truth : (n,) class, a number of ``CLASSES``
    best : (n,) likeliest class, given that it is no blast
    p : (n,) its probability
    """

    lab: NDArray[np.str_]
    group: NDArray[np.str_]
    truth: Ints
    best: Ints
    p: Floats

    def take(self, which: Bools) -> Named:
        """Give some of them."""
        return Named(self.lab[which], self.group[which], self.truth[which], self.best[which], self.p[which])


def judged_cells(collection: Collection, labs: Sequence[str]) -> list[CellRecord]:
    """Choose the whole white cells of laboratories whose kind is named."""
    cells = [cell for cell in collection.cells if cell.usable and cell.lab in labs]
    return [cell for cell, kind in zip(cells, classes_of(cells), strict=True) if kind != NO_CLASS]


def run(
    collection: Collection, folds: Path, seed: int, say: Callable[[str], None] = lambda line: None
) -> tuple[Named, float]:
    """Train a network without each of ``LEFT_OUT`` and have it name their cells; go on where a run stopped.

    Parameters
    ----------
    collection : all laboratories
    folds : folder with one JSON a training, read and written
    seed : of the networks
    say : told of each training

    Returns
    -------
    what they said, and the processor time of all trainings
    """
    learnable = recipe.learnable(collection.cells)
    parts, cpu_s = [], 0.0
    for labs in LEFT_OUT:
        judged = judged_cells(collection, labs)
        train = [cell for cell in learnable if cell.lab not in labs]
        path = folds / f"without-{'-'.join(labs[:2])}-seed{seed}.json"
        key = _key(train, judged)
        said = _said(path, key)
        if said is None:
            say(f"types: training on {len(train)} cells, without {', '.join(labs)}")
            start = time.process_time()
            p = not_blast(recipe.fit(collection, train, seed)(judged))
            said = {
                "of": key,
                "without": list(labs),
                "trained_on": dict(sorted(Counter(cell.lab for cell in train).items())),
                "cpu_s": round(time.process_time() - start, 1),
                "best": p.argmax(axis=1).tolist(),
                "p": [round(float(value), 4) for value in p.max(axis=1)],
            }
            keep(path, (json.dumps(said) + "\n").encode())
        cpu_s += said["cpu_s"]
        parts.append((judged, said))
    cells = [cell for judged, _ in parts for cell in judged]
    return Named(
        np.array([cell.lab for cell in cells]),
        np.array([cell.group for cell in cells]),
        classes_of(cells),
        np.array([best for _, said in parts for best in said["best"]], np.int64),
        np.array([p for _, said in parts for p in said["p"]]),
    ), cpu_s


def _said(path: Path, key: str) -> Json | None:
    """Read what an earlier run left; None where it is of other cells or another recipe."""
    if not path.is_file():
        return None
    found: Json = json.loads(path.read_text("utf-8"))
    return found if found["of"] == key else None


def _key(train: Sequence[CellRecord], judged: Sequence[CellRecord]) -> str:
    """Hash of what a training depends on: its cells as they lie in their images, and the recipe."""
    settings = {name: repr(value) for name, value in vars(recipe).items() if name.lstrip("_").isupper()}
    cells = [(repr(cell.cell), cell.field, int(kind)) for side in (train, judged)
             for cell, kind in zip(side, classes_of(side), strict=True)]  # fmt: skip
    return hashlib.sha256(repr((sorted(settings.items()), len(train), cells)).encode()).hexdigest()[:16]


def not_blast(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give (n, classes) probabilities as those of a cell that is no blast, of which types are.

    Examples
    --------
    >>> not_blast(np.float32([[0.2, 0.1, 0.1, 0, 0, 0, 0, 0, 0.6]]))[0, [0, 8]].tolist()
    [0.5, 0.0]
    """
    kept = p.copy()
    kept[:, BLAST] = 0
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), _LEAST), np.float32)


def choose_threshold(said: Named, kind: int) -> float:
    """Choose the least threshold from which on enough cells with a type's name have it rightly.

    Blasts are left out: what the blast network calls one has no type of these. Every laboratory with at least
    ``LEAST_CELLS`` of a class weighs alike within it; the classes weigh as they are common in blood.
    """
    weight = np.zeros(len(said.p))
    for number, name in enumerate(CLASSES):
        own = said.truth == number
        labs = [lab for lab in np.unique(said.lab[own]) if (own & (said.lab == lab)).sum() >= LEAST_CELLS]
        for lab in labs if number != BLAST else ():
            here = own & (said.lab == lab)
            share = BLOOD.get(name, _ELSE / (len(CLASSES) - len(MATURE) - 1))
            weight[here] = share / len(labs) / here.sum()
    for threshold in _THRESHOLDS:
        named = (said.best == kind) & (said.p >= threshold)
        total = weight[named].sum()
        if total and weight[named & (said.truth == kind)].sum() >= LEAST_PRECISION * total:
            return float(threshold)
    return NEVER


def evaluate(said: Named) -> Json:
    """Judge what networks said of laboratories that they had not seen, and decide what may be offered.

    Parameters
    ----------
    said : of :func:`run`

    Returns
    -------
    dict
        The parts of an evaluation that come of it: types, offered, figures, confusion.
    """
    labs = list(dict.fromkeys(said.lab.tolist()))
    deciding = ~np.isin(said.lab, SHOWN_ONLY)
    given = np.full(len(said.p), NO_CLASS)
    nested: dict[str, dict[str, float]] = {name: {} for name in MATURE}
    for kind, name in enumerate(MATURE):
        for lab in labs:
            threshold = choose_threshold(said.take(deciding & (said.lab != lab)), kind)
            nested[name][lab] = threshold
            given[(said.lab == lab) & (said.best == kind) & (said.p >= threshold)] = kind
    types: Json = {}
    for kind, name in enumerate(MATURE):
        recall = _recall(said, given, kind)
        threshold = choose_threshold(said.take(deciding), kind)
        known = recall.low is not None and recall.low >= LEAST_RECALL
        types[name] = {
            "offered": known and threshold < NEVER,
            "threshold": threshold,
            "recall": recall.to_json(),
            "by_laboratory": {
                lab: proportion(given[own] == kind, said.group[own].tolist()).to_json()
                | {"threshold": nested[name][lab], "likeliest": float((said.best[own] == kind).mean())}
                for lab in labs
                if (own := (said.truth == kind) & (said.lab == lab)).any()
            },
        }
    mature = deciding & (said.truth < len(MATURE))
    values = [types[name]["recall"]["value"] for name in MATURE]
    shown = [kind for kind, name in enumerate(MATURE) if types[name]["offered"]]
    return {
        "types": types,
        "offered": {name: types[name]["threshold"] for name in MATURE if types[name]["offered"]},
        "mean_recall": float(np.mean(values)) if None not in values else None,
        "abstained": proportion(given[mature] == NO_CLASS, said.group[mature].tolist()).to_json(),
        "recall_without_abstention": {
            name: _recall(said, said.best, kind).to_json() for kind, name in enumerate(MATURE)
        },
        "named": {
            name: proportion(np.isin(given[own], shown), said.group[own].tolist()).to_json()
            for kind, name in enumerate(CLASSES)
            if kind >= len(MATURE) and (own := deciding & (said.truth == kind)).any()
        },
        "confusion": {
            lab: {
                name: dict(Counter(_word(word) for word in given[own].tolist()))
                for kind, name in enumerate(CLASSES)
                if (own := (said.truth == kind) & (said.lab == lab)).any()
            }
            for lab in labs
        },
    }


def _recall(said: Named, given: Ints, kind: int) -> Figure:
    """Mean over the laboratories of the share of a type's cells that got its name."""
    own = (said.truth == kind) & ~np.isin(said.lab, SHOWN_ONLY)
    enough = [lab for lab in np.unique(said.lab[own]) if (own & (said.lab == lab)).sum() >= LEAST_CELLS]
    which = np.flatnonzero(own & np.isin(said.lab, enough))
    lab, right = said.lab[which], given[which] == kind

    def mean(index: Ints) -> float | None:
        shares = [right[index][lab[index] == one].mean() for one in enough if (lab[index] == one).any()]
        return float(np.mean(shares)) if shares else None

    return statistic(mean, said.group[which].tolist())


def _word(kind: int) -> str:
    return "other" if kind == NO_CLASS else list(CLASSES)[kind]


def document(collection: Collection, said: Named, cpu_s: float, seed: int) -> Json:
    """Give the evaluation as it is kept."""
    count: Mapping[tuple[str, int], int] = Counter(zip(said.lab.tolist(), said.truth.tolist(), strict=True))
    return {
        "schema": SCHEMA,
        "recipe": {"name": recipe.NAME, "version": source_hash(), "labs": list(recipe.LABS)},
        "seed": seed,
        "left_out": [list(labs) for labs in LEFT_OUT],
        "shown_only": list(SHOWN_ONLY),
        "rule": {
            "least_recall": LEAST_RECALL,
            "least_precision": LEAST_PRECISION,
            "least_cells": LEAST_CELLS,
            "unit": "a laboratory; a cell that is abstained on counts as missed",
        },
        "data": {
            lab: {name: count[lab, kind] for kind, name in enumerate(CLASSES) if (lab, kind) in count}
            for lab in dict.fromkeys(said.lab.tolist())
        },
        **evaluate(said),
        "trainings": len(LEFT_OUT),
        "cpu_s": round(cpu_s),
        "machine": describe_machine(),
        "software": describe_software(),
    }
