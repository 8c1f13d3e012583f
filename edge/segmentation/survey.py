"""A first look at a field: its scale, and the colour of its red cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import Mask, as_mask, as_uint8, elliptic_kernel, maximum_by_label
from edge.segmentation.scale import isolated_white_cells, measure_scale, white_cell_scale
from edge.segmentation.stain import (
    DENSITY_LEVELS,
    FINE_LEVELS,
    StainDensities,
    colour_ratios,
    foreground_threshold,
    histogram,
    measure_red_cell_ratio,
    otsu,
    quantile,
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
#: Density below this share of the red cells' own is too thin for a red cell, whatever its colour.
_RED_EDGE = 0.4
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
    red_cell_red : median density of the red cells in the red channel
    spread : of the red cells' own stain contrast
    blue_red_cells : the red cells are bluer than grey
    """

    scale: Scale
    ratio: float
    foreground_density: float
    red_cell_red: float
    spread: float
    blue_red_cells: bool


def survey(stain: StainDensities, shrink: float) -> Survey:
    """Look at the whole field once.

    Parameters
    ----------
    stain : of the frame, reduced to about ``SURVEY_SIDE_PX``
    shrink : input px per px of it

    Returns
    -------
    Survey
    """
    total, ratios = to_levels(stain.total), colour_ratios(stain)
    stained = _stained(stain, total, ratios)
    nuclei = np.asarray(cv2.morphologyEx(stained, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    area = _nucleus_area(nuclei)
    guess: float | None = None
    away_from_nuclei = np.ones(total.shape, np.bool_)
    if area is not None:
        guess = math.sqrt(_USUAL_NUCLEUS_UM2 / area) / shrink
        # Cytoplasm reaches some 5 µm from a nucleus of 9 µm; what lies beyond is no white cell.
        away_from_nuclei = cv2.distanceTransform(1 - nuclei, cv2.DIST_L2, 3) > 0.45 * math.sqrt(area)
    foreground_density = foreground_threshold(total, away_from_nuclei) if away_from_nuclei.any() else 0.12
    dense = total > foreground_density * DENSITY_LEVELS
    thick = dense & away_from_nuclei
    ratio = measure_red_cell_ratio(ratios, total, foreground_density, away_from_nuclei)
    red_total, red_cell_red, spread = math.inf, 0.0, 0.0
    if ratio is None or np.count_nonzero(thick) < 0.01 * total.size:
        ratio = 0.05
    else:
        colour = thick & (stain.contrast(ratio + 0.07) < 0)
        if colour.any():
            red_total = _RED_EDGE * quantile(histogram(total, colour), 0.5) / DENSITY_LEVELS
            red_cell_red = quantile(histogram(to_levels(stain.red), colour), 0.5) / DENSITY_LEVELS
        spread = red_cell_spread(stain.contrast(ratio), thick)
    foreground = as_mask(dense)
    isolated = isolated_white_cells(foreground, nuclei)
    red = foreground & as_mask(cv2.dilate(stained, np.ones((5, 5), np.uint8)) == 0)
    cv2.drawContours(red, isolated, -1, (0,), cv2.FILLED)
    scale = measure_scale(red, stained, shrink, guess, _largest_radius_px(nuclei))
    if scale is None:
        whole = white_cell_scale(isolated, nuclei, shrink)
        guess = guess if whole is None else whole
        scale = Scale(_ASSUMED_UM_PER_PX, "assumed", 0.0)
        if guess is not None:
            # A guess beyond what is supported is a smear or a speck that was taken for a nucleus.
            low, high = SUPPORTED_UM_PER_PX
            scale = Scale(min(max(guess, low), high), "assumed", 0.1)
    blue = red_cell_red > _BLUER_THAN_GREY * red_total / _RED_EDGE
    return Survey(scale, ratio, foreground_density, red_cell_red, spread, blue)


def _stained(stain: StainDensities, total: Mask, ratios: Mask) -> Mask:
    """Mark what takes up more dye than the red cells seem to, before either is known well."""
    first = measure_red_cell_ratio(ratios, total, 0.12)
    contrast = stain.contrast(0.1 if first is None else first)
    counts = histogram(to_levels(contrast, 255 / 0.6))
    threshold = max(0.05, 0.7 * 0.6 * otsu(counts) / 255)
    return as_mask(contrast > threshold * FINE_LEVELS)


def _largest_radius_px(nuclei: Mask) -> float:
    """Radius in px of the largest circle in a mask; the image's edge bounds it, too."""
    framed = cv2.copyMakeBorder(nuclei, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    return float(cv2.minMaxLoc(cv2.distanceTransform(framed, cv2.DIST_L2, 3))[1])


def _nucleus_area(nuclei: Mask) -> float | None:
    """Usual area of a nucleus in px, its lobes taken together, or None where nothing is stained."""
    # At half size: a wide structuring element costs its area for every pixel.
    half = as_uint8(cv2.resize(nuclei, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST))
    near = as_uint8(cv2.morphologyEx(half, cv2.MORPH_CLOSE, elliptic_kernel(0.03 * max(half.shape))))
    count, labels = cv2.connectedComponents(near, ltype=cv2.CV_16U)
    areas: NDArray[np.float64] = 4.0 * np.bincount(np.asarray(labels)[half > 0], minlength=count)[1:]
    depth = np.asarray(cv2.distanceTransform(near, cv2.DIST_L2, 3), np.float32)
    radius = maximum_by_label(depth, np.asarray(labels, np.uint16), count - 1)
    discs = 4.0 * math.pi * radius[1:].astype(np.float64) ** 2
    # Nuclei of cells that touch run together. Where some lie alone, these say how large one is.
    compact = (areas <= _CLUSTER * discs) & (discs >= _LEAST_OF_LARGEST * discs.max(initial=0))
    if np.count_nonzero(compact) >= _LEAST_COMPACT:
        areas = areas[compact]
    areas = areas[areas > max(20.0, 0.25 * float(areas.max(initial=0)))]
    return float(np.median(areas)) if areas.size else None
