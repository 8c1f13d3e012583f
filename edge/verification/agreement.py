"""Agreement of two ways to measure the same samples: Bland and Altman's limits, Passing and Bablok's line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.counting.tally import Z95
from edge.verification.estimate import student_t

#: Fewest samples that differences, and a line, are computed of.
LEAST_PAIRS = 10


def bland_altman(first: Sequence[float], second: Sequence[float]) -> dict[str, Any] | None:
    """Say how two measurements of the same samples differ: second minus first [1]_.

    Parameters
    ----------
    first, second : one number a sample

    Returns
    -------
    ``n``, ``bias`` and ``limits`` within which 95 % of the differences lie, each with its 95 % interval
    (``bias_ci95``, ``limits_ci95``); None for fewer than ``LEAST_PAIRS`` samples

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
    of_bias, of_limit = t * deviation / math.sqrt(n), t * deviation * math.sqrt(3.0 / n)
    limits = [bias - Z95 * deviation, bias + Z95 * deviation]
    return {
        "n": n,
        "bias": bias,
        "bias_ci95": [bias - of_bias, bias + of_bias],
        "limits": limits,
        "limits_ci95": [[limit - of_limit, limit + of_limit] for limit in limits],
    }


def passing_bablok(first: Sequence[float], second: Sequence[float]) -> dict[str, Any] | None:
    """Fit a line where both measurements err, by the shifted median of all slopes [1]_.

    Parameters
    ----------
    first, second : one number a sample

    Returns
    -------
    ``n``, ``slope`` and ``intercept`` with 95 % intervals (``slope_ci95``, ``intercept_ci95``); None where
    fewer than ``LEAST_PAIRS`` samples differ, or the ranks of the interval lie outside the slopes

    References
    ----------
    .. [1] H. Passing, W. Bablok, "A new biometrical procedure for testing the equality of measurements from
       two different analytical methods", Journal of Clinical Chemistry and Clinical Biochemistry 21 (1983)
       709-720.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = len(x)
    one, other = np.triu_indices(n, 1)
    dx, dy = x[other] - x[one], y[other] - y[one]
    there = (dx != 0.0) | (dy != 0.0)
    dx, dy = dx[there], dy[there]
    if len(np.unique(np.column_stack([x, y]), axis=0)) < LEAST_PAIRS:
        return None
    slopes = np.where(dx == 0.0, np.copysign(np.inf, dy), dy / np.where(dx == 0.0, 1.0, dx))
    slopes = np.sort(slopes[slopes != -1.0])
    shift, many = int((slopes < -1.0).sum()), len(slopes)
    half = Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0)
    low = round((many - half) / 2.0)
    high = many - low + 1
    if low < 1 or high + shift > many:
        return None

    def middle() -> float:
        if many % 2:
            return float(slopes[(many + 1) // 2 - 1 + shift])
        return float((slopes[many // 2 - 1 + shift] + slopes[many // 2 + shift]) / 2.0)

    slope, limits = middle(), [float(slopes[rank - 1 + shift]) for rank in (low, high)]
    if not all(math.isfinite(value) for value in (slope, *limits)):
        return None
    intercepts = [float(np.median(y - value * x)) for value in (slope, *limits)]
    return {
        "n": n,
        "slope": slope,
        "slope_ci95": limits,
        "intercept": intercepts[0],
        "intercept_ci95": [intercepts[2], intercepts[1]],
    }
