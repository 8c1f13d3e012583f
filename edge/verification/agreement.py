"""Agreement of two ways to measure the same samples: Bland and Altman's limits, Passing and Bablok's line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.counting.tally import Z95
from edge.verification.estimate import student_t

#: Fewest samples that differences, and a line, are computed of.
LEAST_PAIRS = 10
#: Resamples of an intercept: its standard error is then off by 5 %.
_RESAMPLES = 200
Floats = NDArray[np.float64]


def bland_altman(first: Sequence[float], second: Sequence[float]) -> dict[str, Any] | None:
    """Say how two measurements of the same samples differ: second minus first [1]_.

    Parameters
    ----------
    first, second : one number a sample

    Returns
    -------
    ``n``, ``bias`` and ``limits`` within which 95 % of the differences lie, each with its 95 % interval
    (``bias_ci95``, ``limits_ci95``); None for fewer than ``LEAST_PAIRS`` samples

    Notes
    -----
    The limits' interval is the wider of Bland and Altman's, which takes differences for normal, and that of
    the jackknife, which does not: of shares few are far off and many hardly at all.

    References
    ----------
    .. [1] J. M. Bland, D. G. Altman, "Statistical methods for assessing agreement between two methods of
       clinical measurement", Lancet 327 (1986) 307-310.
    """
    n = len(first)
    if n < LEAST_PAIRS:
        return None
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    bias, deviation = float(differences.mean()), float(differences.std(ddof=1))
    t = student_t(n - 1)
    of_bias, of_normal = t * deviation / math.sqrt(n), deviation * math.sqrt(3.0 / n)
    limits = [bias - Z95 * deviation, bias + Z95 * deviation]
    of_limits = [t * max(of_normal, _jackknife(differences, side * Z95)) for side in (-1.0, 1.0)]
    return {
        "n": n,
        "bias": bias,
        "bias_ci95": [bias - of_bias, bias + of_bias],
        "limits": limits,
        "limits_ci95": [[limit - of, limit + of] for limit, of in zip(limits, of_limits, strict=True)],
    }


def _jackknife(differences: Floats, deviations: float) -> float:
    """Give the standard error of a mean and so many standard deviations, by leaving each sample out."""
    n, total, squares = len(differences), differences.sum(), (differences**2).sum()
    mean = (total - differences) / (n - 1)
    variance = np.maximum(0.0, (squares - differences**2) - (n - 1) * mean**2) / (n - 2)
    limit = mean + deviations * np.sqrt(variance)
    return float(np.sqrt((n - 1) / n * ((limit - limit.mean()) ** 2).sum()))


def passing_bablok(first: Sequence[float], second: Sequence[float]) -> dict[str, Any] | None:
    """Fit a line where both measurements err, by the shifted median of all slopes [1]_.

    Parameters
    ----------
    first, second : one number a sample

    Returns
    -------
    ``n``, ``slope`` and ``intercept`` with 95 % intervals (``slope_ci95``, ``intercept_ci95``); None where
    fewer than ``LEAST_PAIRS`` samples differ, or the ranks of the interval lie outside the slopes

    Notes
    -----
    Passing and Bablok's interval of the intercept knows of the slope's error alone; where a bootstrap over
    samples with Student's t is wider, as it is where samples lie far from zero or are few, it is taken.

    References
    ----------
    .. [1] H. Passing, W. Bablok, "A new biometrical procedure for testing the equality of measurements from
       two different analytical methods", Journal of Clinical Chemistry and Clinical Biochemistry 21 (1983)
       709-720.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = len(x)
    if len(np.unique(np.column_stack([x, y]), axis=0)) < LEAST_PAIRS:
        return None
    slopes, shift = _slopes(x, y)
    many = len(slopes)
    half = Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0)
    low = round((many - half) / 2.0)
    high = many - low + 1
    if low < 1 or high + shift > many:
        return None

    slope, limits = _middle(slopes, shift), [float(slopes[rank - 1 + shift]) for rank in (low, high)]
    if not all(math.isfinite(value) for value in (slope, *limits)):
        return None
    intercepts = [float(np.median(y - value * x)) for value in (slope, *limits)]
    half = student_t(n - 2) * _error_of_intercept(x, y)
    return {
        "n": n,
        "slope": slope,
        "slope_ci95": limits,
        "intercept": intercepts[0],
        "intercept_ci95": [
            min(intercepts[2], intercepts[0] - half),
            max(intercepts[1], intercepts[0] + half),
        ],
    }


def _slopes(x: Floats, y: Floats) -> tuple[Floats, int]:
    """Sort the slopes between all samples, and say by how many the median is shifted."""
    one, other = np.triu_indices(len(x), 1)
    dx, dy = x[other] - x[one], y[other] - y[one]
    there = (dx != 0.0) | (dy != 0.0)
    dx, dy = dx[there], dy[there]
    slopes = np.where(dx == 0.0, np.copysign(np.inf, dy), dy / np.where(dx == 0.0, 1.0, dx))
    slopes = np.sort(slopes[slopes != -1.0])
    return slopes, int((slopes < -1.0).sum())


def _middle(slopes: Floats, shift: int) -> float:
    """Give the shifted median."""
    many = len(slopes)
    if many % 2:
        return float(slopes[(many + 1) // 2 - 1 + shift])
    return float((slopes[many // 2 - 1 + shift] + slopes[many // 2 + shift]) / 2.0)


def _error_of_intercept(x: Floats, y: Floats) -> float:
    """Give the standard error of the intercept by samples drawn again with replacement."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(x), len(x))
        slopes, shift = _slopes(x[drawn], y[drawn])
        if len(slopes) // 2 + shift < len(slopes) and math.isfinite(slope := _middle(slopes, shift)):
            found.append(float(np.median(y[drawn] - slope * x[drawn])))
    return float(np.std(found, ddof=1))
