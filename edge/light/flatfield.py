"""Uneven light taken out of a frame with the picture of a blank slide."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import UInt8Image


class FlatField:
    """Gains that make a blank slide even, for frames of one size.

    The gains are kept as bytes: 1 ms and 3 bytes a pixel. Their steps, gain / 255, are below half a per cent
    for a lamp whose corners are a fifth darker than its centre, less than a sensor's noise.

    Parameters
    ----------
    blank : (rows, columns, 3) float32 RGB of a blank slide; node (r, c) is the colour at the centre of that
        tile when the picture is cut into rows x columns equal tiles
    width, height : of the frames, px

    Examples
    --------
    >>> blank = np.array([[[100, 100, 100], [200, 200, 200]]], np.float32)
    >>> frame = np.full((40, 100, 3), 100, np.uint8)
    >>> FlatField(blank, 100, 40).applied(frame)[0, [0, 99], 0].tolist()
    [200, 100]
    """

    def __init__(self, blank: NDArray[np.float32], width: int, height: int) -> None:
        # Each channel by itself: the light's colour is left as it is, only its unevenness goes.
        gain = blank.max(axis=(0, 1)) / np.maximum(blank, 1.0)
        self._step = float(gain.max()) / 255
        enlarged = _enlarged(gain.astype(np.float32), width, height)
        self._gain = np.rint(enlarged / np.float32(self._step)).astype(np.uint8)

    def applied(self, image: UInt8Image) -> UInt8Image:
        """Return a corrected copy of a (H, W, 3) uint8 RGB image of the size that this was made for."""
        return np.asarray(cv2.multiply(image, self._gain, scale=self._step), dtype=np.uint8)


def _enlarged(grid: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Bilinear between the grid's nodes, flat beyond them, like :meth:`edge.structures.Background.at`."""
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
