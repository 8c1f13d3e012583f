"""The parts of a field that hold white cells, cut out and laid side by side in one image.

Everything that is decided about single cells is decided on this canvas: its size follows the number of
cells, not that of the frame's pixels, and one pass over it serves all cells. Where a window reaches beyond
the frame the frame's outermost pixels are repeated, so that no step needs to know of the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.histogram import histogram
from edge.segmentation.labels import (
    Labels,
    Mask,
    areas_by_label,
    as_mask,
    connected_components,
    elliptic_kernel,
    map_labels,
    numbered,
    runs_by_label,
    unmeasured_components,
)
from edge.segmentation.stain import CONTRAST_LEVELS
from edge.structures import UInt8Image

#: What is looked for of the cytoplasm around a nucleus. Groups of nuclei that are twice as far from each
#: other do not know of each other.
_REACH_UM = 5.5
#: Repeated beyond the frame's edge: farther than any structuring element reaches, and the widest nucleus.
_BEYOND_UM = 5.0
#: A part is at least 3 µm² and a white cell's nucleus 11 µm² (half the smallest, where the scale is
#: doubtful); cut by the frame's edge 6. The outlines here are wider than those that are measured later.
_LEAST_SEED_UM2 = 2.0
_LEAST_GROUP_UM2 = 10.0
_LEAST_CUT_GROUP_UM2 = 4.0
#: Share of the nuclei's threshold that draws these wider outlines.
_SEED_THRESHOLD_SHARE = 0.7
#: Above 0.6 µm/px a structuring element of 1.4 µm is no larger than a pixel or two.
_COARSE_UM_PER_PX = 0.6
_OPENING_UM = 1.4  # a thread or a rim is narrower
#: Core stain of a field: upper quartile of what lies above the floor. A nucleus's edge has a third of it.
#: With 0.65 the cells of 95 real fields are the same, with 0.85 two fields have one less in all; with 0.28 or
#: 0.42 of it two or three differ.
_CORE_QUANTILE = 0.75
_EDGE_SHARE = 0.35
_LEAST_CORE_PX = 20  # fewer have no quartile
#: Shelves are as long as a square of the windows' area and this share more, for what they leave free.
_SHELF_SLACK = 1.1

Bboxes = NDArray[np.int64]
Pixel = TypeVar("Pixel", np.uint8, np.uint16, np.int16)


@dataclass(frozen=True)
class Windows:
    """Windows of a frame and where they lie on the canvas.

    Attributes
    ----------
    regions : (n, 4) x0, y0, x1, y1 in px of the frame, possibly beyond it
    places : (n, 4) x0, y0, x1, y1 in px of the canvas
    width, height : of the canvas
    frame_width, frame_height : of the frame
    """

    regions: NDArray[np.float64]
    places: Bboxes
    width: int
    height: int
    frame_width: int
    frame_height: int

    def gather(
        self, image: NDArray[Pixel], fill: int, interpolation: int = cv2.INTER_LINEAR
    ) -> NDArray[Pixel]:
        """Lay the windows of an image side by side.

        Parameters
        ----------
        image : the frame, or a reduced copy of it
        fill : value between the windows
        interpolation : OpenCV's, for the last step to the canvas's resolution

        Returns
        -------
        (height, width, ...) of the image's type
        """
        rows, columns = image.shape[:2]
        fx, fy = columns / self.frame_width, rows / self.frame_height
        canvas = np.full((self.height, self.width, *image.shape[2:]), fill, image.dtype)
        scaled = np.rint(self.regions * (fx, fy, fx, fy)).astype(int)
        # In a copy much smaller than the frame a window may be less than half a px: it shows the next one.
        scaled[:, :2] = np.minimum(scaled[:, :2], (columns - 1, rows - 1))
        scaled[:, 2:] = np.maximum(scaled[:, 2:], np.maximum(scaled[:, :2], 0) + 1)
        for (x0, y0, x1, y1), (px0, py0, px1, py1) in zip(scaled.tolist(), self.places.tolist(), strict=True):
            patch = image[max(0, y0) : y1, max(0, x0) : x1]
            beyond = (max(0, -y0), max(0, y1 - rows), max(0, -x0), max(0, x1 - columns))
            if any(beyond):
                patch = np.asarray(
                    cv2.copyMakeBorder(patch, *beyond, borderType=cv2.BORDER_REPLICATE), image.dtype
                )
            there = canvas[py0:py1, px0:px1]
            if patch.shape == there.shape:
                there[:] = patch
            else:
                cv2.resize(patch, (px1 - px0, py1 - py0), dst=there, interpolation=interpolation)
        return canvas

    @cached_property
    def numbers(self) -> Labels:
        """(h, w) uint16, which window each px of the canvas belongs to, from 1."""
        out = np.zeros((self.height, self.width), np.uint16)
        for number, (x0, y0, x1, y1) in enumerate(self.places.tolist(), start=1):
            out[y0:y1, x0:x1] = number
        return out

    def steps(self) -> NDArray[np.float64]:
        """(n, 2) px of the frame per px of the canvas, in x and y."""
        sizes = self.places[:, 2:] - self.places[:, :2]
        return np.asarray((self.regions[:, 2:] - self.regions[:, :2]) / sizes, dtype=np.float64)

    def in_frame(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which px of the canvas show the frame, and which of those lie at its edge; both (h, w)."""
        inside, edge = np.zeros((2, self.height, self.width), np.bool_)
        limits = np.array([self.frame_width, self.frame_height])
        first = np.rint(np.maximum(-self.regions[:, :2], 0) / self.steps()).astype(int)
        last = np.rint((np.minimum(self.regions[:, 2:], limits) - self.regions[:, :2]) / self.steps()).astype(
            int
        )
        for (px, py, _, _), (x0, y0), (x1, y1), region in zip(
            self.places.tolist(), first.tolist(), last.tolist(), self.regions.tolist(), strict=True
        ):
            shown = np.s_[py + y0 : py + y1, px + x0 : px + x1]
            inside[shown] = True
            if region[0] <= 0:
                edge[shown][:, :1] = True
            if region[1] <= 0:
                edge[shown][:1] = True
            if region[2] >= limits[0]:
                edge[shown][:, -1:] = True
            if region[3] >= limits[1]:
                edge[shown][-1:] = True
        return inside, edge

    def of_points(self, xs: NDArray[np.intp], ys: NDArray[np.intp]) -> NDArray[np.intp]:
        """Window that each point of the canvas lies in."""
        return self.numbers[ys, xs].astype(np.intp) - 1

    def separate(self, labels: Labels, count: int) -> tuple[Labels, int]:
        """Renumber, in place, what goes on from one window into its neighbour on the canvas.

        Windows lie edge to edge, and beyond the frame its edge is repeated: of two cells that opposite edges
        of the frame cut, what is repeated may touch.

        Parameters
        ----------
        labels : (h, w) uint16
        count : highest number in it

        Returns
        -------
        the same array, in which each number lies in one window, and the highest number
        """
        flat, window = labels.reshape(-1), self.numbers.reshape(-1)
        ids, first, length = runs_by_label(labels)
        window_of = np.zeros(count + 1, np.uint16)
        begin, end = window[first], window[first + length - 1]
        window_of[ids] = end
        runs_on = np.zeros(count + 1, np.bool_)
        runs_on[ids[(begin != window_of[ids]) | (end != window_of[ids])]] = True
        first, length = first[runs_on[ids]], length[runs_on[ids]]
        at = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
        numbers, windows = flat[at], window[at]
        astray = window_of[numbers] != windows
        for number, window in np.unique(np.stack([numbers[astray], windows[astray]]), axis=1).T:
            count += 1
            flat[at[(numbers == number) & (windows == window)]] = count
        return labels, count


def open_contrast(contrast: Mask, um_per_px: float) -> Mask:
    """Stain contrast without rims and threads."""
    if um_per_px >= _COARSE_UM_PER_PX:
        return contrast
    return np.asarray(
        cv2.morphologyEx(contrast, cv2.MORPH_OPEN, elliptic_kernel(_OPENING_UM / um_per_px)), np.uint8
    )


def nucleus_threshold(opened: Mask, floor: float) -> int:
    """Level above which something is stained like a nucleus or the body of a white cell."""
    counts = histogram(opened)
    least = max(1, round(floor * CONTRAST_LEVELS))
    counts[:least] = 0
    if counts.sum() < _LEAST_CORE_PX:
        return least
    cumulative = np.cumsum(counts)
    core = int(np.searchsorted(cumulative, _CORE_QUANTILE * cumulative[-1]))
    return max(least, round(_EDGE_SHARE * core))


def find_rois(opened: Mask, threshold: int, um_per_px: float) -> tuple[Bboxes, Labels]:
    """Find groups of stained things that may be white cells, farther from each other than cytoplasm reaches.

    Parameters
    ----------
    opened : (h, w) uint8 stain contrast of the whole field, see :func:`open_contrast`
    threshold : of :func:`nucleus_threshold`
    um_per_px : of this image

    Returns
    -------
    boxes : (n, 4) x0, y0, x1, y1, ends exclusive, of the groups' surroundings
    roi_labels : (h, w) uint16, these surroundings: 0 none, i + 1 those of box i
    """
    height, width = opened.shape
    seeds = as_mask(opened > _SEED_THRESHOLD_SHARE * threshold)
    um2 = um_per_px**2
    pieces, number = unmeasured_components(seeds)
    speck = areas_by_label(pieces, number - 1) * um2 < _LEAST_SEED_UM2
    if speck[1:].any():
        seeds &= map_labels(pieces, as_mask(~speck))
    distance = cv2.distanceTransform(1 - seeds, cv2.DIST_L2, 3)
    nearby = as_mask(distance <= _REACH_UM / um_per_px)
    roi_labels, stats = connected_components(nearby)
    area = np.bincount(roi_labels[seeds.view(np.bool_)], minlength=len(stats)) * um2
    ends = stats[:, :2] + stats[:, 2:4]
    cut = (stats[:, :2] == 0).any(axis=1) | (ends[:, 0] == width) | (ends[:, 1] == height)
    kept = area >= np.where(cut, _LEAST_CUT_GROUP_UM2, _LEAST_GROUP_UM2)
    kept[0] = False
    boxes = np.concatenate([stats[kept, :2], ends[kept]], axis=1).astype(np.int64)
    return boxes, map_labels(roi_labels, numbered(kept))


def pack_windows(
    boxes: Bboxes, shape: tuple[int, ...], frame: UInt8Image, shrink: float, um_per_px: float
) -> Windows:
    """Place windows on a canvas, the tallest first, in rows (shelf packing).

    Parameters
    ----------
    boxes : of :func:`find_rois`
    shape : of the image that they were found in
    frame : (H, W, 3), for its size
    shrink : px of the frame per px of the canvas
    um_per_px : of the frame

    Returns
    -------
    Windows
    """
    limits = np.array([frame.shape[1], frame.shape[0]])
    size = np.array([shape[1], shape[0]])
    beyond = _BEYOND_UM / um_per_px
    low, high = boxes[:, :2] * (limits / size), boxes[:, 2:] * (limits / size)
    low -= np.where(boxes[:, :2] == 0, beyond, 0.0)
    high += np.where(boxes[:, 2:] == size, beyond, 0.0)
    regions = np.concatenate([low, high], axis=1)
    sizes = np.maximum(np.rint((regions[:, 2:] - regions[:, :2]) / shrink), 1).astype(np.int64)
    width = int(max(sizes[:, 0].max(initial=1), math.sqrt(_SHELF_SLACK * float(sizes.prod(axis=1).sum()))))
    places = np.zeros((len(boxes), 4), np.int64)
    x = y = tall = 0
    for i in np.argsort(-sizes[:, 1], kind="stable").tolist():
        w, h = sizes[i].tolist()
        if x + w > width:
            x, y, tall = 0, y + tall, 0
        places[i] = x, y, x + w, y + h
        x, tall = x + w, max(tall, h)
    return Windows(regions, places, width, max(1, y + tall), frame.shape[1], frame.shape[0])
