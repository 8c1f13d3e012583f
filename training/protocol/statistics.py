"""Figures with 95 % intervals that know that cells of one field are not independent.

Cells of one smear, camera and stain resemble each other, so an interval that takes each cell for a draw of
its own is too narrow. Here whole groups (a field with those that overlap it; in all-taleqani a block of
numbers) are drawn with replacement [1]_. Where few groups err, that interval is too narrow in its turn (0 of
30 groups gives 0 to 0), so a proportion's interval is the wider of it and the exact one on each side.

References
----------
.. [1] C. A. Field, A. H. Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69, 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from edge.counting.tally import clopper_pearson
from training.protocol.decision import expected_calibration_error

#: Resamples: the 2.5 % and 97.5 % points of 2,000 have a standard error of a seventh of the interval's tenth.
RESAMPLES = 2000
_SEED = 0
#: Share of resamples that must have both classes for an interval of an AUC to mean anything.
_LEAST_USABLE = 0.5

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval.

    Attributes
    ----------
    value, low, high : None where it cannot be computed
    n : cells or fields that it is taken over
    groups : independent pieces among them
    k : numerator of a proportion, else None
    method : how the interval was made
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    k: int | None
    method: str

    def to_json(self) -> dict[str, object]:
        """As it stands in a report."""
        found: dict[str, object] = {"value": self.value, "ci95": [self.low, self.high], "n": self.n}
        if self.k is not None:
            found["k"] = self.k
        return found | {"groups": self.groups, "interval": self.method}


def proportion(hits: NDArray[np.bool_], groups: Sequence[str]) -> Figure:
    """Share of hits, with the wider of the exact binomial and the group bootstrap interval.

    Examples
    --------
    >>> found = proportion(np.array([True] * 9 + [False]), [str(i // 2) for i in range(10)])
    >>> found.k, found.n, found.groups, round(found.low, 2), round(found.high, 3)
    (9, 10, 5, 0.55, 1.0)
    """
    n, k = len(hits), int(hits.sum())
    index = _index(groups)
    method = "wider of exact binomial and bootstrap over groups"
    if n == 0:
        return Figure(None, None, None, 0, 0, 0, method)
    low, high = clopper_pearson(k, n)
    sums = np.bincount(index, hits.astype(float))
    counts = np.bincount(index).astype(float)
    drawn = _draws(len(counts))
    shares = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    boot_low, boot_high = np.quantile(shares, (0.025, 0.975))
    return Figure(k / n, min(low, float(boot_low)), max(high, float(boot_high)), n, len(counts), k, method)


def auc(labels: NDArray[np.int64], scores: Floats) -> float | None:
    """Chance that a 1 scores above a 0, ties counting half; None where one of them is missing [1]_.

    References
    ----------
    .. [1] J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver operating
       characteristic (ROC) curve", Radiology 143, 1982.

    Examples
    --------
    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    ones = int((labels == 1).sum())
    zeros = len(labels) - ones
    if not ones or not zeros:
        return None
    ranks = rankdata(scores)
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def statistic(
    compute: Callable[[NDArray[np.int64]], float | None], groups: Sequence[str], resamples: int = RESAMPLES
) -> Figure:
    """Any figure of a sample, with its group bootstrap interval.

    Parameters
    ----------
    compute : the figure of the cells with these indices, which may repeat; None where it has none
    groups : (n,) group of each
    resamples : how often groups are drawn
    """
    method = "bootstrap over groups"
    n = len(groups)
    index = _index(groups)
    if n == 0:
        return Figure(None, None, None, 0, 0, None, method)
    order = np.argsort(index, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(index))[:-1])
    value = compute(np.arange(n))
    found = [
        drawn
        for draw in _draws(len(members), resamples)
        if (drawn := compute(np.concatenate([members[i] for i in draw]))) is not None
    ]
    if value is None or len(found) < _LEAST_USABLE * resamples:
        return Figure(value, None, None, n, len(members), None, method)
    low, high = np.quantile(found, (0.025, 0.975))
    return Figure(value, float(low), float(high), n, len(members), None, method)


def calibration_error_by_chance(p: Floats, resamples: int = 500) -> float:
    """Say how large the calibration error of perfect probabilities would be with this many cells.

    The error of a finite sample is above 0 even when every probability is right; this is its mean over
    labels drawn from the probabilities themselves.
    """
    random = np.random.default_rng(_SEED)
    drawn = [
        expected_calibration_error((random.random(len(p)) < p).astype(np.int64), p) for _ in range(resamples)
    ]
    return float(np.mean(drawn)) if len(p) else 0.0


def _index(groups: Sequence[str]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1], dtype=np.int64)


def _draws(groups: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, groups, (resamples, groups))
