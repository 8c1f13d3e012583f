"""The paper's random split, repeated with other seeds: of one of 78 crops, each crop is 1.3 points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.crops import CropSet, LabelledCrop
from training.protocol.accuracy import Evaluation, Proportion
from training.protocol.statistics import proportion
from training.recipes import akbar2024
from training.recipes.akbar2024 import Epoch, Outcome, Tick

#: With 5 times 78 tests the exact interval of an accuracy of 0.98 is 3 points wide, with 78 it is 8; each
#: split costs one training.
SPLITS = 5
_SEEDS = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class SplitTest:
    """What one random split gave; its network is not kept.

    Attributes
    ----------
    seed : of the choice of cells, the split and the network
    held_back : crops tested, in order
    p_blast : (len(held_back),) of them
    n_train : crops trained on
    evaluation : on the held-back crops
    leaked : number of held-back crops whose cell was also trained on
    unleaked : accuracy on the others
    last_epoch : of the training
    """

    seed: int
    held_back: tuple[LabelledCrop, ...]
    p_blast: NDArray[np.float32]
    n_train: int
    evaluation: Evaluation
    leaked: int
    unleaked: Proportion
    last_epoch: Epoch


def seeds(first: int, splits: int) -> tuple[int, ...]:
    """Give the seeds of repeated splits: the first and those that follow it.

    Examples
    --------
    >>> seeds(3, 3)
    (3, 4, 5)
    """
    return tuple((first + number) % _SEEDS for number in range(splits))


def repeat(
    crop_set: CropSet, outcome: Outcome, splits: int = SPLITS, *, tick: Tick = lambda: None
) -> tuple[SplitTest, ...]:
    """Choose cells, split, train and test again with further seeds.

    Parameters
    ----------
    crop_set : that the first run was given
    outcome : of the first run, which is the first split
    splits : how many there are with the first
    tick : called after each epoch

    Returns
    -------
    one for each split, the first run's first

    Raises
    ------
    DataSetError
        One side of a split would lack a class.
    """
    further = (
        akbar2024.run(crop_set, seed=seed, epochs=outcome.epochs, leak_free=False, tick=tick)
        for seed in seeds(outcome.seed, splits)[1:]
    )
    return (_test(outcome), *(_test(other) for other in further))


def rows(tests: Sequence[SplitTest]) -> list[dict[str, object]]:
    """Describe each split in a line of ``splits.csv``, the card and ``history.json``."""
    return [
        {
            "seed": test.seed,
            "train": test.n_train,
            "test": test.evaluation.accuracy.n,
            "right": test.evaluation.accuracy.k,
            "accuracy": test.evaluation.accuracy.value,
            "error": test.evaluation.error,
            "cell_also_in_training": test.leaked,
            "right_without_those": test.unleaked.k,
            "last_epoch_error": test.last_epoch.error,
            "last_epoch_accuracy": test.last_epoch.accuracy,
        }
        for test in tests
    ]


def pooled(tests: Sequence[SplitTest]) -> dict[str, object]:
    """Sum up all splits.

    Their test sides overlap, as do their training sides, so the tests are fewer independent cases than their
    number says. The interval draws whole scenes, each with the tests of its crops in all splits, and is
    never narrower than the exact one of as many independent tests.

    Parameters
    ----------
    tests : one for each split

    Returns
    -------
    dict
        JSON: ``accuracy``, ``sensitivity`` and ``specificity`` over all tests, the range of the splits'
        accuracies, mean and range of their errors, ``each`` split by :func:`rows`.
    """
    crops = [crop for test in tests for crop in test.held_back]
    labels = np.array([crop.label for crop in crops])
    right = (labels == 1) == (np.concatenate([test.p_blast for test in tests]) >= 0.5)
    scenes = np.array([crop.scene for crop in crops])
    errors = [test.evaluation.error for test in tests]
    shares = [test.evaluation.accuracy.value or 0.0 for test in tests]
    different = len({crop.sha256 for crop in crops})
    return {
        "splits": len(tests),
        "different_crops": different,
        **{
            name: proportion(right[part], scenes[part].tolist()).to_json()
            for name, part in (
                ("accuracy", labels >= 0),
                ("sensitivity", labels == 1),
                ("specificity", labels == 0),
            )
        },
        "accuracy_range": [min(shares), max(shares)],
        "error": sum(errors) / len(errors),
        "error_range": [min(errors), max(errors)],
        "cell_also_in_training": sum(test.leaked for test in tests),
        "each": rows(tests),
        "text": f"{len(crops)} tests of {different} different crops in {len(tests)} random splits that "
        "overlap, each with a network and a choice of ALL_IDB1 cells of its own; only the first split's "
        "network is kept",
    }


def _test(outcome: Outcome) -> SplitTest:
    held_back = tuple(crop for crop, test in zip(outcome.crops, outcome.is_test, strict=True) if test)
    return SplitTest(
        outcome.seed,
        held_back,
        outcome.p_blast,
        len(outcome.crops) - len(held_back),
        outcome.evaluation,
        outcome.leaked,
        outcome.unleaked.accuracy,
        outcome.history[-1],
    )
