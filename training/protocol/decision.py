"""From out-of-fold probabilities to the card's decision: temperature, threshold and uncertain band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.modelcard import Decision
from training.calibrate import fit_temperature, rescale

#: Share of the blasts that the threshold must keep on the cells that it is chosen on: the wanted 0.95 and a
#: hundredth for what is lost on new ones. Fixed before any figure was seen.
WANTED_SENSITIVITY = 0.96
#: Share of the cells nearest to the threshold that are called uncertain, where a share of 0.1 is bearable.
UNCERTAIN_SHARE = 0.08
#: A network trained on softened labels says too little; then the temperature is below 1.
TEMPERATURES = (0.2, 20.0)
_TINY = 1e-7


def choose(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]]) -> Decision:
    """Choose a decision on cells that the network has not seen.

    The temperature is that of least cross-entropy. The threshold is the highest that keeps
    ``WANTED_SENSITIVITY``. The band lies around it, as far on either side in logits as holds
    ``UNCERTAIN_SHARE`` of the cells.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) out of fold, uncalibrated

    Returns
    -------
    Decision

    Examples
    --------
    >>> labels = np.array([0] * 50 + [1] * 50)
    >>> p = np.concatenate([np.linspace(0.01, 0.5, 50), np.linspace(0.4, 0.99, 50)])
    >>> found = choose(labels, p)
    >>> found.uncertain_low < found.threshold < found.uncertain_high
    True
    """
    temperature = fit_temperature(labels, p_blast, TEMPERATURES)
    logits = logit(rescale(p_blast, temperature))
    blasts = np.sort(logits[labels == 1])
    cut = float(blasts[math.floor((1 - WANTED_SENSITIVITY) * len(blasts))])
    half = float(np.quantile(np.abs(logits - cut), UNCERTAIN_SHARE))
    low, middle, high = (1 / (1 + math.exp(-value)) for value in (cut - half, cut, cut + half))
    return Decision(middle, low, high, temperature)


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
