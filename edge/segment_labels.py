"""Label images at reduced resolution, and what every step of segmentation does with them.

Labels are 16 bits wide and all steps work on the whole image at once: a loop over cells costs more than
the arithmetic on all of their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Shapes:
    """Where the labels of an image lie; every array is (count + 1,), index 0 unused.

    Attributes
    ----------
    area : in px
    x, y : centroid, 0 where there are no pixels
    box : (count + 1, 4) x0, y0, x1, y1, ends inclusive; x1 < x0 where there are no pixels
    """

    area: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    box: NDArray[np.int64]


def places_of(mask: NDArray[np.bool_]) -> Places:
    """Flat index of each pixel that is set."""
    # Twice as fast as np.flatnonzero.
    found = cv2.findNonZero(as_mask(mask))
    if found is None:
        return np.zeros(0, np.intp)
    xy = np.asarray(found, np.int32)[:, 0]
    return np.asarray(xy[:, 1].astype(np.intp) * mask.shape[1] + xy[:, 0])


def shapes_of(labels: Labels, count: int) -> Shapes:
    """Measure where labels 1..count of a (h, w) uint16 image lie."""
    height, width = labels.shape
    found = cv2.findNonZero(as_mask(labels > 0))
    xy = np.zeros((0, 2), np.intp) if found is None else np.asarray(found)[:, 0].astype(np.intp)
    xs, ys = xy[:, 0], xy[:, 1]
    ids = np.take(labels, ys * width + xs).astype(np.intp)
    # How many px of each label lie in each column and in each row: all else follows.
    box = np.empty((count + 1, 4), np.int64)
    centre = []
    for axis, (places, size) in enumerate(((xs, width), (ys, height))):
        lines = np.bincount(ids * size + places, minlength=(count + 1) * size).reshape(count + 1, size)
        area = lines.sum(axis=1)
        centre.append(lines @ np.arange(size) / np.maximum(area, 1))
        there = lines > 0
        box[:, axis] = np.where(area > 0, there.argmax(axis=1), size)
        box[:, axis + 2] = np.where(area > 0, size - 1 - there[:, ::-1].argmax(axis=1), -1)
    return Shapes(area, centre[0], centre[1], box)
