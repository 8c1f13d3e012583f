"""Probabilities that mean what they say: temperature scaling, its error, and the uncertain band."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Calls within this band of the calibrated probability are `uncertain`: there, a call would be wrong more
#: often than one in four. Fixed beforehand, not fitted.
UNCERTAIN_BAND = (0.25, 0.75)
#: A temperature below 1 would sharpen a network that is already too sure on cells that it has not seen;
#: 20 turns a logit of 10 into p = 0.62.
TEMPERATURE_RANGE = (1.0, 20.0)
_TINY = 1e-7
#: Logits beyond this are as good as certain.
_MOST_OFFSET = 20.0
_BINS = 10


def rescale(
    p_blast: NDArray[np.floating[Any]], temperature: float, offset: float = 0.0
) -> NDArray[np.float64]:
    """Add an offset to the logits of probabilities, and divide them by a temperature [1]_.

    Parameters
    ----------
    p_blast : (n,) 0 to 1
    temperature : above 0; 1 changes nothing, more brings everything nearer to 1/2
    offset : above 0 makes every blast likelier

    Returns
    -------
    (n,) float64

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.

    Examples
    --------
    >>> rescale(np.array([0.5, 0.9]), 2.0).round(2).tolist()
    [0.5, 0.75]
    """
    p = np.clip(p_blast.astype(np.float64), _TINY, 1 - _TINY)
    logits = np.log(p / (1 - p)) + offset
    return np.asarray(1 / (1 + np.exp(-logits / temperature)), dtype=np.float64)


def cross_entropy(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]]) -> float:
    """Mean cross-entropy in nats of (n,) labels (1 blast) and probabilities."""
    p = np.clip(p_blast.astype(np.float64), _TINY, 1 - _TINY)
    return float(-np.where(labels == 1, np.log(p), np.log(1 - p)).mean())


def fit_temperature(
    labels: NDArray[np.int64],
    p_blast: NDArray[np.floating[Any]],
    limits: tuple[float, float] = TEMPERATURE_RANGE,
) -> float:
    """Find the temperature of least cross-entropy on cells that the network has not seen.

    Golden-section search over its logarithm: the cross-entropy has one minimum in 1/T.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal
    p_blast : (n,) of the same cells, out of fold
    limits : smallest and largest temperature

    Returns
    -------
    float
        Within ``limits``.
    """
    return _least(lambda temperature: cross_entropy(labels, rescale(p_blast, temperature)), limits)


def fit_offset(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]], temperature: float) -> float:
    """Find the offset of least cross-entropy at a temperature: with it, the blasts are as many as said.

    The derivative of the cross-entropy in the offset is the mean probability less the share of blasts, which
    rises with the offset; where it is 0 is found by bisection.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) of the same cells, out of fold
    temperature : that the offset goes with

    Returns
    -------
    float
        Between -``_MOST_OFFSET`` and ``_MOST_OFFSET``.
    """
    low, high = -_MOST_OFFSET, _MOST_OFFSET
    while high - low > 1e-4:
        middle = (low + high) / 2
        if rescale(p_blast, temperature, middle).mean() < labels.mean():
            low = middle
        else:
            high = middle
    return (low + high) / 2


def fit_both(
    labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]], limits: tuple[float, float]
) -> tuple[float, float]:
    """Find temperature and offset of least cross-entropy: Platt scaling [1]_.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) of the same cells, out of fold
    limits : smallest and largest temperature

    Returns
    -------
    temperature, offset : for :func:`rescale`

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized
       likelihood methods", Advances in Large Margin Classifiers, 1999.
    """

    def left_over(temperature: float) -> float:
        offset = fit_offset(labels, p_blast, temperature)
        return cross_entropy(labels, rescale(p_blast, temperature, offset))

    temperature = _least(left_over, limits)
    return temperature, fit_offset(labels, p_blast, temperature)


def _least(function: Callable[[float], float], limits: tuple[float, float]) -> float:
    """Golden-section search over the logarithm for the one minimum of a function."""
    shrink = (math.sqrt(5) - 1) / 2
    low, high = (math.log(limit) for limit in limits)
    while high - low > 1e-4:
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        if function(math.exp(left)) <= function(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def calibrated_out_of_fold(
    labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Calibrate each fold with the temperature of the others, so that no cell calibrates itself.

    Parameters
    ----------
    labels, p_blast, fold : (n,)

    Returns
    -------
    (n,) float64
    """
    calibrated = np.zeros(len(labels))
    for k in np.unique(fold):
        own = fold == k
        calibrated[own] = rescale(p_blast[own], fit_temperature(labels[~own], p_blast[~own]))
    return calibrated


def expected_calibration_error(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]]) -> float:
    """Mean gap between probability and frequency over ten bins of equal width, weighted by their cells [1]_.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
       Bayesian binning", AAAI 2015.

    Examples
    --------
    >>> expected_calibration_error(np.array([0, 1]), np.array([0.25, 0.75]))
    0.25
    """
    index = np.minimum((p_blast * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(float(labels[index == k].mean()) - float(p_blast[index == k].mean())) * float((index == k).mean())
        for k in range(_BINS)
        if (index == k).any()
    ]
    return float(sum(gaps))


def uncertain_share(p_calibrated: NDArray[np.floating[Any]]) -> float:
    """Share of cells whose calibrated probability lies in ``UNCERTAIN_BAND``."""
    low, high = UNCERTAIN_BAND
    return float(((p_calibrated >= low) & (p_calibrated < high)).mean())
