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
    flat = labels.ravel()
    places = np.flatnonzero(flat)
    if places.size == 0:
        return []
    ids = flat[places].astype(np.uint16)  # NumPy sorts 16 bits in linear time
    order = np.argsort(ids, kind="stable")
    places, ids = places[order], ids[order]
    starts = np.flatnonzero(np.diff(ids, prepend=0))
    columns = places % labels.shape[1]
    left, right = np.minimum.reduceat(columns, starts), np.maximum.reduceat(columns, starts) + 1
    # The sort keeps the pixels' order, so a label's first pixel lies in its first row.
    top = places[starts] // labels.shape[1]
    bottom = places[np.append(starts[1:], len(places)) - 1] // labels.shape[1] + 1
    return [
        (int(i), (slice(int(t), int(b)), slice(int(x), int(r))))
        for i, t, b, x, r in zip(ids[starts], top, bottom, left, right, strict=True)
        if i <= count
    ]
