"""White cells of a field: found, separated and outlined at reduced resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.background import estimate_background
from edge.light.pyramid import Pyramid
from edge.segmentation.canvas import CanvasPlanes, stain_planes
from edge.segmentation.join import merge_parts
from edge.segmentation.labels import (
    Labels,
    Mask,
    areas_by_label,
    as_mask,
    elliptic_kernel,
    map_labels,
    region_properties,
    relabel_sequential,
)
from edge.segmentation.nuclei import find_parts
from edge.segmentation.outline import partition_cells, refine_nuclei, smooth_cells
from edge.segmentation.scale import isolated_white_cells
from edge.segmentation.stain import DENSITY_LEVELS, blank_slide, contrast_levels, stain_densities, to_levels
from edge.segmentation.survey import SURVEY_SIDE_PX, Survey, survey
from edge.segmentation.verdict import NOTHING, SMUDGE, judge, measure
from edge.segmentation.windows import (
    Windows,
    find_rois,
    nucleus_threshold,
    open_contrast,
    pack_windows,
)
from edge.structures import Background, Cell, CellKind, Frame, Outline, Scale

#: Resolution that cells are segmented at: the light microscope's own at NA 1.25, 0.61 * 0.55 µm / 1.25.
_WORK_UM_PER_PX = 0.25
_LEAST_SHRINK = 1.3
#: ... unless that makes more pixels than this: then coarser, up to the coarsest scale supported.
_MOST_PX = 150_000
_COARSEST_UM_PER_PX = 0.4
_LARGEST_CELL_UM2 = 290.0
_FRINGE_UM = 1.0  # between the foreground's outline and the faintest edge of a cell
#: Side of the blank slide's picture; light changes slowly over a field.
_BLANK_SIDE_PX = 128
#: Faintest stain looked at: nuclei of the palest source (wbc-chula) have 0.09, an 8-bit step is 0.005.
_LEAST_CONTRAST = 0.05
#: ... and above the red cells' own spread, which colour fringes of a field out of focus widen.
_RED_CELL_SIGMAS = 2.0
#: Confidence up to which a scale is a guess; 0.1 is what the nuclei isolated give.
_DOUBTFUL_SCALE = 0.1


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


def segment(
    frame: Frame, background: Background | None = None, pyramid: Pyramid | None = None
) -> Segmentation:
    """Find the white cells of a field.

    The whole field is looked at once, at low resolution: its scale, its red cells, and where something is
    stained. What surrounds that is cut out at the resolution that outlines need.

    Parameters
    ----------
    frame : the field; ``frame.um_per_px``, where given, is the scale
    background : blank slide's colour where it is known already, else it is estimated
    pyramid : halved copies of ``frame.image`` where somebody else looks at them, too, else they are made

    Returns
    -------
    Segmentation
    """
    if pyramid is None:
        pyramid = Pyramid(frame.image)
    if background is None:
        background = estimate_background(frame.image, pyramid)
    detection = _detect(frame, background, pyramid)
    if not len(detection.windows.regions):
        nothing = np.zeros((1, 1), np.uint16)
        return Segmentation((), detection.scale, background, nothing, nothing, detection.windows, ())
    planes = _canvas_planes(detection, background, pyramid)
    nuclei, cells, count = _outline(planes, detection)
    kinds = judge(
        measure(planes, detection.survey.red_cell_red, nuclei, cells, count),
        nuclei,
        planes.um_per_px,
        scale_known=detection.scale.confidence > _DOUBTFUL_SCALE,
        blue_red_cells=detection.survey.blue_red_cells,
    )
    return _assemble(detection.scale, background, detection.windows, planes.frame_edge, nuclei, cells, kinds)


@dataclass(frozen=True, slots=True)
class _Detection:
    """What is known of a field before its cells are looked at closely.

    Attributes
    ----------
    survey : the first look; its scale is not the field's where that is configured
    scale : of the input
    threshold : stain contrast of nuclei, see :func:`edge.segmentation.windows.nucleus_threshold`
    windows : surroundings of what is stained
    shrink : px of the input per px of the canvas
    roi : (h, w) bool on the canvas, see :class:`edge.segmentation.canvas.CanvasPlanes`
    isolated : (h, w) bool on the canvas, likewise
    """

    survey: Survey
    scale: Scale
    threshold: int
    windows: Windows
    shrink: float
    roi: NDArray[np.bool_]
    isolated: NDArray[np.bool_]


def _detect(frame: Frame, background: Background, pyramid: Pyramid) -> _Detection:
    """Find the scale and what is stained; the copies of the whole field that this takes end here."""
    step = _worthwhile(max(frame.width, frame.height) / SURVEY_SIDE_PX)
    small = pyramid.reduced(step)
    stain = stain_densities(small, blank_slide(background, small.shape[1], small.shape[0]))
    found = survey(stain, step)
    scale = found.scale
    if frame.um_per_px is not None:
        scale = Scale(frame.um_per_px, "configured", 1.0)
    if scale.um_per_px * step < _WORK_UM_PER_PX / _LEAST_SHRINK:
        step = _WORK_UM_PER_PX / scale.um_per_px
        small = pyramid.reduced(step)
        stain = stain_densities(small, blank_slide(background, small.shape[1], small.shape[0]))
    um_per_px = scale.um_per_px * step
    smooth = stain.smoothed(um_per_px)
    opened = open_contrast(contrast_levels(smooth.contrast(found.ratio)), um_per_px)
    threshold = nucleus_threshold(opened, max(_LEAST_CONTRAST, _RED_CELL_SIGMAS * found.spread))
    groups, roi_labels = find_rois(opened, threshold, um_per_px)
    shrink = _canvas_shrink(
        scale.um_per_px, step**2 * float((groups[:, 2:] - groups[:, :2]).prod(axis=1).sum())
    )
    windows = pack_windows(groups, roi_labels.shape, frame.image, shrink, scale.um_per_px)
    roi = windows.gather(roi_labels, 0, cv2.INTER_NEAREST) == windows.numbers()
    foreground = to_levels(smooth.total) > found.foreground_density * DENSITY_LEVELS
    isolated = windows.gather(_isolated(foreground, opened > threshold, um_per_px), 0, cv2.INTER_NEAREST) > 0
    return _Detection(found, scale, threshold, windows, shrink, roi, isolated)


def _canvas_planes(detection: _Detection, background: Background, pyramid: Pyramid) -> CanvasPlanes:
    """Lay what surrounds the stain side by side, at the resolution that outlines need."""
    windows = detection.windows
    um_per_px = detection.scale.um_per_px * detection.shrink
    blank = blank_slide(background, _BLANK_SIDE_PX, _BLANK_SIDE_PX)
    canvas = windows.gather(pyramid.level(detection.shrink), 1)
    total, contrast, red, red_cell_coloured = stain_planes(
        canvas, windows.gather(blank, 0), detection.survey.ratio, um_per_px
    )
    in_frame, edge = windows.in_frame()
    return CanvasPlanes(
        total=total,
        contrast=contrast,
        red=red,
        red_cell_coloured=red_cell_coloured,
        in_frame=in_frame,
        frame_edge=edge,
        roi=detection.roi,
        isolated=detection.isolated,
        um_per_px=um_per_px,
    )


def _outline(planes: CanvasPlanes, detection: _Detection) -> tuple[Labels, Labels, int]:
    """Nuclei and whole cells as label images with the same numbers, and how many there are."""
    parts, count = find_parts(planes.contrast, detection.threshold, planes.roi, planes.um_per_px)
    parts *= planes.in_frame  # what was repeated beyond the edge served to find and cut them
    voronoi, cell_mask = partition_cells(planes, parts, detection.survey.foreground_density)
    numbers, count = relabel_sequential(
        merge_parts(voronoi * cell_mask, parts, planes.contrast, count, planes.um_per_px)
    )
    voronoi = map_labels(voronoi, numbers)
    parts = np.asarray(voronoi * (parts > 0), np.uint16)
    nuclei = refine_nuclei(planes, parts, voronoi, cell_mask, count)
    return nuclei, smooth_cells(planes, voronoi, cell_mask, nuclei, count), count


def _worthwhile(shrink: float) -> float:
    """Give 1 instead where shrinking saves little and blurs."""
    return shrink if shrink > _LEAST_SHRINK else 1.0


def _canvas_shrink(um_per_px: float, area_px: float) -> float:
    """Px of the frame per px of the canvas, for windows of so many px of the frame."""
    finest = _worthwhile(_WORK_UM_PER_PX / um_per_px)
    affordable = min(math.sqrt(area_px / _MOST_PX), _COARSEST_UM_PER_PX / um_per_px)
    return max(finest, affordable)


def _isolated(foreground: NDArray[np.bool_], stained: NDArray[np.bool_], um_per_px: float) -> Mask:
    """White cells that nothing touches: all of such a cell is its own, whatever its colour."""
    isolated = np.zeros(foreground.shape, np.uint8)
    outlines = isolated_white_cells(as_mask(foreground), as_mask(stained), _LARGEST_CELL_UM2 / um_per_px**2)
    if outlines:
        cv2.drawContours(isolated, outlines, -1, (1,), cv2.FILLED)
        isolated = np.asarray(cv2.dilate(isolated, elliptic_kernel(_FRINGE_UM / um_per_px)), dtype=np.uint8)
    return isolated


def _assemble(
    scale: Scale,
    background: Background,
    windows: Windows,
    edge: NDArray[np.bool_],
    nuclei: Labels,
    cells: Labels,
    kinds: NDArray[np.uint8],
) -> Segmentation:
    count = len(kinds) - 1
    shapes = region_properties(cells, count)
    area, box = shapes.area, shapes.bbox
    nucleus = areas_by_label(nuclei, count)
    cut = np.zeros(count + 1, np.bool_)
    cut[cells[edge]] = True
    kept = np.flatnonzero((kinds != NOTHING) & (area > 0))
    window = windows.of_points(box[kept, 0], box[kept, 1]) if len(kept) else kept
    step, origin = windows.steps()[window], windows.regions[window, :2]
    offset = origin - windows.places[window, :2] * step
    x, y = (
        (shapes.x[kept] + 0.5) * step[:, 0] + offset[:, 0] - 0.5,
        (shapes.y[kept] + 0.5) * step[:, 1] + offset[:, 1] - 0.5,
    )
    corners = np.concatenate([box[kept, :2], box[kept, 2:] + 1], axis=1) * np.tile(step, 2) + np.tile(
        offset, 2
    )
    limits = np.tile([windows.frame_width, windows.frame_height], 2)
    corners = np.clip(np.rint(corners), 0, limits).astype(int)
    order = np.lexsort((x, y))
    listed: list[Cell] = []
    for number, k in enumerate(order.tolist(), start=1):
        i, (left, top, right, bottom), per_px = int(kept[k]), corners[k].tolist(), float(step[k].prod())
        kind: CellKind = "smudge" if kinds[i] == SMUDGE else "wbc"
        listed.append(
            Cell(
                id=number,
                x=float(x[k]),
                y=float(y[k]),
                bbox=(left, top, right - left, bottom - top),
                area_px=round(int(area[i]) * per_px),
                nucleus_area_px=round(int(nucleus[i]) * per_px),
                kind=kind,
                touches_border=bool(cut[i]),
            )
        )
    numbers = np.zeros(count + 1, np.uint16)
    numbers[kept[order]] = np.arange(1, len(kept) + 1)
    cell_map = map_labels(cells, numbers)
    return Segmentation(
        tuple(listed),
        scale,
        background,
        cell_map,
        np.asarray(cell_map * (nuclei > 0), np.uint16),  # a nucleus lies in its cell
        windows,
        tuple(np.asarray(window)[order].tolist()),
    )
