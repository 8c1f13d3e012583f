"""What segmentation gives of a field: its cells, and label images of them and of their nuclei."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import (
    Labels,
    RegionProperties,
    map_labels,
    region_properties,
)
from edge.segmentation.verdict import NOTHING, SMUDGE
from edge.segmentation.windows import Windows
from edge.structures import Background, Cell, CellKind, Outline, Scale


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What segmentation found in one field.

    Attributes
    ----------
    cells : in reading order, ids 1..n
    scale : scale of the input image
    background : blank slide's colour
    cell_map, nucleus_map : (h, w) uint16 label images of the canvas that the windows lie on
    windows : where its parts lie in the input
    window_of : window of each cell, in the order of ``cells``
    """

    cells: tuple[Cell, ...]
    scale: Scale
    background: Background
    cell_map: Labels
    nucleus_map: Labels
    windows: Windows
    window_of: tuple[int, ...]

    @property
    def width(self) -> int:
        """Width of the input, px."""
        return self.windows.frame_width

    @property
    def height(self) -> int:
        """Height of the input, px."""
        return self.windows.frame_height

    def outline(self, cell: Cell) -> Outline:
        """Where one of the cells lies, for :func:`edge.classification.crop.to_input`."""
        window = self.window_of[cell.id - 1]
        x0, y0, x1, y1 = self.windows.places[window].tolist()
        cells, nuclei = (labels[y0:y1, x0:x1] for labels in (self.cell_map, self.nucleus_map))
        left, top, right, bottom = self.windows.regions[window].tolist()
        return Outline(cells, nuclei, cell.id, (left, top, right, bottom))

    def label_images(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Label images (whole cells, nuclei) of the input's size; values are cell ids."""
        shape = (self.windows.frame_height, self.windows.frame_width)
        whole, nuclei = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        for cell in self.cells:
            (left, top), cell_mask, nucleus_mask = self.masks_of(cell)
            h, w = cell_mask.shape
            whole[top : top + h, left : left + w][cell_mask] = cell.id
            nuclei[top : top + h, left : left + w][nucleus_mask] = cell.id
        return whole, nuclei

    def masks_of(self, cell: Cell) -> tuple[tuple[int, int], NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks of one cell in the input's px, around its box.

        Returns
        -------
        (left, top) of the masks in the input, whole cell, nucleus; both (h, w) bool
        """
        windows = self.windows
        window = self.window_of[cell.id - 1]
        x0, y0, _, _ = windows.regions[window]
        px, py, px1, py1 = windows.places[window].tolist()
        fx, fy = windows.steps()[window]
        x, y, w, h = cell.bbox
        # One px more on each side of the canvas, so that the outline is interpolated there, too.
        a, b = max(px, px + math.floor((x - x0) / fx) - 1), max(py, py + math.floor((y - y0) / fy) - 1)
        c, d = (
            min(px1, px + math.ceil((x + w - x0) / fx) + 1),
            min(py1, py + math.ceil((y + h - y0) / fy) + 1),
        )
        left, top = round(x0 + (a - px) * fx), round(y0 + (b - py) * fy)
        right, bottom = round(x0 + (c - px) * fx), round(y0 + (d - py) * fy)
        shown = np.s_[
            max(0, -top) : min(bottom, windows.frame_height) - top,
            max(0, -left) : min(right, windows.frame_width) - left,
        ]
        masks = []
        for labels in (self.cell_map, self.nucleus_map):
            small = (labels[b:d, a:c] == cell.id).astype(np.float32)
            large = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
            masks.append(np.asarray(large[shown] > 0.5))
        return (max(0, left), max(0, top)), masks[0], masks[1]


def assemble(
    scale: Scale,
    background: Background,
    windows: Windows,
    nuclei: Labels,
    cells: Labels,
    kinds: NDArray[np.uint8],
    *,
    border: NDArray[np.bool_],
    nucleus_px: NDArray[np.int64],
) -> Segmentation:
    """Make the result of the objects that are cells: numbered in reading order, measured in the input's px.

    Parameters
    ----------
    scale, background : of the input
    windows : that the canvas holds
    nuclei, cells : (h, w) uint16 label images of the canvas with the same numbers
    kinds : (count + 1,) of :func:`edge.segmentation.verdict.judge`
    border, nucleus_px : (count + 1,) whether the frame's border cuts each cell, px of its nucleus

    Returns
    -------
    Segmentation
    """
    count = len(kinds) - 1
    properties = region_properties(cells, count)
    kept = np.flatnonzero((kinds != NOTHING) & (properties.area > 0))
    placed = _place_in_frame(properties, kept, windows)
    in_reading_order = np.lexsort((placed.x, placed.y))
    numbers = np.zeros(count + 1, np.uint16)
    numbers[kept[in_reading_order]] = np.arange(1, len(kept) + 1)
    cell_map = map_labels(cells, numbers)
    listed = []
    for number, k in enumerate(in_reading_order.tolist(), start=1):
        label, (left, top, right, bottom) = int(kept[k]), placed.bbox[k].tolist()
        area_ratio = float(placed.step[k].prod())
        kind: CellKind = "smudge" if kinds[label] == SMUDGE else "wbc"
        listed.append(
            Cell(
                id=number,
                x=float(placed.x[k]),
                y=float(placed.y[k]),
                bbox=(left, top, right - left, bottom - top),
                area_px=round(int(properties.area[label]) * area_ratio),
                nucleus_area_px=round(int(nucleus_px[label]) * area_ratio),
                kind=kind,
                touches_border=bool(border[label]),
            )
        )
    return Segmentation(
        tuple(listed),
        scale,
        background,
        cell_map,
        np.asarray(cell_map * (nuclei > 0), np.uint16),  # a nucleus lies in its cell
        windows,
        tuple(placed.window[in_reading_order].tolist()),
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where objects of the canvas lie in the input; every array has one row an object.

    Attributes
    ----------
    window : number of the window
    step : (n, 2) px of the input per px of the canvas, in x and y
    x, y : centroid
    bbox : (n, 4) int x0, y0, x1, y1, ends exclusive, within the input
    """

    window: NDArray[np.intp]
    step: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    bbox: NDArray[np.int64]


def _place_in_frame(properties: RegionProperties, kept: NDArray[np.intp], windows: Windows) -> _Placed:
    first, last = properties.bbox[kept, :2], properties.bbox[kept, 2:]
    window = windows.of_points(first[:, 0], first[:, 1]) if len(kept) else kept
    step = windows.steps()[window]
    offset = windows.regions[window, :2] - windows.places[window, :2] * step
    x, y = (
        (centroid[kept] + 0.5) * step[:, axis] + offset[:, axis] - 0.5
        for axis, centroid in enumerate((properties.x, properties.y))
    )
    corners = np.concatenate([first, last + 1], axis=1) * np.tile(step, 2) + np.tile(offset, 2)
    limits = np.tile([windows.frame_width, windows.frame_height], 2)
    return _Placed(window, step, x, y, np.clip(np.rint(corners), 0, limits).astype(np.int64))
