"""What single cells are looked at in: the canvas with its densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import Mask
from edge.segmentation.stain import Fine, contrast_levels, densities, levels_of, like_red, strips
from edge.structures import UInt8Image


@dataclass(frozen=True, slots=True)
class View:
    """The windows of a field side by side, see :class:`edge.segmentation.windows.Windows`; all (h, w).

    Attributes
    ----------
    total : uint8 R + G + B density, ``COARSE`` levels a unit
    levels : uint8 stain contrast, ``LEVELS`` levels a unit
    red : int16 density in the red channel, ``FINE`` levels a unit
    like_red : bool, no bluer than red cells of the same density
    in_frame : bool, False where the frame's edge is repeated
    edge : bool, the outermost px of the frame
    zone : bool, the windows' own surroundings, see :func:`edge.segmentation.windows.find_groups`
    alone : bool, cells that nothing touches
    um_per_px : of the canvas
    """

    total: Mask
    levels: Mask
    red: Fine
    like_red: NDArray[np.bool_]
    in_frame: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    zone: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    um_per_px: float


def stain_planes(
    canvas: UInt8Image, blank: Fine, ratio: float, um_per_px: float
) -> tuple[Mask, Mask, Fine, NDArray[np.bool_]]:
    """Densities of the canvas as a :class:`View` holds them: total, levels, red, like_red.

    Parameters
    ----------
    canvas : (h, w, 3) uint8 RGB
    blank : (h, w, 3), the blank slide's, see :func:`edge.segmentation.stain.blank_slide`
    ratio : red cells' (G - B) / (R + G + B) density
    um_per_px : of the canvas
    """
    height, width = canvas.shape[:2]
    total, levels = np.empty((2, height, width), np.uint8)
    red, alike = np.empty((height, width), np.int16), np.empty((height, width), np.bool_)
    for rows in strips(height, width):
        # What is smoothed needs one row more on each side.
        first = max(0, rows.start - 1)
        seen, own = slice(first, rows.stop + 1), slice(rows.start - first, rows.stop - first)
        stain = densities(canvas[seen], blank[seen])
        smooth = stain.smoothed(um_per_px)
        total[rows] = levels_of(smooth.total)[own]
        levels[rows] = contrast_levels(smooth.beyond(ratio))[own]
        red[rows] = stain.red[own]
        alike[rows] = like_red(smooth, ratio)[own]
    return total, levels, red, alike
