"""Label images at reduced resolution, and what every step of segmentation does with them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Labels = NDArray[np.int32]


def ellipse(diameter_px: float) -> Mask:
    """Odd elliptic structuring element of about the given diameter, at least 3 px."""
    side = max(3, 2 * round((diameter_px - 1) / 2) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def renumber(group: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Labels 1..n without gaps for groups named after one of their members (0 stays 0)."""
    _, new = np.unique(group, return_inverse=True)
    return new.astype(np.int32), int(new.max(initial=0))


def windows(labels: Labels, count: int) -> list[tuple[int, tuple[slice, slice]]]:
    """Bounding window of each label that is present."""
    ys, xs = np.nonzero(labels)
    ids = labels[ys, xs]
    h, w = labels.shape
    low = np.full((count + 1, 2), max(h, w))
    high = np.full((count + 1, 2), -1)
    np.minimum.at(low, ids, np.stack([ys, xs], 1))
    np.maximum.at(high, ids, np.stack([ys, xs], 1))
    return [
        (i, (slice(int(low[i, 0]), int(high[i, 0]) + 1), slice(int(low[i, 1]), int(high[i, 1]) + 1)))
        for i in range(1, count + 1)
        if high[i, 0] >= 0
    ]
