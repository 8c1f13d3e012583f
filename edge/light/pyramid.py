"""Reduced copies of an image, and lines through it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge.structures import UInt8Image

#: Rows and columns of :class:`Lines`, at least so many of each where there are as many: a hundred say what
#: a thousand do of an image's seams and edges.
_LINES = 128


class Pyramid:
    """An image with its halved copies, each made once."""

    def __init__(self, image: UInt8Image) -> None:
        self._levels = [image]

    def sampled(self, side_px: int) -> UInt8Image:
        """Copy halved until its short side is below this."""
        halvings = max(0, math.floor(math.log2(min(self._levels[0].shape[:2]) / side_px)) + 1)
        return self.level(2.0**halvings)

    def level(self, shrink: float) -> UInt8Image:
        """Copy halved as often as ``shrink`` allows (2x2 averages)."""
        k = max(0, math.floor(math.log2(shrink) + 1e-9))
        while len(self._levels) <= k:
            last = self._levels[-1]
            h, w = last.shape[0] // 2, last.shape[1] // 2
            halved = cv2.resize(last[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
            self._levels.append(np.asarray(halved, dtype=np.uint8))
        return self._levels[k]

    def reduced(self, shrink: float) -> UInt8Image:
        """Averaged copy, ``shrink`` times smaller (1.0 or less: the image itself).

        What halving leaves, less than a factor of two, loses nothing to interpolation, and takes a tenth of
        the time of averaging over fractions of pixels.
        """
        image = self._levels[0]
        if shrink <= 1.0:
            return image
        size = (max(1, round(image.shape[1] / shrink)), max(1, round(image.shape[0] / shrink)))
        return np.asarray(cv2.resize(self.level(shrink), size, interpolation=cv2.INTER_LINEAR), np.uint8)


def picked(image: UInt8Image, rows: slice, columns: slice) -> UInt8Image:
    """Copy of some rows and columns, in a quarter of the time that NumPy takes to copy them byte by byte.

    Parameters
    ----------
    image : (H, W, 3) uint8
    rows, columns : which
    """
    px = np.ascontiguousarray(image).view("V3")[rows, columns]
    return np.ascontiguousarray(px).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Lines:
    """Some rows and some columns of an image, at full resolution along them.

    Attributes
    ----------
    rows : (n, W, 3) uint8 RGB, every so many of the image's
    columns : (n, H, 3), lying
    """

    rows: UInt8Image
    columns: UInt8Image

    @classmethod
    def of(cls, image: UInt8Image) -> Lines:
        """Take them from an image, (H, W, 3) uint8 RGB."""
        rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // _LINES)])
        return cls(rows, columns_of(image))


def columns_of(image: UInt8Image) -> UInt8Image:
    """Take some columns of an image, lying: (n, H, 3), as in :class:`Lines`."""
    height, width = image.shape[:2]
    step = max(1, width // _LINES)
    columns = width // step
    # To the nearest px of a whole number of them is every so many: in half of the time of picking them.
    whole = cv2.resize(image[:, : columns * step], (columns, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.transpose(whole), np.uint8)


def shrunk(image: UInt8Image, shrink: float) -> UInt8Image:
    """Averaged copy of an image, see :meth:`Pyramid.reduced`."""
    return Pyramid(image).reduced(shrink)
