"""Outlines of whole cells and of their nuclei against blank slide, red cells and neighbours."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.canvas import CanvasPlanes
from edge.segmentation.histogram import histogram, quantile
from edge.segmentation.labels import (
    Labels,
    Mask,
    RegionProperties,
    above,
    as_mask,
    as_uint8,
    elliptic_kernel,
    fill_holes,
    histograms_by_label,
    labels_at,
    map_labels,
    quantile_by_label,
    region_properties,
    unmeasured_components,
)
from edge.segmentation.stain import CONTRAST_LEVELS, DENSITY_LEVELS

#: The widest rim of cytoplasm around a nucleus that is looked for (monocytes, large granulocytes).
_REACH_UM = 5.0
#: Limits of the density of the palest cytoplasm: 0.04 is the noise of blank slide, 0.08 is 6 % less light.
_FAINT = (0.04, 0.08)
#: Blue contrast that blank slide never has: its noise is a third of the total density's.
_FAINT_BLUE = 0.02
#: The palest tenth of a nucleus's surroundings is blank slide. Its density is 0.0 to 0.015 where the light
#: is even, and up to 0.09 where it falls off more sharply than the surface that is fitted to it (wbc-chula).
_BLANK_QUANTILE = 0.1
_EVEN_BLANK, _UNEVEN_BLANK = 0.02, 0.1
#: Half the red cells' own density: thinner is a rim or a pale centre, or cytoplasm of a red cell's colour.
_RED_EDGE = 0.5
#: Two red cells on top of each other are twice as dense, and the densest tenth is 20 % above the median.
_RED_PILE = 2.4
#: Cytoplasm rarely reaches further from its nucleus; one reaching further is outvoted by the red cells.
_AWAY_UM = 3.5
#: Less than half a red cell beyond every white cell's reach is a scrap, not a sample of red cells.
_LEAST_RED_UM2 = 20.0
#: Half the maximum is where a blurred edge lies; less because cytoplasm thins out and chromatin's plateau
#: is uneven.
_CELL_EDGE_SHARE = 0.4
_NUCLEUS_EDGE_SHARE = 0.45
#: Blur of the optics and of the reduced image together.
_EDGE_WIDTH_UM = 1.0
#: A cell's rim counts up to this many times its median density; the rest is light lost to the nucleus.
_RIM_LIMIT = 1.5
_THREAD_UM = 1.6  # narrower than this is no cytoplasm
_LARGEST_HOLE_UM2 = 2.0
_LEAST_RIM_UM2 = 5.0  # fewer pixels say nothing about the cytoplasm's stain
#: A nucleus's plateau is the upper quartile of what is nearer to it than to its cytoplasm; which that is, its
#: upper sixth says first. 0.8 to 0.9 and 0.65 to 0.75 leave the cells of 95 real fields the same.
_DARK_QUANTILE = 0.85
_CORE_QUANTILE = 0.75
#: The palest cytoplasm is half as dense as what is just no blank slide.
_FAINT_SHARE = 0.5
#: Directions that a cell's outline is followed in, rounds of the fit of its oval, and what an outline outside
#: of it weighs there.
_DIRECTIONS, _OVAL_ROUNDS, _OUTSIDE_WEIGHT = 32, 6, 0.05
#: What reaches out of the oval by more is a neighbour; the blebs of annotated cells stay within ...
_OVAL_FACTOR, _OVAL_MARGIN_UM = 1.2, 1.0
#: ... but for ragged outlines, whose distance changes by a tenth from one direction to the next: 0.03 to 0.06
#: in the median of good sources, 0.1 where outlines follow the fringes of red cells around (wbc-chula).
_RAGGED, _RAGGED_MARGIN_UM = 0.1, 0.5
_DENSEST_LIMIT = 254  # a level above it exists


def partition_cells(
    planes: CanvasPlanes, parts: Labels, foreground_density: float
) -> tuple[Labels, NDArray[np.bool_]]:
    """Give each pixel of cytoplasm within reach to the nearest nucleus.

    Parameters
    ----------
    planes : of the field
    parts : (h, w) uint16 labels of nuclei, at least one
    foreground_density : total density above which a pixel is not blank slide

    Returns
    -------
    voronoi : (h, w) uint16, label of the nearest nucleus, whatever lies between
    cell_mask : (h, w) bool, cytoplasm within reach of its nucleus, and the nuclei

    Notes
    -----
    The Voronoi diagram of the nuclei comes with their distance transform. Of what is denser than blank slide
    or bluer than red cells, what has the red cells' colour and density is taken out; how dense they are, the
    median of what lies farther from every nucleus than cytoplasm reaches says.
    """
    inside = parts > 0
    distance, nearest = cv2.distanceTransformWithLabels(
        as_mask(~inside), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the pixels of the nuclei from 1, row by row.
    owner = np.concatenate([np.zeros(1, np.uint16), parts[inside]])
    voronoi = map_labels(np.asarray(nearest, np.int32), owner)
    within_reach = distance <= _REACH_UM / planes.um_per_px
    away = distance > _AWAY_UM / planes.um_per_px
    del distance, nearest, owner  # memory that what follows can do without
    faint = float(np.clip(_FAINT_SHARE * foreground_density, *_FAINT)) * DENSITY_LEVELS
    cell_mask = _above_blank(planes, voronoi, inside, faint)
    cell_mask |= above(planes.contrast, _FAINT_BLUE * CONTRAST_LEVELS)
    away &= planes.in_frame & ~planes.isolated
    sample = histogram(
        planes.total,
        away & planes.red_cell_coloured & above(planes.total, foreground_density * DENSITY_LEVELS),
    )
    if sample.sum() * planes.um_per_px**2 >= _LEAST_RED_UM2:
        usual = quantile(sample, 0.5)
        red_cells = planes.red_cell_coloured & above(planes.total, _RED_EDGE * usual)
        red_cells &= ~above(planes.total, math.ceil(_RED_PILE * usual) - 1)
        cell_mask &= ~red_cells | planes.isolated
    cell_mask &= within_reach
    cell_mask |= inside
    cell_mask &= planes.in_frame & planes.roi
    return voronoi, cell_mask


def _above_blank(
    planes: CanvasPlanes, voronoi: Labels, inside: NDArray[np.bool_], faint: float
) -> NDArray[np.bool_]:
    """Where the total density is so many levels above that of the blank slide around each nucleus."""
    around = planes.in_frame & planes.roi & ~inside
    if quantile(histogram(planes.total, around), _BLANK_QUANTILE) <= _EVEN_BLANK * DENSITY_LEVELS:
        return above(planes.total, faint)
    blank = quantile_by_label(
        histograms_by_label(voronoi, planes.total, around, int(voronoi.max())), _BLANK_QUANTILE
    )
    threshold = faint + np.clip(blank, 0.0, _UNEVEN_BLANK * DENSITY_LEVELS)
    return np.asarray(planes.total > map_labels(voronoi, threshold.astype(np.uint8)), np.bool_)


def refine_nuclei(
    planes: CanvasPlanes, parts: Labels, voronoi: Labels, cell_mask: NDArray[np.bool_], count: int
) -> Labels:
    """Draw each nucleus at half height between its own stain and that of its own cytoplasm.

    Parameters
    ----------
    planes : of the field
    parts : (h, w) uint16 labels of nuclei
    voronoi, cell_mask : of :func:`partition_cells`
    count : number of labels

    Returns
    -------
    (h, w) uint16 labels, same numbers

    Notes
    -----
    An edge blurred by the optics lies where the stain is midway between both sides: each nucleus has a
    threshold of its own, between the plateau of its stain and the median of its cytoplasm. An opening takes
    away threads; holes and islands smaller than a lobe are filled and dropped.
    """
    edge = elliptic_kernel(_EDGE_WIDTH_UM / planes.um_per_px)
    inside = parts > 0
    around = as_uint8(cv2.dilate(as_mask(inside), edge)).view(np.bool_)
    stain = histograms_by_label(parts, planes.contrast, inside, count)
    level = np.arange(256)
    inner = stain * (level > _NUCLEUS_EDGE_SHARE * quantile_by_label(stain, _DARK_QUANTILE)[:, None])
    core = quantile_by_label(inner, _CORE_QUANTILE)
    cytoplasm = histograms_by_label(voronoi, planes.contrast, cell_mask & ~around, count)
    enough = cytoplasm.sum(axis=1) * planes.um_per_px**2 > _LEAST_RIM_UM2
    pale = np.where(enough, quantile_by_label(cytoplasm, 0.5), 0)
    threshold = pale + _NUCLEUS_EDGE_SHARE * (core - pale)
    # A level is above the threshold where it is above its whole part.
    raw = as_mask(planes.contrast > map_labels(parts, threshold.astype(np.uint8)))
    raw &= as_mask(inside)
    opened = as_uint8(cv2.morphologyEx(raw, cv2.MORPH_OPEN, edge))
    left = labels_at(parts, opened.view(np.bool_), count)
    if not left[1:].all():
        opened |= raw & as_mask(map_labels(parts, ~left))
    _remove_small_holes_and_objects(opened, _LARGEST_HOLE_UM2 / planes.um_per_px**2)
    opened &= as_mask(planes.in_frame)
    return np.asarray(voronoi * opened, np.uint16)


def _remove_small_holes_and_objects(nuclei: Mask, least_px: float) -> None:
    """Fill holes and drop islands, in place, that are smaller than any lobe."""
    outlines, nesting = cv2.findContours(nuclei, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return
    is_hole = nesting[0, :, 3] >= 0
    areas = np.array([cv2.contourArea(outline) for outline in outlines])
    for value, chosen in ((1, is_hole), (0, ~is_hole)):
        small = np.flatnonzero(chosen & (areas < least_px)).tolist()
        if small:
            cv2.drawContours(nuclei, [outlines[i] for i in small], -1, (value,), cv2.FILLED)


def smooth_cells(
    planes: CanvasPlanes, voronoi: Labels, cell_mask: NDArray[np.bool_], nuclei: Labels, count: int
) -> Labels:
    """Whole cells: what hangs together with the nucleus, without threads, with holes filled.

    Parameters
    ----------
    planes : of the field
    voronoi, cell_mask : of :func:`partition_cells`
    nuclei : (h, w) uint16, see :func:`refine_nuclei`
    count : number of labels

    Returns
    -------
    (h, w) uint16 labels, same numbers

    Notes
    -----
    The outline lies where the density falls below a share of the greatest within the blur's width (a
    dilation), which is no more than a rim of cytoplasm has. The connected components that hold a nucleus are
    the cells, opened, with their holes filled. All cells are done at once: lines of one px along the Voronoi
    diagram part those that touch.
    """
    cells = _whole_cells(planes, voronoi, cell_mask, nuclei, count)
    _trim_to_ovals(cells, nuclei, count, planes.um_per_px)
    return cells


def _whole_cells(
    planes: CanvasPlanes, voronoi: Labels, cell_mask: NDArray[np.bool_], nuclei: Labels, count: int
) -> Labels:
    """Whole cells before their ovals are asked, see :func:`smooth_cells`.

    A step of its own, so that its dozen masks of a crowded field are let go before the next.
    """
    thread, edge = (elliptic_kernel(width_um / planes.um_per_px) for width_um in (_THREAD_UM, _EDGE_WIDTH_UM))
    nucleus = nuclei > 0
    histograms = histograms_by_label(voronoi, planes.total, cell_mask & ~nucleus, count)
    limit = np.minimum(_RIM_LIMIT * quantile_by_label(histograms, 0.5), _DENSEST_LIMIT).astype(np.uint8)
    limit[histograms.sum(axis=1) == 0] = 0
    own = cell_mask & (
        cv2.convertScaleAbs(planes.total, alpha=1 / _CELL_EDGE_SHARE)
        > cv2.min(cv2.dilate(planes.total, edge), map_labels(voronoi, limit))
    )
    own |= nucleus
    # A line of one px parts cells that touch, so that what follows needs no loop over them.
    boundary_free = np.ones(own.shape, np.bool_)
    boundary_free[:, 1:] = voronoi[:, 1:] == voronoi[:, :-1]
    boundary_free[1:] &= voronoi[1:] == voronoi[:-1]
    boundary_free[1:, 1:] &= voronoi[1:, 1:] == voronoi[:-1, :-1]
    boundary_free[1:, :-1] &= voronoi[1:, :-1] == voronoi[:-1, 1:]
    seeds = nucleus & boundary_free
    own &= boundary_free
    del boundary_free
    whole = as_uint8(cv2.morphologyEx(fill_holes(as_mask(own)), cv2.MORPH_OPEN, thread))
    del own
    whole |= as_mask(seeds)
    components, number = unmeasured_components(whole, connectivity=4)
    has_nucleus = np.zeros(number, np.uint8)
    # Each run of a seed in a row lies in one component: its first px says which.
    seeds[:, 1:] &= ~seeds[:, :-1]
    has_nucleus[components[seeds]] = 1
    del seeds
    has_nucleus[0] = 0
    whole = fill_holes(map_labels(components, has_nucleus)) | as_mask(nucleus)
    whole &= as_mask(planes.in_frame)
    return np.asarray(voronoi * whole, np.uint16)


def _trim_to_ovals(cells: Labels, nuclei: Labels, count: int, um_per_px: float) -> None:
    """Cut off, in place, what reaches far out of the oval that most of a cell's outline follows.

    Notes
    -----
    The outline's distance from the nucleus's centroid as a function of direction is fitted with its first two
    harmonics, a circle off its centre and its elongation, by iteratively reweighted least squares in which
    what lies outside the fit weighs little: neighbours and fringes only ever widen an outline.
    """
    shapes = region_properties(nuclei, count)
    around = np.ones((3, 3), np.uint8)
    # In a flat array NumPy finds them in a third of the time.
    at = np.flatnonzero((cells > 0) & (cv2.erode(cells, around) != cv2.dilate(cells, around)))
    label = cells.ravel()[at]
    ys, xs = np.divmod(at, cells.shape[1])
    radius, direction = _polar(xs, ys, shapes, label)
    extent = np.zeros((count + 1, _DIRECTIONS))
    # With one index for both NumPy takes a tenth of the time.
    np.maximum.at(extent.reshape(-1), label.astype(np.intp) * _DIRECTIONS + direction, radius)
    steps = np.abs(extent - np.roll(extent, 1, axis=1)).mean(axis=1)
    ragged = steps > _RAGGED * extent.mean(axis=1)
    factor, margin_um = np.where(
        ragged, ((1.0,), (_RAGGED_MARGIN_UM,)), ((_OVAL_FACTOR,), (_OVAL_MARGIN_UM,))
    )
    limit = _oval(extent) * factor[:, None] + margin_um[:, None] / um_per_px
    bboxes = region_properties(cells, count).bbox
    for i in np.unique(label[radius > limit[label, direction]]).tolist():
        x0, y0, x1, y1 = bboxes[i]
        window = cells[y0 : y1 + 1, x0 : x1 + 1]
        ys, xs = np.nonzero((window == i) & (nuclei[y0 : y1 + 1, x0 : x1 + 1] != i))
        radius, direction = _polar(xs + x0, ys + y0, shapes, np.full(len(xs), i))
        beyond = radius > limit[i, direction]
        window[ys[beyond], xs[beyond]] = 0


def _polar(
    xs: NDArray[np.intp], ys: NDArray[np.intp], shapes: RegionProperties, label: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distance of px from their label's centroid, and the number of the direction that they lie in."""
    right, down = xs - shapes.x[label], ys - shapes.y[label]
    direction = np.floor(np.arctan2(down, right) * (_DIRECTIONS / (2 * np.pi))).astype(np.intp) % _DIRECTIONS
    return np.hypot(right, down), direction


def _oval(extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit each row, distances by direction, see :func:`_trim_to_ovals`."""
    angle = (np.arange(_DIRECTIONS) + 0.5) * (2 * np.pi / _DIRECTIONS)
    terms = np.stack([np.ones_like(angle), *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))], axis=1)
    weights = np.ones_like(extent)
    fitted = extent
    for _ in range(_OVAL_ROUNDS):
        weighted = weights[:, :, None] * terms
        solution = np.linalg.solve(
            weighted.transpose(0, 2, 1) @ terms, weighted.transpose(0, 2, 1) @ extent[:, :, None]
        )
        fitted = (terms @ solution)[:, :, 0]
        before, weights = weights, np.where(extent > fitted, _OUTSIDE_WEIGHT, 1.0)
        if np.array_equal(weights, before):
            break  # and so would every further fit be
    return fitted
