"""The split of Akbar et al. 2024: at random over crops, whatever they show; it leaks, and says how much.

The paper takes 260 crops of ALL-IDB2 and 322 cells of ALL-IDB1, does not say which, and holds 100 back. Of
one of 78 crops, each crop is 1.3 points; so the split is repeated with other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.counting.tally import share_json
from edge.errors import DataSetError, GateError
from training.data.allidb import LAB
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol.audit import camera_alone
from training.protocol.decision import cross_entropy
from training.protocol.plan import Split
from training.protocol.run import Judged
from training.protocol.statistics import auc, proportion

# Of the paper.
IDB1_PER_IDB2 = 322 / 260
TEST_SHARE = 100 / 582
#: Of the cells of ALL-IDB1; half of ALL-IDB2's crops are blasts, too. The paper does not say.
BLAST_SHARE = 0.5
TEST = "random"
_SEEDS = 2**32
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RandomSplit:
    """A choice of cells, split at random.

    Attributes
    ----------
    seed : of both
    sample : the collection with the chosen cells only, those of ALL-IDB1 first
    split : of the sample's cells
    """

    seed: int
    sample: Collection
    split: Split

    def side(self, indices: Sequence[int]) -> list[CellRecord]:
        """Return the cells of a side."""
        return [self.sample.cells[i] for i in indices]

    @property
    def leaked(self) -> NDArray[np.bool_]:
        """Which cells of the test side are trained on, too: (number of test cells,)."""
        trained = {cell.identity for cell in self.side(self.split.train)}
        return np.array([cell.identity in trained for cell in self.side(self.split.judged)], np.bool_)


def at_random(collection: Collection, seed: int, *, outlined: bool = False) -> RandomSplit:
    """Choose cells as the paper does, and hold back its share of them.

    All crops of ALL-IDB2, and of the whole white cells of ALL-IDB1 the paper's proportion: half of them
    blasts and half cells of healthy persons' fields, as in ALL-IDB2, drawn without replacement over all
    fields; where one class has too few, the other fills up. Non-blasts of patients' fields are left out:
    ALL-IDB's own files do not mark them, and those of others have blasts among them. Where no list marks
    normal cells, every white cell of a healthy person's field is one.

    Parameters
    ----------
    collection : with ALL-IDB
    seed : 0 to 2**32 - 1
    outlined : leave out crops in whose middle the segmentation found no whole white cell

    Raises
    ------
    DataSetError
        ALL-IDB1 gives no cell of one class, or one side would lack a class.
    """
    whole = [cell for cell in collection.cells if cell.lab == LAB and cell.whole]
    blasts = [cell for cell in whole if cell.label == 1 and cell.origin != "idb2"]
    healthy = [cell for cell in whole if cell.weak_label == 0 and cell.label != 1 and cell.origin != "idb2"]
    normal = [cell for cell in healthy if cell.label == 0] or [replace(cell, label=0) for cell in healthy]
    crops = [crop.record for crop in collection.crops if crop.record.cell.id or not outlined]
    if not blasts or not normal:
        raise DataSetError(
            f"ALL_IDB1 gives {len(blasts)} whole blasts and {len(normal)} whole white cells of healthy "
            "persons; expected some of both; check that xyc and im belong together"
        )
    wanted = round(IDB1_PER_IDB2 * len(crops))
    n_blasts = min(len(blasts), max(round(BLAST_SHARE * wanted), wanted - len(normal)))
    n_normal = min(len(normal), wanted - n_blasts)
    random = np.random.default_rng([seed, 0])
    chosen = [blasts[i] for i in sorted(random.choice(len(blasts), n_blasts, replace=False))]
    chosen += [normal[i] for i in sorted(random.choice(len(normal), n_normal, replace=False))]
    cells = (*chosen, *crops)
    order = np.random.default_rng([seed, 1]).permutation(len(cells))
    held_back = set(order[: round(TEST_SHARE * len(cells))].tolist())
    sides = [tuple(i for i in range(len(cells)) if (i in held_back) is test) for test in (False, True)]
    for name, side in zip(("training", "test"), sides, strict=True):
        if len({cells[i].label for i in side}) < 2:
            raise DataSetError(
                f"the {name} side of the split has {len(side)} of {len(cells)} crops and not both "
                "classes; give more data or another --seed"
            )
    return RandomSplit(seed, replace(collection, cells=cells), Split(TEST, 0, sides[0], (), sides[1]))


def repeated(collection: Collection, seed: int, splits: int, *, outlined: bool = False) -> list[RandomSplit]:
    """Split with a seed and those that follow it."""
    return [at_random(collection, (seed + i) % _SEEDS, outlined=outlined) for i in range(splits)]


def refuse_leakage(splits: Sequence[RandomSplit]) -> None:
    """Say no to splits that show the network what it is tested on.

    Raises
    ------
    GateError
        One of them does.
    """
    for split in splits:
        leaked = split.leaked
        if leaked.any():
            first = split.side(split.split.judged)[int(leaked.argmax())]
            raise GateError(
                f"the split leaks: {leaked.sum()} of {len(leaked)} test crops show a cell that is also "
                f"trained on, first {first.key}; use a recipe that splits whole fields, or leave out "
                "--refuse-leakage to repeat the paper's split"
            )


def sections(tests: Sequence[tuple[RandomSplit, Judged]], paper: Json) -> Json:
    """Sum up random splits for the card's ``evaluation``.

    Test sides of several splits overlap, as do their training sides, so the tests are fewer independent cases
    than their number says. Their intervals draw whole scenes, each with the tests of its crops in all splits,
    and are never narrower than the exact ones of as many independent tests.

    Parameters
    ----------
    tests : each split with what its network said, that of the network that is kept first
    paper : the paper's figures of its test

    Returns
    -------
    dict
        JSON: ``held_back`` and ``leakage`` of the first split, ``repeated_splits`` of all, ``camera_alone``.
    """
    (first, judged), *_ = tests
    leaked, n = first.leaked, len(first.leaked)
    together = [cell for split, _ in tests for cell in split.side(split.split.judged)]
    right = np.concatenate([_right(split, judged) for split, judged in tests])
    each = rows(tests)
    different = len({cell.identity for cell in together})
    text = f"leakage: {leaked.sum()} of {n} test crops show a cell that is also in training"
    return {
        "held_back": _figures(first.side(first.split.judged), _right(first, judged))
        | _scores(first, judged)
        | {"n": n, "split": "at random over crops, as in the paper", "paper": paper},
        "leakage": {
            "test_crops": n,
            "cell_also_in_training": int(leaked.sum()),
            "text": text,
            "accuracy_without_those": share_json(
                int(_right(first, judged)[~leaked].sum()), int((~leaked).sum())
            ),
        },
        "repeated_splits": {"splits": len(tests), "different_cells": different}
        | _figures(together, right)
        | {
            "accuracy_range": _range([row["accuracy"] for row in each]),
            "error": float(np.mean([row["error"] for row in each])),
            "error_range": _range([row["error"] for row in each]),
            "cell_also_in_training": sum(row["cell_also_in_training"] for row in each),
            "each": each,
            "text": f"{len(together)} tests of {different} different cells in {len(tests)} random splits "
            "that overlap, each with a network and a choice of ALL_IDB1 cells of its own; only the first "
            "split's network is kept",
        },
        "camera_alone": camera_alone((cell.camera, cell.label) for cell in first.sample.cells)
        | {"text": "accuracy of naming each camera's commoner class, without looking at a cell"},
    }


def _labels(split: RandomSplit) -> NDArray[np.int64]:
    return np.array([cell.label for cell in split.side(split.split.judged)], np.int64)


def _right(split: RandomSplit, judged: Judged) -> NDArray[np.bool_]:
    """Which test cells are called right at p_blast 0.5, as in the paper."""
    return np.asarray((_labels(split) == 1) == (judged.p_blast >= 0.5))


def _figures(cells: Sequence[CellRecord], right: NDArray[np.bool_]) -> Json:
    labels, groups = np.array([cell.label for cell in cells]), np.array([cell.group for cell in cells])
    return {
        name: proportion(right[part], groups[part].tolist()).to_json()
        for name, part in (
            ("accuracy", labels >= 0),
            ("sensitivity", labels == 1),
            ("specificity", labels == 0),
        )
    }


def _scores(split: RandomSplit, judged: Judged) -> Json:
    labels = _labels(split)
    return {"error": cross_entropy(labels, judged.p_blast), "auc": auc(labels, judged.p_blast)}


def rows(tests: Sequence[tuple[RandomSplit, Judged]]) -> list[Json]:
    """Describe each split in a line of ``splits.csv`` and of the card."""
    return [_row(split, judged) for split, judged in tests]


def _row(split: RandomSplit, judged: Judged) -> Json:
    right, leaked = _right(split, judged), split.leaked
    last = judged.history[-1] if judged.history else None
    return {
        "seed": split.seed,
        "train": len(split.split.train),
        "test": len(right),
        "right": int(right.sum()),
        "accuracy": float(right.mean()),
        "error": _scores(split, judged)["error"],
        "cell_also_in_training": int(leaked.sum()),
        "right_without_those": int(right[~leaked].sum()),
        "last_epoch_error": None if last is None else last.error,
        "last_epoch_accuracy": None if last is None else last.accuracy,
    }


def _range(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]
