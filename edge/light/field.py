"""A frame with what is true of the light in it."""

from __future__ import annotations

import zlib
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.background import estimate_background
from edge.light.colour import Colour, measure_colour
from edge.light.density import optical_density
from edge.light.pyramid import Lines, Pyramid, picked
from edge.light.sharpness import Blur, measure_blur
from edge.structures import Background, Frame, UInt8Image

#: Longer side of :attr:`Field.density`, about: every n-th row and column of the image.
_DENSITY_SIDE_PX = 210
#: Short side of what the checksum is of, at most; the background is estimated on it, too.
_CHECKED_SIDE_PX = 256


class Field:
    """One field on its way down the line: its frame, and what is computed of it on demand, each at most once.

    The gate, segmentation, the crop, registration and the stage watch all take it, so that none of them
    looks at the frame's pixels again for what another has already found. It belongs to one thread.

    Parameters
    ----------
    frame : as a source gave it, evenly lit
    background : colour of the blank slide where it is known already, else it is estimated

    Examples
    --------
    >>> import numpy as np
    >>> field = Field(Frame(np.full((120, 160, 3), 200, np.uint8), "blank"))
    >>> field.background.at(80, 60).round().tolist()
    [200.0, 200.0, 200.0]
    >>> field.background is field.background
    True
    """

    def __init__(self, frame: Frame, background: Background | None = None) -> None:
        self.frame = frame
        self._blurs: dict[float, Blur | None] = {}
        if background is not None:
            self.background = background

    @property
    def image(self) -> UInt8Image:
        """(H, W, 3) uint8 RGB."""
        return self.frame.image

    @property
    def width(self) -> int:
        """Width in px."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Height in px."""
        return self.frame.height

    @cached_property
    def pyramid(self) -> Pyramid:
        """Halved copies of the image."""
        return Pyramid(self.image)

    @cached_property
    def lines(self) -> Lines:
        """Some rows and columns of the image."""
        return Lines.of(self.image)

    @cached_property
    def checksum(self) -> int:
        """Of a copy of at most 256 px that every pixel has a share in: the same for the same picture."""
        return zlib.crc32(np.ascontiguousarray(self.pyramid.sampled(_CHECKED_SIDE_PX)).data)

    @cached_property
    def background(self) -> Background:
        """Colour of the blank slide."""
        return estimate_background(self.pyramid)

    @property
    def sampling_px(self) -> int:
        """Px of the image from one sampled px to the next."""
        return max(1, round(max(self.width, self.height) / _DENSITY_SIDE_PX))

    @cached_property
    def sampled(self) -> UInt8Image:
        """Every n-th px of the image."""
        step = self.sampling_px
        return picked(self.image, np.s_[::step], np.s_[::step])

    @cached_property
    def density(self) -> NDArray[np.float32]:
        """Optical density over the blank slide in R, G and B, (h, w, 3), of every n-th px of the image."""
        # Three by three pixels of what is left: noise of a dark picture would be stain.
        small = cv2.blur(self.sampled, (3, 3))
        return optical_density(np.asarray(small, np.uint8), self.background)

    @cached_property
    def total(self) -> NDArray[np.float32]:
        """Summed density of R, G and B, (h, w), see :attr:`density`."""
        return np.asarray(cv2.transform(self.density, np.ones((1, 3), np.float32)), np.float32)

    @cached_property
    def colour(self) -> Colour | None:
        """Colours of what is stained; None where hardly anything is."""
        return measure_colour(self.density, self.total, self.sampled)

    def blur(self, um_per_px: float) -> Blur | None:
        """Width of its edges at a scale, see :func:`edge.light.sharpness.measure_blur`."""
        if um_per_px not in self._blurs:
            self._blurs[um_per_px] = measure_blur(self.image, um_per_px)
        return self._blurs[um_per_px]
