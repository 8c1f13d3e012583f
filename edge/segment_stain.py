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
    """Area-averaged copy, ``shrink`` times smaller (1.0 or less: the image itself)."""
    if shrink <= 1.0:
        return image
    size = (max(1, round(image.shape[1] / shrink)), max(1, round(image.shape[0] / shrink)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def densities(small: UInt8Image, background: Background) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Total density R + G + B and difference G - B over the blank slide, by Beer and Lambert's law.

    Returns
    -------
    total, difference : (h, w) float32
    """
    h, w = small.shape[:2]
    mixing = np.array([[-1, -1, -1], [0, -1, 1]], np.float32)
    logs = cv2.LUT(small, _LOG)
    planes = np.asarray(cv2.transform(logs, mixing), dtype=np.float32)
    blank = cv2.transform(np.log10(background.grid), mixing)
    planes -= np.asarray(cv2.resize(blank, (w, h), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return planes[..., 0], planes[..., 1]


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


def filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mask with its holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    out = np.zeros_like(mask)
    cv2.drawContours(out, outlines, -1, (1,), cv2.FILLED)
    return out
