"""Probabilities of the exported file against Keras's: differences, flips and paired losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from convert.gate.crops import Crops
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
        mcnemar_p=float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
    )


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """How far one interpreter's outputs lie from Keras's.

    Attributes
    ----------
    runtime : name and version of the interpreter
    n : number of crops
    keras_blasts : how many of them Keras calls blast
    flipped : how many of them the interpreter puts on the other side of the threshold
    mean_delta_p, p99_delta_p, max_delta_p : of |p(file) - p(Keras)|, calibrated
    sensitivity, specificity : what the file loses of them, None without labels of that class
    fields : number of fields the crops are known to come from
    p95_field_points : 95th percentile over these fields of the change of the share of blasts, in percentage
        points; None without fields
    """

    runtime: str
    n: int
    keras_blasts: int
    flipped: int
    mean_delta_p: float
    p99_delta_p: float
    max_delta_p: float
    sensitivity: Loss | None = None
    specificity: Loss | None = None
    fields: int = 0
    p95_field_points: float | None = None

    @property
    def agreement(self) -> float:
        """Share of crops on the same side of the threshold."""
        return (self.n - self.flipped) / self.n


def compare(
    runtime: str,
    p: NDArray[np.float32],
    p_keras: NDArray[np.float32],
    threshold: float,
    crops: Crops | None = None,
) -> RuntimeParity:
    """Compare two sets of calibrated probabilities of the same crops.

    Parameters
    ----------
    runtime : names the first set
    p, p_keras : (n,) float32, n at least 1
    threshold : p from which a cell counts as blast
    crops : the crops, for their labels and fields

    Returns
    -------
    RuntimeParity

    Examples
    --------
    >>> parity = compare("x 1.0", np.float32([0.1, 0.6]), np.float32([0.1, 0.4]), 0.5)
    >>> parity.flipped, parity.agreement, round(parity.max_delta_p, 3)
    (1, 0.5, 0.2)
    """
    delta = np.abs(p.astype(np.float64) - p_keras.astype(np.float64))
    labels = None if crops is None else crops.labels
    changes = np.empty(0)
    if crops is not None and crops.fields is not None:
        changes = field_changes(p, p_keras, crops.fields, threshold)
    # A NaN makes every comparison of the gate false, and so refuses; it must not be lost in a maximum.
    return RuntimeParity(
        runtime=runtime,
        n=len(p),
        keras_blasts=int((p_keras >= threshold).sum()),
        flipped=int(((p >= threshold) != (p_keras >= threshold)).sum()),
        mean_delta_p=float(delta.mean()),
        # "higher": a percentile between two crops would be a figure that no crop had.
        p99_delta_p=float(np.percentile(delta, 99, method="higher")),
        max_delta_p=float(delta.max()),
        sensitivity=_class_loss(p, p_keras, labels, threshold, blasts=True),
        specificity=_class_loss(p, p_keras, labels, threshold, blasts=False),
        fields=len(changes),
        p95_field_points=float(np.percentile(changes, 95, method="higher")) if len(changes) else None,
    )


def _class_loss(
    p: NDArray[np.float32],
    p_keras: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    threshold: float,
    *,
    blasts: bool,
) -> Loss | None:
    if labels is None or not (labels == int(blasts)).any():
        return None
    cells = labels == int(blasts)
    return loss(p[cells], p_keras[cells], threshold, blasts=blasts)


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
