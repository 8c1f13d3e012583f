"""A first look at a field: its scale, and the colour of its red cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.density import FINE_LEVELS, DensityPlanes
from edge.segmentation.histogram import histogram, otsu, quantile
from edge.segmentation.isolated import isolated_white_cells
from edge.segmentation.labels import (
    Mask,
    above,
    as_mask,
    as_uint8,
    connected_components,
    elliptic_kernel,
    maximum_by_label,
)
from edge.segmentation.scale import measure_scale, white_cell_scale
from edge.segmentation.stain import (
    DENSITY_LEVELS,
    colour_ratios,
    foreground_threshold,
    measure_red_cell_ratio,
    red_cell_spread,
    to_levels,
)
from edge.structures import Scale

#: A red cell of the widest fields seen (230 µm across) is still 16 px wide at this size.
SURVEY_SIDE_PX = 500.0
#: Scales that fields are supported at.
SUPPORTED_UM_PER_PX = (0.05, 0.4)
#: Where a field has neither red cells nor nuclei nothing depends on the scale; the middle of 0.05 to 0.4.
_ASSUMED_UM_PER_PX = 0.2
#: Median nucleus over the single-cell data sets whose red cells give the scale (50 to 110 µm² by type).
_USUAL_NUCLEUS_UM2 = 75.0
#: Stain that covers this many of its largest inscribed circle is lobed or that of several nuclei.
_CLUSTER = 1.9
#: Circles smaller than this share of the largest are platelets' or lobes'.
_LEAST_OF_LARGEST = 0.3
_LEAST_COMPACT = 2
#: Smaller than a nucleus at the coarsest scale, px of the survey; 14 to 28 leave 95 real fields the same.
_LEAST_NUCLEUS_PX = 20.0
#: Pieces below this share of the largest nucleus are platelets and debris; 0.25 to 0.35 leave the 95 fields
#: the same, 0.18 moves one's scale by 15 %.
_LEAST_NUCLEUS_SHARE = 0.25
#: Lobes of one nucleus are closed over gaps of this share of the survey's longer side: 2 to 4 µm. 0.02 to
#: 0.03 leave the 95 fields the same; 0.04 ties nuclei of neighbours together in two.
_LOBE_GAP_SHARE = 0.03
#: Cytoplasm reaches some 5 µm from a nucleus of 9 µm: of the root of its area, counted from its edge.
#: Between 0.35 and 0.6 two of the 95 fields differ by a cell.
_CYTOPLASM_REACH = 0.45
#: Total density of the foreground where there is none to measure it of: 9 % less light in each channel.
_USUAL_FOREGROUND = 0.12
#: Foreground away from nuclei that covers less of the field than this says nothing about red cells; 0.005 to
#: 0.02 leave the 95 fields the same.
_LEAST_COVER = 0.01
#: Ratio of (G - B) to (R + G + B) density of red cells in a usual Romanowsky stain, -0.1 to 0.3 in all.
_USUAL_RATIO = 0.05
#: ... and where no cell has been told from another yet: the middle of that range. For both, 0.05 more or less
#: leaves the 95 fields the same.
_FIRST_RATIO = 0.1
#: What is bluer than red cells by this much of its density holds another dye; 0.05 to 0.1 leave the
#: 95 fields the same.
_RATIO_MARGIN = 0.07
#: Contrast is cut off here before its histogram is split: nuclei have 0.1 to 0.6. Between 0.5 and 0.75 the
#: cells of one of the 95 fields differ.
_CONTRAST_RANGE = 0.6
#: Otsu's threshold lies midway between red cells and nuclei; a nucleus begins below it. 0.6 and 0.8 give
#: other cells in three and one of the 95 fields, and other scales, by up to a factor 1.8.
_OTSU_SHARE = 0.7
_LEAST_CONTRAST = 0.05  # nuclei of the palest source have 0.09
#: Narrower stain is the colour fringe of a red cell, or a platelet: the narrowest nucleus, 2.5 µm, is 5 px
#: wide in the widest field. With 3 the scales of 54 fields of poor optics from one microscope spread by a
#: factor 1.3 about their median, with 5 or 7 by 1.16.
_NUCLEUS_WIDTH_PX = 5.0
#: Side of the square that stain is widened by before the rest of the foreground counts as red cells: the
#: rim of the stain's blur is no red cell. With 3 or 7 the cells of four or three of the 95 fields differ.
_RED_CELL_MARGIN_PX = 5
#: Confidence of a scale that the size of the nuclei alone gives.
NUCLEI_SCALE_CONFIDENCE = 0.1
#: Share of red in the red cells' density, 1/3 for grey; 0.09 to 0.38 in stains whose red cells are red.
_BLUER_THAN_GREY = 0.39


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look at the field gave.

    Attributes
    ----------
    scale : of the input
    ratio : red cells' (G - B) / (R + G + B) density
    foreground_density : total density above which a pixel is not blank slide
    red_cell_total : median total density of the red cells, infinite where there are none
    red_cell_red : median density of the red cells in the red channel
    spread : of the red cells' own stain contrast
    blue_red_cells : the red cells are bluer than grey
    """

    scale: Scale
    ratio: float
    foreground_density: float
    red_cell_total: float
    red_cell_red: float
    spread: float
    blue_red_cells: bool


def survey(stain: DensityPlanes, shrink: float) -> Survey:
    """Look at the whole field once.

    Parameters
    ----------
    stain : of the frame, reduced to about ``SURVEY_SIDE_PX``
    shrink : input px per px of it

    Returns
    -------
    Survey

    Notes
    -----
    By Beer and Lambert's law a dye's densities in two channels have a fixed ratio whatever its amount. The
    red cells' ratio of (G - B) to (R + G + B) is the mode of the foreground away from the nuclei, and what
    has more G - B than that ratio explains holds nuclear stain. The order is: stain with a first guess of the
    ratio, the usual nucleus, the foreground by Otsu's threshold, the ratio and the red cells' own densities,
    and then the scale, from the red cells' outlines, else from isolated white cells, else from the nuclei.
    """
    total, ratios = to_levels(stain.total), colour_ratios(stain)
    stained = _stained(stain, total, ratios)
    # Colour fringes of red cells out of focus are stained, too; with them their outlines would be gone.
    nuclei = as_uint8(cv2.morphologyEx(stained, cv2.MORPH_OPEN, elliptic_kernel(_NUCLEUS_WIDTH_PX)))
    nucleus_px = _nucleus_area(nuclei)
    to_nucleus_px = None
    if cv2.countNonZero(nuclei):
        to_nucleus_px = np.asarray(cv2.distanceTransform(1 - nuclei, cv2.DIST_L2, 3), np.float32)
    away_from_nuclei = _away_from(to_nucleus_px, nucleus_px, nuclei.shape)
    foreground_density = (
        foreground_threshold(total, away_from_nuclei) if away_from_nuclei.any() else _USUAL_FOREGROUND
    )
    foreground = above(total, foreground_density * DENSITY_LEVELS)
    ratio = measure_red_cell_ratio(ratios, total, foreground_density, away_from_nuclei)
    red_cells = _measure_red_cells(stain, total, foreground & away_from_nuclei, ratio)
    scale = _find_scale(as_mask(foreground), nuclei, to_nucleus_px, nucleus_px, shrink)
    return Survey(
        scale,
        red_cells.ratio,
        foreground_density,
        red_cells.total,
        red_cells.red,
        red_cells.spread,
        blue_red_cells=red_cells.red > _BLUER_THAN_GREY * red_cells.total,
    )


@dataclass(frozen=True, slots=True)
class _RedCells:
    """Median total and red density of the red cells, their ratio, and the spread of their contrast."""

    ratio: float
    total: float
    red: float
    spread: float


def _measure_red_cells(
    stain: DensityPlanes, total: Mask, foreground: NDArray[np.bool_], ratio: float | None
) -> _RedCells:
    if ratio is None or np.count_nonzero(foreground) < _LEAST_COVER * total.size:
        return _RedCells(_USUAL_RATIO, math.inf, 0.0, 0.0)
    spread = red_cell_spread(stain.contrast(ratio), foreground)
    coloured = foreground & (stain.contrast(ratio + _RATIO_MARGIN) < 0)
    if not coloured.any():
        return _RedCells(ratio, math.inf, 0.0, spread)
    total_density, red_density = (
        quantile(histogram(plane, coloured), 0.5) / DENSITY_LEVELS for plane in (total, to_levels(stain.red))
    )
    return _RedCells(ratio, total_density, red_density, spread)


def _away_from(
    to_nucleus_px: NDArray[np.float32] | None, nucleus_px: float | None, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Where no white cell can be: farther from every nucleus than cytoplasm reaches."""
    if to_nucleus_px is None or nucleus_px is None:
        return np.ones(shape, np.bool_)
    return np.asarray(to_nucleus_px > np.float32(_CYTOPLASM_REACH * math.sqrt(nucleus_px)), np.bool_)


def _find_scale(
    foreground: Mask,
    nuclei: Mask,
    to_nucleus_px: NDArray[np.float32] | None,
    nucleus_px: float | None,
    shrink: float,
) -> Scale:
    isolated = isolated_white_cells(foreground, nuclei)
    margin = np.ones((_RED_CELL_MARGIN_PX, _RED_CELL_MARGIN_PX), np.uint8)
    red_cells = foreground & as_mask(cv2.dilate(nuclei, margin) == 0)
    cv2.drawContours(red_cells, isolated, -1, (0,), cv2.FILLED)
    guess = None if nucleus_px is None else math.sqrt(_USUAL_NUCLEUS_UM2 / nucleus_px) / shrink
    scale = measure_scale(red_cells, to_nucleus_px, shrink, guess, _largest_radius_px(nuclei))
    if scale is not None:
        return scale
    whole = white_cell_scale(isolated, nuclei, shrink)
    guess = guess if whole is None else whole
    if guess is None:
        return Scale(_ASSUMED_UM_PER_PX, "assumed", 0.0)
    # A guess beyond what is supported is a smear or a speck that was taken for a nucleus.
    low, high = SUPPORTED_UM_PER_PX
    return Scale(min(max(guess, low), high), "assumed", NUCLEI_SCALE_CONFIDENCE)


def _stained(stain: DensityPlanes, total: Mask, ratios: Mask) -> Mask:
    """Mark what takes up more dye than the red cells seem to, before either is known well."""
    first = measure_red_cell_ratio(ratios, total, _USUAL_FOREGROUND)
    contrast = stain.contrast(_FIRST_RATIO if first is None else first)
    counts = histogram(to_levels(contrast, 255 / _CONTRAST_RANGE))
    threshold = max(_LEAST_CONTRAST, _OTSU_SHARE * _CONTRAST_RANGE * otsu(counts) / 255)
    return as_mask(contrast > threshold * FINE_LEVELS)


def _largest_radius_px(nuclei: Mask) -> float:
    """Radius in px of the largest circle in a mask; the image's edge bounds it, too."""
    framed = cv2.copyMakeBorder(nuclei, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    return float(cv2.minMaxLoc(cv2.distanceTransform(framed, cv2.DIST_L2, 3))[1])


def _nucleus_area(nuclei: Mask) -> float | None:
    """Usual area of a nucleus in px, its lobes taken together, or None where nothing is stained."""
    # At half size: a wide structuring element costs its area for every pixel.
    half = as_uint8(cv2.resize(nuclei, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST))
    near = as_uint8(
        cv2.morphologyEx(half, cv2.MORPH_CLOSE, elliptic_kernel(_LOBE_GAP_SHARE * max(half.shape)))
    )
    labels, stats = connected_components(near)
    areas: NDArray[np.float64] = 4.0 * np.bincount(labels[half > 0], minlength=len(stats))[1:]
    depth = np.asarray(cv2.distanceTransform(near, cv2.DIST_L2, 3), np.float32)
    radius = maximum_by_label(depth, labels, len(stats) - 1)
    discs = 4.0 * math.pi * radius[1:].astype(np.float64) ** 2
    # Nuclei of cells that touch run together. Where some lie alone, these say how large one is.
    compact = (areas <= _CLUSTER * discs) & (discs >= _LEAST_OF_LARGEST * discs.max(initial=0))
    if np.count_nonzero(compact) >= _LEAST_COMPACT:
        areas = areas[compact]
    areas = areas[areas > max(_LEAST_NUCLEUS_PX, _LEAST_NUCLEUS_SHARE * float(areas.max(initial=0)))]
    return float(np.median(areas)) if areas.size else None
