"""White cells of a field: found, separated and outlined at reduced resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.density import Against, DensityPlanes, blank_planes, density_planes
from edge.light.field import Field
from edge.segmentation.axis import stain_axis
from edge.segmentation.canvas import CanvasPlanes, stain_planes
from edge.segmentation.isolated import isolated_mask
from edge.segmentation.join import merge_parts
from edge.segmentation.labels import (
    Labels,
    above,
    as_mask,
    map_labels,
    relabel_sequential,
)
from edge.segmentation.nuclei import find_parts
from edge.segmentation.outline import partition_cells, refine_nuclei, smooth_cells
from edge.segmentation.pooled import settle
from edge.segmentation.result import Segmentation, assemble
from edge.segmentation.stain import DENSITY_LEVELS, contrast_levels, to_levels
from edge.segmentation.survey import NUCLEI_SCALE_CONFIDENCE, SURVEY_SIDE_PX, Survey, survey
from edge.segmentation.verdict import judge, measure
from edge.segmentation.windows import (
    Windows,
    find_rois,
    nucleus_threshold,
    open_contrast,
    pack_windows,
)
from edge.structures import Scale

#: Resolution that cells are segmented at: the light microscope's own at NA 1.25, 0.61 * 0.55 µm / 1.25.
_WORK_UM_PER_PX = 0.25
#: Shrinking by less saves little and blurs.
_LEAST_SHRINK = 1.3
#: ... unless that makes more pixels than this: then coarser, up to the coarsest scale supported.
_MOST_PX = 150_000
_COARSEST_UM_PER_PX = 0.4
_LARGEST_CELL_UM2 = 290.0  # 19 µm across: a large monocyte
#: Side of the blank slide's picture; light changes slowly over a field.
_BLANK_SIDE_PX = 128
#: Faintest stain looked at: nuclei of the palest source (wbc-chula) have 0.09, an 8-bit step is 0.005.
_LEAST_CONTRAST = 0.05
#: ... and above the red cells' own spread, which colour fringes of a field out of focus widen.
_RED_CELL_SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What a look at a whole field at low resolution gives; it takes a fraction of the time of the rest.

    Attributes
    ----------
    against : channel whose density is taken from green's, see :func:`edge.segmentation.axis.stain_axis`
    survey : its scale and its red cells
    """

    against: Against
    survey: Survey


def segment(field: Field, look: FirstLook | None = None) -> Segmentation:
    """Find the white cells of a field.

    The whole field is looked at once, at low resolution: its scale, its red cells, and where something is
    stained. What surrounds that is cut out at the resolution that outlines need.

    Parameters
    ----------
    field : to be segmented; ``frame.um_per_px``, where given, is the scale, else ``frame.pooled`` has a word
    look : of :func:`first_look`, where somebody has taken it already

    Returns
    -------
    Segmentation

    Notes
    -----
    1. Survey: scale, red cells' colour and density, threshold of stain (:mod:`.survey`).
    2. Detection: the stain's surroundings, connected components of its neighbourhood, are packed onto a
       canvas at the resolution that outlines need (:mod:`.windows`).
    3. Nuclei: connected components of the stain, cut at their necks by a watershed of the distance transform
       (:mod:`.nuclei`, :mod:`.split`) and merged where they are lobes (:mod:`.join`).
    4. Cells: the Voronoi diagram of the nuclei within the cytoplasm (:mod:`.outline`).
    5. Verdict: which objects are white cells, smudges or neither (:mod:`.verdict`).
    """
    detection = _detect(field, look)
    if not len(detection.windows.regions):
        nothing = np.zeros((1, 1), np.uint16)
        return Segmentation((), detection.scale, field.background, nothing, nothing, detection.windows, ())
    planes = _canvas_planes(detection, field)
    nuclei, cells, count = _outline(planes, detection)
    measures = measure(planes, detection.survey.red_cell_red, nuclei, cells, count)
    kinds = judge(
        measures,
        nuclei,
        planes.um_per_px,
        scale_known=detection.scale.confidence > NUCLEI_SCALE_CONFIDENCE,
        # The densities of a washed-out picture are lower bounds: there, too, the dye's amount tells little.
        blue_red_cells=detection.survey.blue_red_cells or detection.against == "red",
        red_cell_total=detection.survey.red_cell_total,
        red_cell_spread=detection.survey.spread,
    )
    return assemble(
        detection.scale,
        field.background,
        detection.windows,
        nuclei,
        cells,
        kinds,
        border=measures.border,
        nucleus_px=np.rint(measures.nucleus_um2 / planes.um_per_px**2).astype(np.int64),
    )


def first_look(field: Field) -> FirstLook:
    """Look at a field once: the scale that it has by itself, its stain and its red cells."""
    return _first_look(field)[0]


@dataclass(frozen=True, slots=True)
class _Detection:
    """What is known of a field before its cells are looked at closely.

    Attributes
    ----------
    against : channel whose density is taken from green's, see :func:`edge.segmentation.axis.stain_axis`
    survey : the first look; its scale is not the field's where that is configured
    scale : of the input
    threshold : stain contrast of nuclei, see :func:`edge.segmentation.windows.nucleus_threshold`
    windows : surroundings of what is stained
    shrink : px of the input per px of the canvas
    roi : (h, w) bool on the canvas, see :class:`edge.segmentation.canvas.CanvasPlanes`
    isolated : (h, w) bool on the canvas, likewise
    """

    against: Against
    survey: Survey
    scale: Scale
    threshold: int
    windows: Windows
    shrink: float
    roi: NDArray[np.bool_]
    isolated: NDArray[np.bool_]


def _detect(field: Field, look: FirstLook | None) -> _Detection:
    """Find the scale and what is stained; the copies of the whole field that this takes end here."""
    stain = None
    if look is None:
        look, stain = _first_look(field)
    against, found, step = look.against, look.survey, _survey_step(field)
    scale = settle(found.scale, field.frame)
    if scale.um_per_px * step < _WORK_UM_PER_PX / _LEAST_SHRINK:
        step = _WORK_UM_PER_PX / scale.um_per_px
        stain = None
    if stain is None:
        stain = _reduced(field, step, against)
    um_per_px = scale.um_per_px * step
    smooth = stain.smoothed(um_per_px)
    opened = open_contrast(contrast_levels(smooth.contrast(found.ratio)), um_per_px)
    threshold = nucleus_threshold(opened, max(_LEAST_CONTRAST, _RED_CELL_SIGMAS * found.spread))
    groups, roi_labels = find_rois(opened, threshold, um_per_px)
    shrink = _canvas_shrink(
        scale.um_per_px, step**2 * float((groups[:, 2:] - groups[:, :2]).prod(axis=1).sum())
    )
    windows = pack_windows(groups, roi_labels.shape, field.image, shrink, scale.um_per_px)
    roi = windows.gather(roi_labels, 0, cv2.INTER_NEAREST) == windows.numbers
    foreground = above(to_levels(smooth.total), found.foreground_density * DENSITY_LEVELS)
    isolated = isolated_mask(as_mask(foreground), as_mask(opened > threshold), um_per_px, _LARGEST_CELL_UM2)
    isolated = windows.gather(isolated, 0, cv2.INTER_NEAREST)
    return _Detection(against, found, scale, threshold, windows, shrink, roi, isolated > 0)


def _first_look(field: Field) -> tuple[FirstLook, DensityPlanes]:
    """Take the first look, and give what it was taken at."""
    against, step = stain_axis(field.density, field.total), _survey_step(field)
    stain = _reduced(field, step, against)
    return FirstLook(against, survey(stain, step)), stain


def _survey_step(field: Field) -> float:
    """Px of the input per px of what the first look is taken at."""
    return _worthwhile(max(field.width, field.height) / SURVEY_SIDE_PX)


def _reduced(field: Field, step: float, against: Against) -> DensityPlanes:
    """Densities of the whole field, reduced by a step."""
    small = field.pyramid.reduced(step)
    blank = blank_planes(field.background, small.shape[1], small.shape[0], against)
    return density_planes(small, blank, against)


def _canvas_planes(detection: _Detection, field: Field) -> CanvasPlanes:
    """Lay what surrounds the stain side by side, at the resolution that outlines need."""
    windows = detection.windows
    um_per_px = detection.scale.um_per_px * detection.shrink
    blank = blank_planes(field.background, _BLANK_SIDE_PX, _BLANK_SIDE_PX, detection.against)
    canvas = windows.gather(field.pyramid.level(detection.shrink), 1)
    total, contrast, red, red_cell_coloured = stain_planes(
        canvas, windows.gather(blank, 0), detection.survey.ratio, um_per_px, detection.against
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
    parts, count = detection.windows.separate(parts, count)
    parts *= planes.in_frame  # what was repeated beyond the edge served to find and cut them
    voronoi, cell_mask = partition_cells(planes, parts, detection.survey.foreground_density)
    numbers, count = relabel_sequential(
        merge_parts(voronoi * cell_mask, parts, planes.contrast, count, planes.um_per_px)
    )
    voronoi = map_labels(voronoi, numbers)
    nuclei = refine_nuclei(planes, np.asarray(voronoi * (parts > 0), np.uint16), voronoi, cell_mask, count)
    return nuclei, smooth_cells(planes, voronoi, cell_mask, nuclei, count), count


def _worthwhile(shrink: float) -> float:
    """Give 1 for what is not worth shrinking by."""
    return shrink if shrink > _LEAST_SHRINK else 1.0


def _canvas_shrink(um_per_px: float, area_px: float) -> float:
    """Px of the frame per px of the canvas, for windows of so many px of the frame."""
    finest = _worthwhile(_WORK_UM_PER_PX / um_per_px)
    affordable = min(math.sqrt(area_px / _MOST_PX), _COARSEST_UM_PER_PX / um_per_px)
    return max(finest, affordable)
