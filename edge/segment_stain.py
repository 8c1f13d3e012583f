"""Optical density of a reduced frame, and the stain contrast that tells white cells from red ones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import Background, UInt8Image

_LOG = np.log10(np.maximum(np.arange(256, dtype=np.float32), 1.0))
#: Least summed density of three channels that is not blank slide: 0.12 is 9 % less light in each.
_FOREGROUND_FLOOR = 0.06
#: Red cells' (G - B) / (R + G + B) is -0.1 to 0.3 in every stain looked at, that of nuclei 0.3 to 0.8.
_RATIO_LIMITS = (-0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Stain:
    """Density planes of a reduced frame.

    Attributes
    ----------
    total : (h, w) float32, R + G + B optical density
    contrast : (h, w) float32, G - B density less what a red cell of the same total density has
    """

    total: NDArray[np.float32]
    contrast: NDArray[np.float32]


def shrunk(image: UInt8Image, shrink: float) -> UInt8Image:
    """Averaged copy, ``shrink`` times smaller (1.0 or less: the image itself).

    Halved by averaging as often as it goes, which takes a tenth of the time of averaging over fractions of
    pixels; what is left, less than a factor of two, loses nothing to interpolation.
    """
    if shrink <= 1.0:
        return image
    size = (max(1, round(image.shape[1] / shrink)), max(1, round(image.shape[0] / shrink)))
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        h, w = image.shape[0] // 2, image.shape[1] // 2
        halved = cv2.resize(image[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
        image = np.asarray(halved, dtype=np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def densities(
    small: UInt8Image, background: Background
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Total density R + G + B, difference G - B and R over the blank slide, by Beer and Lambert's law.

    Returns
    -------
    total, difference, red : (h, w) float32
    """
    h, w = small.shape[:2]
    # Plane by plane: OpenCV adds contiguous planes ten times as fast as it mixes channels.
    red, green, blue = (cv2.LUT(plane, _LOG) for plane in cv2.split(small))
    mixing = np.array([[1, 1, 1], [0, 1, -1], [1, 0, 0]], np.float32)
    grids = cv2.split(cv2.transform(np.log10(background.grid), mixing))
    blank = [cv2.resize(grid, (w, h), interpolation=cv2.INTER_LINEAR) for grid in grids]
    total = cv2.subtract(blank[0], cv2.add(cv2.add(red, green), blue))
    difference = cv2.subtract(blank[1], cv2.subtract(green, blue))
    red = cv2.subtract(blank[2], red)
    planes = (np.asarray(plane, dtype=np.float32) for plane in (total, difference, red))
    total, difference, red = planes
    return total, difference, red


def otsu(values: NDArray[np.float32], low: float, high: float) -> float:
    """Otsu's threshold of values clipped to low..high."""
    level = np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8).reshape(-1, 1)
    threshold, _ = cv2.threshold(level, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + threshold * (high - low) / 255


def foreground_threshold(total: NDArray[np.float32]) -> float:
    """Total density above which a pixel is not blank slide."""
    return float(np.clip(otsu(total, 0.0, 0.5), _FOREGROUND_FLOOR, 0.2))


def red_cell_ratio(
    total: NDArray[np.float32], difference: NDArray[np.float32], opaque: float
) -> float | None:
    """Red cells' own (G - B) / (R + G + B): constant over thick and thin cells by Beer and Lambert's law.

    Parameters
    ----------
    total, difference : densities of pixels, of any shape
    opaque : total density above which a pixel is not blank slide

    Returns
    -------
    the ratio, or None where too few pixels have a red cell's colour
    """
    solid = total > max(opaque, 0.09)
    ratio = difference[solid] / total[solid]
    if ratio.size < 50:
        return None
    low = ratio[ratio < min(otsu(ratio, -0.2, 0.9), 0.42)]
    if low.size < 0.1 * ratio.size:
        return None
    return float(np.clip(np.median(low), *_RATIO_LIMITS))


def red_cell_spread(contrast: NDArray[np.float32]) -> float:
    """Spread of the red cells' own stain contrast: robust sigma of what lies below their median.

    White cells, platelets and precipitate lie above it, colour fringes of a field out of focus on both
    sides.

    Examples
    --------
    >>> round(red_cell_spread(np.array([-0.02, -0.01, 0.0, 0.01, 0.5], np.float32)), 3)
    0.022
    """
    middle = np.median(contrast)
    below = middle - contrast[contrast < middle]
    # 1.4826: sigma over median absolute deviation of a normal distribution.
    return 1.4826 * float(np.median(below)) if below.size else 0.0


def filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mask with its holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    out = np.zeros_like(mask)
    cv2.drawContours(out, outlines, -1, (1,), cv2.FILLED)
    return out
