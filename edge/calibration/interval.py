"""Mean of a few measurements of a length, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: 0.975 quantile of Student's t for 1, 2, ... degrees of freedom [1]_.
#:
#: .. [1] Student, "The probable error of a mean", Biometrika 6, 1908.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def geometric_mean(values: Sequence[float], systematic: float = 0.0) -> tuple[float, float, float]:
    """Mean of measurements, and its 95 % interval.

    Parameters
    ----------
    values : at least two positive numbers
    systematic : relative standard deviation that all of them share

    Returns
    -------
    mean, low, high

    Examples
    --------
    >>> [round(v, 3) for v in geometric_mean([0.10, 0.10, 0.11])]
    [0.103, 0.09, 0.118]
    """
    logs = np.log(np.asarray(values, dtype=np.float64))
    degrees = len(logs) - 1
    # Beyond the table 1.96 + 2.4 / n, which is right to 0.004 there.
    t = _T[degrees - 1] if degrees <= len(_T) else 1.96 + 2.4 / degrees
    half = math.hypot(t * float(logs.std(ddof=1)) / math.sqrt(len(logs)), 1.96 * systematic)
    middle = float(logs.mean())
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)
