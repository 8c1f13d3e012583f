"""From out-of-fold probabilities to the card's decision: calibration, threshold and uncertain band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import Decision
from training.protocol.calibration import fit_both, rescale

#: Share of the cells nearest to the threshold that are called uncertain, where a share of 0.1 is bearable.
UNCERTAIN_SHARE = 0.08
#: A network trained on softened labels says too little; then the temperature is below 1.
TEMPERATURES = (0.2, 20.0)
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Chosen(Decision):
    """A decision, and what is added to the network's logits before its temperature divides them.

    Attributes
    ----------
    offset : goes into the network's last bias when the model is written, so that the device knows none. It
        holds the share of blasts among the cells that it was chosen on.
    """

    offset: float = 0.0

    def calibrated(self, p_blast: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Calibrate (n,) probabilities of the network as it was trained."""
        return rescale(p_blast, self.temperature, self.offset)


def choose(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]]) -> Chosen:
    """Choose a decision on cells that the network has not seen.

    Temperature and offset are those of least cross-entropy. The threshold has the largest sum of sensitivity
    and specificity (Youden's index J [1]_): the share of blasts corrected for the classifier's error has a
    standard error proportional to 1 / J, so no other threshold tells more about a sample. The band
    lies around it, as far on either side in logits as holds ``UNCERTAIN_SHARE`` of the cells.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) out of fold, uncalibrated

    Returns
    -------
    Chosen

    References
    ----------
    .. [1] W. J. Youden, "Index for rating diagnostic tests", Cancer 3 (1950) 32-35.

    Examples
    --------
    >>> labels = np.array([0] * 50 + [1] * 50)
    >>> p = np.concatenate([np.linspace(0.01, 0.5, 50), np.linspace(0.4, 0.99, 50)])
    >>> found = choose(labels, p)
    >>> found.uncertain_low < found.threshold < found.uncertain_high
    True
    """
    temperature, offset = fit_both(labels, p_blast, TEMPERATURES)
    logits = logit(rescale(p_blast, temperature, offset))
    cut = _most_informative(labels, logits)
    half = float(np.quantile(np.abs(logits - cut), UNCERTAIN_SHARE))
    low, middle, high = (1 / (1 + math.exp(-value)) for value in (cut - half, cut, cut + half))
    return Chosen(middle, low, high, temperature, offset)


def _most_informative(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> float:
    """Find the threshold of largest sensitivity + specificity, in the middle between two cells."""
    order = np.argsort(logits, kind="stable")
    ordered, blast = logits[order], labels[order] == 1
    # Just below cell i: everything from i on is called a blast.
    sensitivity = 1 - np.concatenate([[0], np.cumsum(blast)]) / blast.sum()
    specificity = np.concatenate([[0], np.cumsum(~blast)]) / (~blast).sum()
    best = int(np.argmax(sensitivity + specificity))
    if best in (0, len(ordered)):
        return float(ordered[min(best, len(ordered) - 1)])
    return float(ordered[best - 1] + ordered[best]) / 2


def logit(p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log odds of (n,) probabilities, kept finite."""
    clipped = np.clip(p.astype(np.float64), _TINY, 1 - _TINY)
    return np.asarray(np.log(clipped / (1 - clipped)))


def words(p_calibrated: NDArray[np.floating[Any]], decision: Decision) -> NDArray[np.int64]:
    """Say what the device would: 2 blast, 1 uncertain, 0 normal, for (n,) calibrated probabilities.

    Examples
    --------
    >>> words(np.array([0.2, 0.45, 0.7]), Decision(0.5, 0.4, 0.6, 1.0)).tolist()
    [0, 1, 2]
    """
    sure = np.where(p_calibrated >= decision.threshold, 2, 0)
    uncertain = (p_calibrated >= decision.uncertain_low) & (p_calibrated < decision.uncertain_high)
    return np.where(uncertain, 1, sure)
