"""From out-of-fold probabilities to the card's decision: calibration, threshold and uncertain band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.special import logit as log_odds

from edge.classification.card import Decision

#: Share of the cells nearest to the threshold that are called uncertain, where a share of 0.1 is bearable.
UNCERTAIN_SHARE = 0.08
#: A network trained on softened labels says too little; then the temperature is below 1.
TEMPERATURES = (0.2, 20.0)
#: Probabilities nearer to 0 and 1 than this count as certain; a wrong 0 stays a finite error, as in Keras.
_TINY = 1e-7
#: Largest intercept of the fit: with it every cell is as good as certain.
_MOST_INTERCEPT = 100.0
_BINS = 10


@dataclass(frozen=True, slots=True)
class Chosen(Decision):
    """A decision, and what is added to the network's logits before its temperature divides them.

    Attributes
    ----------
    offset : goes into the network's last bias when the model is written, so that the device knows none. It
        holds the share of blasts, by weight, among the cells that it was chosen on.
    """

    offset: float = 0.0

    def calibrated(self, p_blast: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Calibrate (n,) probabilities of the network as it was trained."""
        return rescale(p_blast, self.temperature, self.offset)


def choose(
    labels: NDArray[np.int64],
    p_blast: NDArray[np.floating[Any]],
    weights: NDArray[np.float64] | None = None,
) -> Chosen:
    """Choose a decision on cells that the network has not seen.

    Temperature and offset are those of least cross-entropy. The threshold has the largest sum of sensitivity
    and specificity (Youden's index J [1]_): the share of blasts corrected for the classifier's error has a
    standard error proportional to 1 / J, so no other threshold tells more about a sample. The band
    lies around it, as far on either side in logits as holds ``UNCERTAIN_SHARE`` of the cells.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) out of fold, uncalibrated
    weights : (n,) how much each cell counts; None: all alike

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
    weights = np.ones(len(labels)) if weights is None else weights
    temperature, offset = fit(labels, p_blast, weights)
    logits = logit(rescale(p_blast, temperature, offset))
    cut = _most_informative(labels, logits, weights)
    half = _quantile(np.abs(logits - cut), weights, UNCERTAIN_SHARE)
    low, middle, high = (float(expit(value)) for value in (cut - half, cut, cut + half))
    return Chosen(middle, low, high, temperature, offset)


def fit(
    labels: NDArray[np.int64],
    p_blast: NDArray[np.floating[Any]],
    weights: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Find temperature and offset of least cross-entropy: Platt scaling [1]_, a logistic regression.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) of the same cells, out of fold
    weights : (n,) how much each cell counts; None: all alike

    Returns
    -------
    temperature, offset : for :func:`rescale`; the temperature within ``TEMPERATURES``

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized
       likelihood methods", Advances in Large Margin Classifiers, 1999.
    """
    logits = logit(p_blast)
    share = np.full(len(labels), 1 / len(labels)) if weights is None else weights / weights.sum()

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        fitted = line[0] * logits + line[1]
        error = expit(fitted) - labels
        value = float(share @ (np.logaddexp(0, fitted) - labels * fitted))
        return value, np.array([share @ (error * logits), share @ error])

    low, high = TEMPERATURES
    bounds = [(1 / high, 1 / low), (-_MOST_INTERCEPT, _MOST_INTERCEPT)]
    found = minimize(
        loss, (1.0, 0.0), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 0, "gtol": 1e-9}
    )
    slope, intercept = (float(value) for value in found.x)
    return 1 / slope, intercept / slope


def _most_informative(
    labels: NDArray[np.int64], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Find the threshold of largest sensitivity + specificity, in the middle between two cells."""
    order = np.argsort(logits, kind="stable")
    ordered = logits[order]
    blast, normal = (np.where(labels[order] == label, weights[order], 0) for label in (1, 0))
    # Just below cell i: everything from i on is called a blast.
    sensitivity = 1 - np.concatenate([[0], np.cumsum(blast)]) / blast.sum()
    specificity = np.concatenate([[0], np.cumsum(normal)]) / normal.sum()
    best = int(np.argmax(sensitivity + specificity))
    if best in (0, len(ordered)):
        return float(ordered[min(best, len(ordered) - 1)])
    return float(ordered[best - 1] + ordered[best]) / 2


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Find the value below which a share of the weights lies, interpolated between two values."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), below, values[order]))


def logit(p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log odds of (n,) probabilities, kept finite."""
    return np.asarray(log_odds(np.clip(p.astype(np.float64), _TINY, 1 - _TINY)))


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
    return np.asarray(expit((logit(p_blast) + offset) / temperature))


def cross_entropy(labels: NDArray[np.int64], p_blast: NDArray[np.floating[Any]]) -> float:
    """Mean cross-entropy in nats of (n,) labels (1 blast) and probabilities."""
    p = np.clip(p_blast.astype(np.float64), _TINY, 1 - _TINY)
    return float(-np.where(labels == 1, np.log(p), np.log(1 - p)).mean())


def expected_calibration_error(
    labels: NDArray[np.int64],
    p_blast: NDArray[np.floating[Any]],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Mean gap between probability and frequency over ten bins of equal width, weighted by their cells [1]_.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal
    p_blast : (n,) of the same cells
    weights : (n,) how much each cell counts, as by :func:`even_weights`; None: all alike

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
       Bayesian binning", AAAI 2015.

    Examples
    --------
    >>> expected_calibration_error(np.array([0, 1]), np.array([0.25, 0.75]))
    0.25
    """
    if not len(labels):
        return 0.0
    index = np.minimum((p_blast * _BINS).astype(int), _BINS - 1)
    weights = np.ones(len(labels)) if weights is None else weights
    gaps = np.abs(np.bincount(index, weights * (labels - p_blast), _BINS))
    return float(gaps.sum() / weights.sum())


def even_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh (n,) cells so that blasts and normal cells have half each, as in a world of that prior.

    Examples
    --------
    >>> even_weights(np.array([1, 0, 0, 0, 0])).tolist()
    [0.5, 0.125, 0.125, 0.125, 0.125]
    """
    return np.asarray(0.5 / np.maximum(np.bincount(labels, minlength=2), 1)[labels])


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
