"""Label images at reduced resolution, and what every step of segmentation does with them.

Labels are 16 bits wide and all steps work on the whole image at once: a loop over cells costs more than
the arithmetic on all of their pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Labels = NDArray[np.uint16]
Places = NDArray[np.intp]  # flat indices into an image


def ellipse(diameter_px: float) -> Mask:
    """Odd elliptic structuring element of about the given diameter, at least 3 px."""
    side = max(3, 2 * round((diameter_px - 1) / 2) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def as_mask(truth: NDArray[np.bool_]) -> Mask:
    """Give OpenCV a bool image without copying it."""
    return truth.view(np.uint8)


def bytes_of(image: cv2.typing.MatLike) -> Mask:
    """Tell the type checker that OpenCV kept the type of what it was given."""
    return np.asarray(image, dtype=np.uint8)


def renumber(group: NDArray[np.int32]) -> tuple[Labels, int]:
    """Labels 1..n without gaps for groups named after one of their members (0 stays 0)."""
    _, new = np.unique(group, return_inverse=True)
    return new.astype(np.uint16), int(new.max(initial=0))


def relabelled(labels: Labels | NDArray[np.int32], numbers: Labels) -> Labels:
    """Label image with each label replaced by ``numbers[label]``."""
    # np.take is twice as fast as indexing here.
    return np.asarray(np.take(numbers, labels), dtype=np.uint16)


def shades_by_label(labels: Labels, levels: Mask, at: Places, count: int) -> NDArray[np.int64]:
    """Histogram of the levels of each label's pixels, of those at the given places.

    Returns
    -------
    (count + 1, 256) int64
    """
    keys = np.take(labels, at).astype(np.intp)
    keys *= 256
    keys += np.take(levels, at)
    return np.bincount(keys, minlength=(count + 1) * 256).reshape(count + 1, 256)


def shade_reached(shades: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Level that the given share of each label's pixels does not exceed (0 where there are none)."""
    heaped = np.cumsum(shades, axis=1)
    return np.asarray((heaped < share * heaped[:, -1:]).sum(axis=1), dtype=np.int64)


def boxes(labels: Labels, at: Places, count: int) -> NDArray[np.int64]:
    """Bounding box (x0, y0, x1, y1; ends inclusive) of each label, empty ones x1 < x0.

    Parameters
    ----------
    labels : (h, w) uint16
    at : where they are not 0
    count : greatest label
    """
    height, width = labels.shape
    ids = np.take(labels, at)
    ys, xs = np.divmod(at, width)
    out = np.tile(np.array([width, height, -1, -1]), (count + 1, 1))
    for low, high, places, size in ((0, 2, xs, width), (1, 3, ys, height)):
        lines = np.zeros((count + 1, size), np.bool_)
        lines[ids, places] = True
        there = lines.any(axis=1)
        out[there, low] = lines.argmax(axis=1)[there]
        out[there, high] = size - 1 - lines[:, ::-1].argmax(axis=1)[there]
    return out
