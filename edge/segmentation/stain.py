"""Levels and thresholds of optical density, and the stain contrast that tells white cells from red ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.density import FINE_LEVELS, DensityImage, DensityPlanes
from edge.segmentation.histogram import histogram, otsu, quantile
from edge.segmentation.labels import Mask, above

#: Levels to one density unit in the bytes of total and red density: 0.005 a level, 1.275 at most.
DENSITY_LEVELS = 200.0
#: ... and in the bytes of stain contrast. Beyond 0.7 (a fifth of the light) an 8-bit camera's black level
#: and flare decide, not the stain.
CONTRAST_LEVELS = 360.0
_DARKEST = 0.7
#: Summed density of three channels above which a px is not blank slide: 0.06 is 5 % less light in each, 0.2
#: is 14 %. Four of 95 real fields have other cells with an upper limit of 0.17 or 0.25, none with a lower one
#: of 0.05.
_FOREGROUND_LIMITS = (0.06, 0.2)
#: What is denser than this counts as that dense for the foreground: nuclei must not draw the threshold up.
#: With 0.65 no cell of the 95 fields differs, with 0.4 those of two do.
_DENSEST_FOR_FOREGROUND = 0.5
#: Red cells' (G - B) / (R + G + B) is -0.1 to 0.3 in every stain looked at, that of nuclei 0.3 to 0.8.
_RATIO_LIMITS = (-0.1, 0.3)
#: Cytoplasm is bluer than red cells of the same density by this share of it (red cells' 90th percentile).
_BLUER = 0.06
_NOISE = 0.006  # of stain contrast: one level of an 8-bit image
#: Range that ratios are held in as bytes.
_RATIO_RANGE = (-0.2, 0.9)
#: Thinner than this the ratio is noise, and fewer px say nothing about red cells; 0.07 to 0.12 and 30 to 100
#: leave the 95 fields the same.
_LEAST_SOLID = 0.09
_LEAST_SOLID_PX = 50
#: No red cell's ratio, whatever the threshold between red cells and nuclei says; 0.42 to 0.48 leave the 95
#: fields the same, 0.38 gives one other cells.
_NO_RED_CELL_RATIO = 0.42
#: Less of the foreground than this is no sample of red cells; 0.05 to 0.15 leave the 95 fields the same.
_LEAST_RED_SHARE = 0.1
#: Levels to a unit of contrast for its spread: 0.00125 a level, from -0.16 to 0.16.
_SPREAD_LEVELS = 800.0
MAD_TO_SIGMA = 1.4826  # sigma over median absolute deviation of a normal distribution


def to_levels(fine: DensityImage, levels: float = DENSITY_LEVELS, most: float = 255.0) -> Mask:
    """Fine levels as bytes: so many to one density unit, negative ones 0."""
    _, positive = cv2.threshold(fine, 0, 0, cv2.THRESH_TOZERO)
    shades = cv2.convertScaleAbs(positive, alpha=levels / FINE_LEVELS)
    if most < 255:
        _, shades = cv2.threshold(shades, int(most), 0, cv2.THRESH_TRUNC)
    return np.asarray(shades, dtype=np.uint8)


def contrast_levels(contrast: DensityImage) -> Mask:
    """Stain contrast as bytes, ``CONTRAST_LEVELS`` to one density unit."""
    return to_levels(contrast, CONTRAST_LEVELS, _DARKEST * CONTRAST_LEVELS)


def red_cell_coloured(stain: DensityPlanes, ratio: float) -> NDArray[np.bool_]:
    """Where nothing is bluer than red cells of the same density."""
    return np.asarray(stain.contrast(ratio + _BLUER) <= _NOISE * FINE_LEVELS)


def foreground_threshold(total: Mask, mask: NDArray[np.bool_] | None = None) -> float:
    """Total density above which a pixel is not blank slide."""
    counts = histogram(total, mask)
    most = round(_DENSEST_FOR_FOREGROUND * DENSITY_LEVELS)
    counts[most] += counts[most + 1 :].sum()
    return float(np.clip(otsu(counts[: most + 1]) / DENSITY_LEVELS, *_FOREGROUND_LIMITS))


def colour_ratios(stain: DensityPlanes) -> Mask:
    """(G - B) / (R + G + B) density of each pixel in bytes, for :func:`measure_red_cell_ratio`."""
    low, high = _RATIO_RANGE
    unit = 255.0 / (high - low)
    total = np.maximum(stain.total.astype(np.float32), 1.0)
    ratios = cv2.divide(stain.difference.astype(np.float32), total, scale=unit)
    return np.asarray(
        cv2.convertScaleAbs(np.maximum(ratios, np.float32(low * unit)), beta=-low * unit), dtype=np.uint8
    )


def measure_red_cell_ratio(
    ratios: Mask, total: Mask, foreground_density: float, mask: NDArray[np.bool_] | None = None
) -> float | None:
    """Red cells' own (G - B) / (R + G + B): constant over thick and thin cells by Beer and Lambert's law.

    Parameters
    ----------
    ratios : of :func:`colour_ratios`
    total : total density in bytes
    foreground_density : total density above which a pixel is not blank slide
    mask : pixels to look at

    Returns
    -------
    the ratio, or None where too few pixels have a red cell's colour
    """
    solid = above(total, max(foreground_density, _LEAST_SOLID) * DENSITY_LEVELS)
    if mask is not None:
        solid &= mask
    counts = histogram(ratios, solid)
    pixels = counts.sum()
    if pixels < _LEAST_SOLID_PX:
        return None
    low, high = _RATIO_RANGE
    unit = 255.0 / (high - low)
    counts[min(otsu(counts), int((_NO_RED_CELL_RATIO - low) * unit)) :] = 0
    if counts.sum() < _LEAST_RED_SHARE * pixels:
        return None
    return float(np.clip(quantile(counts, 0.5) / unit + low, *_RATIO_LIMITS))


def red_cell_spread(contrast: DensityImage, mask: NDArray[np.bool_]) -> float:
    """Spread of the red cells' own stain contrast: robust sigma of what lies below their median.

    White cells, platelets and precipitate lie above it, colour fringes of a field out of focus on both
    sides.

    Parameters
    ----------
    contrast : stain contrast
    mask : where it is not blank slide

    Examples
    --------
    >>> values = np.linspace(-0.1, 0.1, 9999)[None] * FINE_LEVELS
    >>> spread = red_cell_spread(values.astype(np.int16), np.ones((1, 9999), np.bool_))
    >>> abs(spread - 1.4826 * 0.05) < 0.002
    True
    """
    unit = _SPREAD_LEVELS / FINE_LEVELS
    shifted = np.maximum(contrast, round(-128.0 / unit))
    counts = histogram(np.asarray(cv2.convertScaleAbs(shifted, alpha=unit, beta=128.0), np.uint8), mask)
    if not counts.any():
        return 0.0
    middle = quantile(counts, 0.5)
    counts[int(np.ceil(middle)) :] = 0
    if not counts.any():
        return 0.0
    return MAD_TO_SIGMA * (middle - quantile(counts, 0.5)) / _SPREAD_LEVELS
