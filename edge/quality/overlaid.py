"""Tells colour that a program laid over a field, or kept in too few pixels, from a lamp's and a lens's."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.field import Field
from edge.light.median import median
from edge.light.sharpness import quantiles
from edge.structures import UInt8Image

#: Tiles that the slide is looked at in, and the share of each whose middle colour is its palest.
_ROWS, _COLUMNS, _PALEST = 6, 8, 0.1
#: Summed density up to which the palest of a tile is slide, and the fewest such tiles that say something.
_SLIDE, _LEAST_TILES = 0.12, 9
#: Spread of blue less green density over the slide, from the tenth to the ninetieth percentile of the tiles,
#: that is laid over it: up to 0.043 in 450 fields of six sources, whose lenses and lamps do what they
#: will; 0.057 and more in 46 of 48 of their fields under a heat map of a network.
MAX_PATCHY = 0.053
_SPREAD = (10, 90)
#: Px in the middle of the field that colour is compared with brightness in, and what is compared: means over
#: 3 px less means over 9, details 3 to 9 px wide.
_SIDE_PX, _FINE_PX, _COARSE_PX = 384, 3, 9
#: Share of the px that are edges: those of nuclei, which have colour in every stain. Where they are no higher
#: than so many levels, mean over 3 px less mean over 9, there is noise.
_EDGES, _LEAST_EDGE = 0.03, 2.5
#: Correlation of colour and brightness at edges below which colour is too coarse to follow: 0.27 and more in
#: 450 fields of six sources, the least in JPEGs that keep one px of it for four; below 0.22 in 19 of 48
#: of their fields whose colour was kept in blocks of 8 to 24 px, in few of 8.
MIN_FOLLOWING = 0.22


def is_patchy(field: Field) -> bool:
    """Whether the slide's own colour differs from place to place, as under a map that a program laid over it.

    The estimate of the slide (:mod:`edge.light.background`) follows a lamp and a lens, which change smoothly
    from one side to the other; what is left of the palest px is what they cannot do.

    Parameters
    ----------
    field : to be judged
    """
    height, width = (side // count for side, count in zip(field.total.shape, (_ROWS, _COLUMNS), strict=True))
    px = round(_PALEST * height * width)
    if not px:
        return False
    palest = np.argpartition(_tiles(field.total, height, width), px, axis=1)[:, :px]
    red, green, blue = (
        median(np.take_along_axis(_tiles(plane, height, width), palest, axis=1))
        for plane in cv2.split(field.density)
    )
    is_slide = red + green + blue < _SLIDE
    if np.count_nonzero(is_slide) < _LEAST_TILES:
        return False
    low, high = np.percentile((blue - green)[is_slide], _SPREAD).tolist()
    return float(high - low) > MAX_PATCHY


def _tiles(plane: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Tiles of so many px side by side, (tiles, px)."""
    used = plane[: _ROWS * height, : _COLUMNS * width].reshape(_ROWS, height, _COLUMNS, width)
    return np.ascontiguousarray(used.transpose(0, 2, 1, 3)).reshape(_ROWS * _COLUMNS, height * width)


def has_coarse_colour(image: UInt8Image) -> bool:
    """Whether colour does not follow brightness at edges, as in a coarse video: too few px are kept of it.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Notes
    -----
    A nucleus takes away more green light than red or blue, so that at its edge brightness and colour change
    together. A video or a JPEG keeps colour in fewer px than brightness; where it keeps one for 16 and more
    beside each other, colour changes where its px meet, wherever the edge is. Of the details that are a few
    px wide the correlation is taken, at the highest edges.
    """
    height, width = image.shape[:2]
    top, left = (max(0, (side - _SIDE_PX) // 2) for side in (height, width))
    middle = np.ascontiguousarray(image[top : top + _SIDE_PX, left : left + _SIDE_PX])
    light, *colours = cv2.split(cv2.cvtColor(middle, cv2.COLOR_RGB2YCrCb))
    edges = _details(light)
    high = np.abs(edges)
    least = quantiles(high, (1 - _EDGES,))[0]
    if least < _LEAST_EDGE:
        return False
    at = np.flatnonzero(high > least)
    brightness = edges.ravel()[at]
    following = []
    for plane in colours:
        colour = _details(plane).ravel()[at]
        power = float(brightness @ brightness) * float(colour @ colour)
        following.append(abs(float(brightness @ colour)) / power**0.5 if power else 0.0)
    return max(following) < MIN_FOLLOWING


def _details(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Give what is some px wide, without the border, which is blurred otherwise."""
    fine, coarse = (
        cv2.boxFilter(plane, cv2.CV_32F, (px, px), normalize=True) for px in (_FINE_PX, _COARSE_PX)
    )
    inner = np.s_[_COARSE_PX:-_COARSE_PX, _COARSE_PX:-_COARSE_PX]
    return np.ascontiguousarray(cv2.subtract(fine, coarse)[inner])
