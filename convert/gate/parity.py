"""Probabilities of the exported file against Keras's, for the same crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.gate.crops import Crops
from convert.gate.paired import Loss, field_changes, loss


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
