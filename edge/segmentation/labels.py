"""Label images at reduced resolution, and what every step of segmentation does with them.

Labels are 16 bits wide and all steps work on the whole image at once: a loop over cells costs more than
the arithmetic on all of their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

Mask = NDArray[np.uint8]
Labels = NDArray[np.uint16]
ComponentLabels = NDArray[np.uint16] | NDArray[np.int32]
Value = TypeVar("Value", bound=np.generic)

#: So many nuclei of 6 µm, side by side, cover 2 mm².
MOST_LABELS = 65_535
_COUNTED_PX = 131_072  # 1 MB of keys
_STRIP_PX = 16_384  # 128 kB of indices
#: So many labels, none among them, fit into a byte, by which OpenCV looks values of these types up.
_BYTE_LABELS = 256
_LOOKED_UP = (np.uint8, np.uint16, np.float32)


def elliptic_kernel(diameter_px: float) -> Mask:
    """Odd elliptic structuring element of about the given diameter, at least 3 px."""
    side = max(3, 2 * round((diameter_px - 1) / 2) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def as_mask(truth: NDArray[np.bool_]) -> Mask:
    """Give OpenCV a bool image without copying it."""
    return truth.view(np.uint8)


def above(levels: Mask, threshold: float) -> NDArray[np.bool_]:
    """Where bytes exceed a threshold of 0 or more, in a tenth of the time that NumPy takes with a float."""
    return levels > np.uint8(min(int(threshold), 255))


def as_uint8(image: cv2.typing.MatLike) -> Mask:
    """Tell the type checker that OpenCV kept the type of what it was given."""
    return np.asarray(image, dtype=np.uint8)


def fill_holes(mask: Mask) -> Mask:
    """Mask with its holes filled: what a flood from the border does not reach."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    cv2.floodFill(framed, None, (0, 0), (2,))
    return as_mask(framed[1:-1, 1:-1] != 2)


def relabel_sequential(group: NDArray[np.int32]) -> tuple[Labels, int]:
    """Labels 1..n without gaps for groups named after one of their members (0 stays 0)."""
    _, new = np.unique(group, return_inverse=True)
    check_count(int(new.max(initial=0)))
    return new.astype(np.uint16), int(new.max(initial=0))


def connected_components(mask: Mask) -> tuple[ComponentLabels, NDArray[np.int32]]:
    """Label the components of a mask that hang together by edges or corners, and measure them.

    Returns
    -------
    labels : (h, w) uint16, int32 where there are more than ``MOST_LABELS``; 0 = none
    stats : (count + 1, 5) x, y, width, height, area
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=_label_type(mask))
    return _narrow(labels, len(stats)), np.asarray(stats, np.int32)


def unmeasured_components(mask: Mask, connectivity: Literal[4, 8] = 8) -> tuple[ComponentLabels, int]:
    """Label the components of a mask; their number is one less than what is returned.

    Without their measures, which take OpenCV three times as long as finding them.
    """
    number, labels = cv2.connectedComponents(mask, connectivity=connectivity, ltype=_label_type(mask))
    return _narrow(labels, number), number


def _label_type(mask: Mask) -> int:
    """Type that OpenCV may find the components of a mask in.

    It writes labels of 16 bits past its tables, which gives wrong labels or ends the process, where a mask
    has more of them, provisional ones included. Each begins a run of px in its row; where there are more runs
    than that, labels have 32 bits while they are found.
    """
    # A row has a run for every second px at most: most masks are too small to be looked at for this.
    runs = mask.size // 2 + len(mask)
    if runs > MOST_LABELS:
        runs = np.count_nonzero(mask[:, 1:] > mask[:, :-1]) + np.count_nonzero(mask[:, 0])
    return cv2.CV_16U if runs <= MOST_LABELS else cv2.CV_32S


def _narrow(labels: cv2.typing.MatLike, number: int) -> ComponentLabels:
    if number <= MOST_LABELS + 1:
        return np.asarray(labels, np.uint16)
    return np.asarray(labels, np.int32)


def numbered(kept: NDArray[np.bool_]) -> Labels:
    """Numbers 1..n for the labels that are kept, 0 for the others.

    Raises
    ------
    ImageError
        where they are more than a label image can hold
    """
    count = int(np.count_nonzero(kept))
    check_count(count)
    numbers = np.zeros(len(kept), np.uint16)
    numbers[kept] = np.arange(1, count + 1)
    return numbers


def check_count(count: int) -> None:
    """Refuse a field with more objects than a label image can hold."""
    if count > MOST_LABELS:
        raise ImageError(
            f"{count} stained objects in one field, at most {MOST_LABELS} expected: dirt, precipitate or no "
            "blood smear at all; clean the slide or choose another field"
        )


def map_labels(labels: ComponentLabels, values: NDArray[Value]) -> NDArray[Value]:
    """Image of ``values[label]``, of the values' type."""
    if len(values) <= _BYTE_LABELS and values.dtype in _LOOKED_UP:
        table: NDArray[Any] = np.zeros((1, _BYTE_LABELS), values.dtype)
        table[0, : len(values)] = values
        return np.asarray(cv2.LUT(labels.astype(np.uint8), table), values.dtype)
    out = np.empty(labels.shape, values.dtype)
    # NumPy makes 8 bytes of each label first: a few rows at a time stay in the processor's cache and
    # need hardly any memory. np.take is twice as fast as indexing here; "clip" lets it write into ``out``.
    rows = max(1, _STRIP_PX // max(1, labels.shape[1]))
    for top in range(0, len(labels), rows):
        np.take(values, labels[top : top + rows], out=out[top : top + rows], mode="clip")
    return out


def histograms_by_label(
    labels: Labels, levels: Mask, mask: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Histogram of the levels of each label's pixels, of those in the mask.

    Returns
    -------
    (count + 1, 256) int64
    """
    counts = np.zeros((count + 1) * 256, np.int64)
    # NumPy counts numbers of 8 bytes: a part of the rows at a time bounds what they take.
    rows = max(1, _COUNTED_PX // max(1, labels.shape[1]))
    for top in range(0, len(labels), rows):
        chosen = mask[top : top + rows]
        keys = labels[top : top + rows][chosen].astype(np.intp)
        keys *= 256
        keys += levels[top : top + rows][chosen]
        counts += np.bincount(keys, minlength=len(counts))
    return counts.reshape(count + 1, 256)


def quantile_by_label(histograms: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Level that the given share of each label's pixels does not exceed (0 where there are none)."""
    cumulative = np.cumsum(histograms, axis=1)
    return np.asarray((cumulative < share * cumulative[:, -1:]).sum(axis=1), dtype=np.int64)


def _run_starts(labels: ComponentLabels) -> NDArray[np.intp]:
    """Flat index of the first px of each piece of a row that has one label, none or not."""
    begins = np.ones(labels.shape, np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    return np.flatnonzero(begins)


def maximum_by_label(values: NDArray[np.float32], labels: ComponentLabels, count: int) -> NDArray[np.float32]:
    """Greatest value on the px of each label, (count + 1,); 0 where it has none."""
    first = _run_starts(labels)
    maxima = np.zeros(count + 1, np.float32)
    np.maximum.at(maxima, np.take(labels, first).astype(np.intp), np.maximum.reduceat(values.ravel(), first))
    return maxima


@dataclass(frozen=True, slots=True)
class RegionProperties:
    """Where the labels of an image lie; every array is (count + 1,), index 0 unused.

    Attributes
    ----------
    area : in px
    x, y : centroid, 0 where there are no pixels
    bbox : (count + 1, 4) x0, y0, x1, y1, ends inclusive; x1 < x0 where there are no pixels
    """

    area: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    bbox: NDArray[np.int64]


def runs_by_label(labels: ComponentLabels) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Pieces of rows that have one label: the label, flat index of the first px, how many px.

    There are a hundred times fewer of them than pixels.
    """
    first = _run_starts(labels)
    ids, length = np.take(labels, first).astype(np.intp), np.diff(first, append=labels.size)
    there = ids > 0
    return ids[there], first[there], length[there]


def areas_by_label(labels: ComponentLabels, count: int) -> NDArray[np.int64]:
    """Px of each label, (count + 1,); the first, of what has none, is 0."""
    ids, _, length = runs_by_label(labels)
    return np.bincount(ids, length, count + 1).astype(np.int64)


def labels_at(labels: Labels, mask: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Which labels have px in a mask, (count + 1,); never the first, of what has none."""
    found = np.zeros(count + 1, np.bool_)
    found[labels[mask]] = True
    found[0] = False
    return found


def region_properties(labels: Labels, count: int) -> RegionProperties:
    """Measure where labels 1..count of a (h, w) uint16 image lie."""
    height, width = labels.shape
    ids, first, length = runs_by_label(labels)
    ys, xs = np.divmod(first, width)
    last = xs + length - 1
    area = np.bincount(ids, length, count + 1)
    known = np.maximum(area, 1)
    x, y = (np.bincount(ids, length * at, count + 1) / known for at in (0.5 * (xs + last), ys))
    bbox = np.empty((count + 1, 4), np.int64)
    bbox[:] = width, height, -1, -1
    for low, places in enumerate((xs, ys)):
        np.minimum.at(bbox[:, low], ids, places)
    for high, places in enumerate((last, ys), start=2):
        np.maximum.at(bbox[:, high], ids, places)
    return RegionProperties(area.astype(np.int64), x, y, bbox)
