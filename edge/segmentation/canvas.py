"""What single cells are looked at in: the canvas with its densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.light.density import Against, DensityImage, density_planes, strips
from edge.segmentation.labels import Mask
from edge.segmentation.stain import contrast_levels, red_cell_coloured, to_levels
from edge.structures import UInt8Image


@dataclass(frozen=True, slots=True)
class CanvasPlanes:
    """The windows of a field side by side, see :class:`edge.segmentation.windows.Windows`; all (h, w).

    Attributes
    ----------
    total : uint8 R + G + B density, ``DENSITY_LEVELS`` levels a unit
    contrast : uint8 stain contrast, ``CONTRAST_LEVELS`` levels a unit
    red : int16 density in the red channel, ``FINE_LEVELS`` levels a unit
    red_cell_coloured : bool, no bluer than red cells of the same density
    in_frame : bool, False where the frame's edge is repeated
    frame_edge : bool, the outermost px of the frame
    roi : bool, each window's own region of interest, see :func:`edge.segmentation.windows.find_rois`
    isolated : bool, cells that nothing touches
    um_per_px : of the canvas
    """

    total: Mask
    contrast: Mask
    red: DensityImage
    red_cell_coloured: NDArray[np.bool_]
    in_frame: NDArray[np.bool_]
    frame_edge: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    isolated: NDArray[np.bool_]
    um_per_px: float


def stain_planes(
    canvas: UInt8Image, blank: DensityImage, ratio: float, um_per_px: float, against: Against
) -> tuple[Mask, Mask, DensityImage, NDArray[np.bool_]]:
    """Densities of the canvas as a :class:`CanvasPlanes` holds them: total, contrast, red, red_cell_coloured.

    Parameters
    ----------
    canvas : (h, w, 3) uint8 RGB
    blank : (h, w, 3), the blank slide's, see :func:`edge.light.density.blank_planes`
    ratio : red cells' difference over their total density
    um_per_px : of the canvas
    against : channel whose density is taken from green's
    """
    height, width = canvas.shape[:2]
    total, contrast = np.empty((2, height, width), np.uint8)
    red, coloured = np.empty((height, width), np.int16), np.empty((height, width), np.bool_)
    for rows in strips(height, width):
        # What is smoothed needs one row more on each side.
        first = max(0, rows.start - 1)
        seen, own = slice(first, rows.stop + 1), slice(rows.start - first, rows.stop - first)
        stain = density_planes(canvas[seen], blank[seen], against)
        smooth = stain.smoothed(um_per_px)
        total[rows] = to_levels(smooth.total)[own]
        contrast[rows] = contrast_levels(smooth.contrast(ratio))[own]
        red[rows] = stain.red[own]
        coloured[rows] = red_cell_coloured(smooth, ratio)[own]
    return total, contrast, red, coloured
