"""Histograms of bytes: a median or a threshold without sorting."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import Mask, as_mask


def histogram(plane: Mask, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """How many pixels have each level, of those in the mask."""
    counts = cv2.calcHist([plane], [0], None if mask is None else as_mask(mask), [256], [0, 256])
    return np.asarray(counts, dtype=np.float64).ravel()


def quantile(counts: NDArray[np.float64], share: float) -> float:
    """Level below which the given share of a histogram lies, between levels by proportion.

    Examples
    --------
    >>> quantile(np.array([0.0, 2.0, 2.0, 0.0]), 0.5)
    1.5
    """
    cumulative = np.cumsum(counts)
    goal = share * cumulative[-1]
    level = int(np.searchsorted(cumulative, goal))
    return level - 0.5 + float((goal - cumulative[level] + counts[level]) / max(counts[level], 1.0))


def otsu(counts: NDArray[np.float64]) -> int:
    """Otsu's threshold of a histogram: the last level of the lower class [1]_.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9, 1979.

    Examples
    --------
    >>> otsu(np.array([5.0, 5.0, 0.0, 0.0, 3.0, 4.0]))
    1
    """
    lower = np.cumsum(counts)
    moment = np.cumsum(counts * np.arange(len(counts)))
    upper = lower[-1] - lower
    between = (moment[-1] * lower - moment * lower[-1]) ** 2 / np.maximum(lower * upper, 1e-9)
    return int(between.argmax())
