"""What single cells are looked at in: the canvas with its densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.segment_labels import Mask
from edge.segment_stain import Fine


@dataclass(frozen=True, slots=True)
class View:
    """The windows of a field side by side, see :class:`edge.segment_windows.Windows`; all (h, w).

    Attributes
    ----------
    total : uint8 R + G + B density, ``COARSE`` levels a unit
    levels : uint8 stain contrast, ``LEVELS`` levels a unit
    red : int16 density in the red channel, ``FINE`` levels a unit
    like_red : bool, no bluer than red cells of the same density
    in_frame : bool, False where the frame's edge is repeated
    edge : bool, the outermost px of the frame
    zone : bool, the windows' own surroundings, see :func:`edge.segment_windows.find_groups`
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
