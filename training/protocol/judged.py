"""Out-of-fold probabilities become words, by decisions that were chosen on other cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.data.allidb import LAB as ALL_IDB
from training.data.records import OWN, CellRecord
from training.protocol.decision import Chosen, choose, even_weights, words
from training.protocol.plan import PATIENTS, WEAK, known_label
from training.protocol.run import Judged


@dataclass(frozen=True, slots=True, eq=False)
class JudgedCells:
    """All cells of a test with what the device would have said of them.

    Attributes
    ----------
    test : its name
    cells : the cells
    p_blast : (n,) calibrated
    word : (n,) 2 blast, 1 uncertain, 0 normal
    above : (n,) at or above the threshold, whatever the band
    decisions : one a fold
    chosen_on : how many cells each was chosen on
    trained_on : cells that each network was handed
    """

    test: str
    cells: tuple[CellRecord, ...]
    p_blast: NDArray[np.float64]
    word: NDArray[np.int64]
    above: NDArray[np.bool_]
    decisions: tuple[Chosen, ...]
    chosen_on: tuple[int, ...]
    trained_on: tuple[int, ...]

    def take(self, keep: Sequence[bool] | NDArray[np.bool_]) -> JudgedCells:
        """Return some of the cells."""
        kept = np.asarray(keep, dtype=np.bool_)
        return replace(
            self,
            cells=tuple(cell for cell, wanted in zip(self.cells, kept, strict=True) if wanted),
            p_blast=self.p_blast[kept],
            word=self.word[kept],
            above=self.above[kept],
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        """Label of each cell; only for cells that have one."""
        return np.array([known_label(cell) for cell in self.cells], dtype=np.int64)

    @property
    def groups(self) -> list[str]:
        """Group of each cell."""
        return [cell.group for cell in self.cells]


def judge(cells: Sequence[CellRecord], folds: Sequence[Judged]) -> JudgedCells:
    """Choose each fold's decision on cells that it does not judge, and apply it.

    In a test of several folds that is on what the other folds' networks said of their own left-out cells;
    else on the inner fold. See :func:`decide_on`.

    Parameters
    ----------
    cells : of the collection
    folds : all folds of one test
    """
    chosen, numbers = [], []
    for fold in folds:
        if fold.split.inner:
            indices, p = list(fold.split.inner), fold.p_inner
        else:
            others = [other for other in folds if other is not fold]
            indices = [i for other in others for i in other.split.judged]
            p = np.concatenate([np.zeros(0, np.float32), *(other.p_blast for other in others)])
        decision, number = decide_on([cells[i] for i in indices], p)
        chosen.append(decision)
        numbers.append(number)
    calibrated = [decision.calibrated(fold.p_blast) for fold, decision in zip(folds, chosen, strict=True)]
    return JudgedCells(
        folds[0].split.test,
        tuple(cells[i] for fold in folds for i in fold.split.judged),
        np.concatenate(calibrated),
        np.concatenate([words(p, decision) for p, decision in zip(calibrated, chosen, strict=True)]),
        np.concatenate([p >= decision.threshold for p, decision in zip(calibrated, chosen, strict=True)]),
        tuple(chosen),
        tuple(numbers),
        tuple(len(fold.split.train) for fold in folds),
    )


def decide_on(cells: Sequence[CellRecord], p_blast: NDArray[np.float32]) -> tuple[Chosen, int]:
    """Choose a decision on out-of-fold cells, and say on how many.

    Cells of ALL-IDB and of the patients of jhu-aml serve, whose labels are of single cells and whose folds
    keep sessions or patients together. Both laboratories weigh alike, and in each of them both classes do,
    however many cells they have: the probability is that of a world where half of the cells are blasts. A
    laboratory without both classes (it is left out) does not serve; where none does, cells of all-taleqani
    with their field's label do, else our own.

    Parameters
    ----------
    cells : out of fold
    p_blast : (n,) of the same, uncalibrated
    """
    for labs in ((ALL_IDB, PATIENTS), (WEAK,), (OWN,)):
        serving = []
        for lab in labs:
            use = [i for i, c in enumerate(cells) if c.lab == lab and c.usable and known_label(c) is not None]
            labels = np.array([known_label(cells[i]) for i in use], dtype=np.int64)
            if set(labels.tolist()) == {0, 1}:
                serving.append((labels, p_blast[use], even_weights(labels)))
        if serving:
            labels, p, weights = (np.concatenate(arrays) for arrays in zip(*serving, strict=True))
            return choose(labels, p, weights), len(labels)
    return Chosen(), 0
