"""The median, without what NumPy's costs where it is asked for small arrays a hundred times a field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[Any]) -> NDArray[Any]:
    """Median along the last axis, bit for bit that of NumPy.

    Parameters
    ----------
    values : (..., n), n at least 1; none of them NaN

    Returns
    -------
    (...) of the values' type, float64 for whole numbers

    Examples
    --------
    >>> median(np.array([[3, 1, 2, 9], [5, 5, 4, 4]])).tolist()
    [2.5, 4.5]
    """
    low, high = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
    ordered = np.partition(values, (low, high), axis=-1)
    # Two levels of 8 bits have no sum of 8 bits.
    dtype = values.dtype if values.dtype.kind == "f" else np.float64
    below, above = (ordered[..., k].astype(dtype) for k in (low, high))
    return np.asarray((below + above) / 2)
