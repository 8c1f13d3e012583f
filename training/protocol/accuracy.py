"""How good a classifier is on crops it was not trained on, with how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.counting.tally import clopper_pearson

#: Smallest probability that enters the cross-entropy, as in Keras' loss: a wrong 0 stays a finite error.
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Proportion:
    """k of n; n = 0 says nothing."""

    k: int
    n: int

    @property
    def value(self) -> float | None:
        """Return k / n, None for 0 / 0."""
        return self.k / self.n if self.n else None

    def to_json(self) -> dict[str, object]:
        """Value, k, n and the exact 95 % interval."""
        return {"value": self.value, "k": self.k, "n": self.n, "ci95": list(clopper_pearson(self.k, self.n))}

    def __str__(self) -> str:
        if self.value is None:
            return "no such cells"
        low, high = clopper_pearson(self.k, self.n)
        return (
            f"{100 * self.value:.1f} % ({self.k}/{self.n}; 95 % interval {100 * low:.1f} to {100 * high:.1f})"
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one test.

    Attributes
    ----------
    accuracy, sensitivity, specificity : of blasts against normal cells at p_blast 0.5
    error : mean cross-entropy in nats
    auc : area under the ROC curve, None where only one class was tested
    """

    accuracy: Proportion
    sensitivity: Proportion
    specificity: Proportion
    error: float
    auc: float | None

    def to_json(self) -> dict[str, object]:
        """Return the figures as they stand in the card."""
        return {
            "n": self.accuracy.n,
            "accuracy": self.accuracy.to_json(),
            "error": self.error,
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "auc": self.auc,
        }


def evaluate(labels: NDArray[np.int64], p_blast: NDArray[np.float32]) -> Evaluation:
    """Compare probabilities with labels.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal
    p_blast : (n,) 0 to 1

    Returns
    -------
    Evaluation

    Examples
    --------
    >>> found = evaluate(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.2, 0.1], np.float32))
    >>> found.accuracy.k, found.sensitivity.k, found.specificity.k, found.auc
    (3, 1, 2, 1.0)
    """
    is_blast = labels == 1
    called_blast = p_blast >= 0.5
    right = is_blast == called_blast
    p_right = np.where(is_blast, p_blast, 1 - p_blast)
    return Evaluation(
        Proportion(int(right.sum()), len(labels)),
        Proportion(int((is_blast & called_blast).sum()), int(is_blast.sum())),
        Proportion(int((~is_blast & ~called_blast).sum()), int((~is_blast).sum())),
        float(-np.log(np.maximum(p_right, _TINY)).mean()) if len(labels) else 0.0,
        _auc(is_blast, p_blast),
    )


def _auc(is_blast: NDArray[np.bool_], p_blast: NDArray[np.float32]) -> float | None:
    """Chance that a blast scores above a normal cell, ties counting half (Hanley and McNeil 1982)."""
    if is_blast.all() or not is_blast.any():
        return None
    blasts, normal = p_blast[is_blast][:, None], p_blast[~is_blast][None, :]
    return float((blasts > normal).mean() + (blasts == normal).mean() / 2)
