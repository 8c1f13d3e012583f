"""The optical density of what lies on the slide: how many powers of ten of the light it takes away.

Two forms of one law. :func:`optical_density` is in float, for whatever is looked at on few pixels.
:func:`density_planes` is in integers, for whole fields: what comes in has 8 bits a channel, and a histogram
of bytes gives a median or a threshold without sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import Background, UInt8Image

DensityImage = NDArray[np.int16]
#: Channel whose density is taken from green's: nuclei take away more green light than either.
Against = Literal["blue", "red"]

#: Levels to one density unit in :class:`DensityPlanes`; three channels of 2.4 stay below 2^15.
FINE_LEVELS = 3200.0
#: Pixels finer than this carry noise and no detail: a third of the blur's width of 1 µm.
_FINE_UM_PER_PX = 0.35
#: Ten planes of 16 bits and this many pixels fit into half a megabyte.
_STRIP_PX = 2**15


def density_of_levels(blank: float = 1.0, darkest: int = 1) -> NDArray[np.float32]:
    """Optical density of each level that a camera gives, by Beer and Lambert's law [1]_.

    The density A = log10(I0 / I) of a stain is proportional to its amount, and densities of layers add up.

    Parameters
    ----------
    blank : I0, the level of the blank slide; with 1 what is left to add is the logarithm of the blank slide
    darkest : level that darker ones count as; 1 keeps the logarithm finite

    Returns
    -------
    (256,) float32 without a unit, negative for levels above the blank slide's

    References
    ----------
    .. [1] A. C. Ruifrok, D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23, 2001.

    Examples
    --------
    >>> density_of_levels(blank=200)[[2, 20, 200]].round(6).tolist()
    [2.0, 1.0, 0.0]
    """
    levels = np.maximum(np.arange(256, dtype=np.float32), np.float32(darkest))
    return np.asarray(np.log10(np.float32(blank) / levels), np.float32)


_OVER_LEVEL_ONE = density_of_levels()
_FINE_OVER_LEVEL_ONE = np.rint(FINE_LEVELS * _OVER_LEVEL_ONE).astype(np.int16)
#: Sum of R, G and B, what is left of G, and R.
_MIXING = {
    "blue": np.array([[1, 1, 1], [0, 1, -1], [1, 0, 0]], np.float32),
    "red": np.array([[1, 1, 1], [-1, 1, 0], [1, 0, 0]], np.float32),
}


def optical_density(image: UInt8Image, background: Background) -> NDArray[np.float32]:
    """Optical density of each channel over the blank slide, see :func:`density_of_levels`.

    Parameters
    ----------
    image : (h, w, 3) uint8 RGB, the field or a reduced copy of it
    background : of the field

    Returns
    -------
    (h, w, 3) float32
    """
    height, width = image.shape[:2]
    blank = cv2.resize(np.log10(background.grid), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(blank, cv2.LUT(image, _OVER_LEVEL_ONE)), np.float32)


@dataclass(frozen=True, slots=True)
class DensityPlanes:
    """Optical densities of an image as segmentation needs them, each (h, w).

    Attributes
    ----------
    total : R + G + B optical density, int16, ``FINE_LEVELS`` levels a unit
    difference : G - B or, where red cells have little blue density, G - R, as total
    red : R, as total
    """

    total: DensityImage
    difference: DensityImage
    red: DensityImage

    def smoothed(self, um_per_px: float) -> DensityPlanes:
        """Total and difference averaged over 3 x 3 px, where a pixel is finer than the optics' blur."""
        if um_per_px >= _FINE_UM_PER_PX:
            return self
        total, difference = (cv2.blur(plane, (3, 3)) for plane in (self.total, self.difference))
        return DensityPlanes(np.asarray(total, np.int16), np.asarray(difference, np.int16), self.red)

    def contrast(self, ratio: float) -> DensityImage:
        """Stain contrast: the difference less what a red cell of the same total density has."""
        return np.asarray(cv2.addWeighted(self.difference, 1.0, self.total, -ratio, 0.0), dtype=np.int16)


def blank_planes(background: Background, width: int, height: int, against: Against = "blue") -> DensityImage:
    """Logarithm of the blank slide's light: sum of R, G and B, what is left of G, and R.

    Returns
    -------
    (height, width, 3) int16, ``FINE_LEVELS`` levels a unit
    """
    grid = np.rint(cv2.transform(np.log10(background.grid), FINE_LEVELS * _MIXING[against])).astype(np.int16)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR), np.int16)


def density_planes(image: UInt8Image, blank: DensityImage, against: Against = "blue") -> DensityPlanes:
    """Optical densities over the blank slide, see :func:`density_of_levels`.

    Parameters
    ----------
    image : (h, w, 3) uint8 RGB
    blank : (h, w, 3), of :func:`blank_planes`
    against : channel whose density is taken from green's, as for ``blank``

    Returns
    -------
    DensityPlanes
    """
    total, difference, red_density = np.empty((3, *image.shape[:2]), np.int16)
    for rows in strips(*image.shape[:2]):
        # Plane by plane: OpenCV adds contiguous planes ten times as fast as it mixes channels.
        red, green, blue = (cv2.LUT(plane, _FINE_OVER_LEVEL_ONE) for plane in cv2.split(image[rows]))
        blank_total, blank_difference, blank_red = cv2.split(blank[rows])
        cv2.add(blank_total, cv2.add(cv2.add(red, green), blue), dst=total[rows])
        cv2.add(
            blank_difference, cv2.subtract(green, blue if against == "blue" else red), dst=difference[rows]
        )
        cv2.add(blank_red, red, dst=red_density[rows])
    return DensityPlanes(total, difference, red_density)


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of an image in groups whose intermediate planes stay in the processor's cache."""
    rows = max(1, _STRIP_PX // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))
