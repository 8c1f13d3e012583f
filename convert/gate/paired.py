"""What the same cells lose between two sets of probabilities: exact tests of paired counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.counting.tally import clopper_pearson


@dataclass(frozen=True, slots=True)
class Loss:
    """How much of sensitivity or specificity a conversion costs, on the same cells.

    Attributes
    ----------
    n : cells of the class
    kept : how many of them Keras calls right
    lost, gained : right in Keras only, right in the file only
    points : (lost - gained) / n in percentage points; above 0 the file is worse
    low, high : exact 95 % interval of ``points``
    mcnemar_p : exact two-sided p of ``lost`` against ``gained``
    """

    n: int
    kept: int
    lost: int
    gained: int
    points: float
    low: float
    high: float
    mcnemar_p: float


def loss(p: NDArray[np.float32], p_keras: NDArray[np.float32], threshold: float, *, blasts: bool) -> Loss:
    """Compare two sets of probabilities of the cells of one class.

    The interval joins those of the two shares, lost and gained, each exact at 97.5 %: with
    Bonferroni's inequality it covers at least 95 %, and does not shrink to nothing where no cell flips.

    Parameters
    ----------
    p, p_keras : (n,) float32, probabilities of a blast after conversion and before; n at least 1
    threshold : p from which a cell counts as blast
    blasts : whether the cells are blasts, so that the loss is one of sensitivity, or normal

    Returns
    -------
    Loss

    References
    ----------
    .. [1] Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
       percentages", Psychometrika 12 (1947) 153-157; exact form with the binomial distribution.

    Examples
    --------
    >>> found = loss(np.float32([0.9, 0.4]), np.float32([0.9, 0.6]), 0.5, blasts=True)
    >>> found.lost, found.points, found.mcnemar_p
    (1, 50.0, 1.0)
    """
    right, right_keras = (p >= threshold) == blasts, (p_keras >= threshold) == blasts
    n = len(p)
    lost, gained = int((right_keras & ~right).sum()), int((right & ~right_keras).sum())
    lost_low, lost_high = clopper_pearson(lost, n, 0.975)
    gained_low, gained_high = clopper_pearson(gained, n, 0.975)
    return Loss(
        n=n,
        kept=int(right_keras.sum()),
        lost=lost,
        gained=gained,
        points=100 * (lost - gained) / n,
        low=100 * (lost_low - gained_high),
        high=100 * (lost_high - gained_low),
        mcnemar_p=mcnemar_p(lost, gained),
    )


def mcnemar_p(lost: int, gained: int) -> float:
    """Give the exact two-sided p of McNemar's test: the chance of so unequal a split of flips [1]_.

    References
    ----------
    .. [1] See :func:`loss`.

    Examples
    --------
    >>> mcnemar_p(0, 0), mcnemar_p(6, 0), mcnemar_p(3, 3)
    (1.0, 0.03125, 1.0)
    """
    flips = lost + gained
    tail = sum(math.comb(flips, k) for k in range(min(lost, gained) + 1))
    return min(1.0, float(2 * tail / 2**flips))


def field_changes(
    p: NDArray[np.float32], p_keras: NDArray[np.float32], fields: NDArray[np.str_], threshold: float
) -> NDArray[np.float64]:
    """Give the change of each field's share of blasts.

    Parameters
    ----------
    p, p_keras : (n,) float32
    fields : (n,) name of each cell's field; cells with an empty name are left out
    threshold : p from which a cell counts as blast

    Returns
    -------
    (fields,) float64
        Percentage points, absolute, by the field's name.

    Examples
    --------
    >>> before, after = np.float32([0.9, 0.9, 0.9]), np.float32([0.9, 0.1, 0.9])
    >>> field_changes(after, before, np.array(["a", "a", "b"]), 0.5)
    array([50.,  0.])
    """
    change: NDArray[np.float64] = 100.0 * (
        (p >= threshold).astype(float) - (p_keras >= threshold).astype(float)
    )
    return np.array([abs(change[fields == name].mean()) for name in np.unique(fields[fields != ""])])
