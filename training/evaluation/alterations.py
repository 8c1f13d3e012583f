"""Fields altered on purpose, as another lamp, lens or camera would show them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.segmentation import SUPPORTED_UM_PER_PX
from edge.structures import UInt8Image
from training.evaluation.truth import Box


@dataclass(frozen=True, slots=True)
class Alteration:
    """One change to a field. What is left at its default stays as it is.

    Attributes
    ----------
    name : for the table
    gains : factor on the light of R, G and B; what exceeds 255 is burnt out, as in a camera
    zoom : factor on the number of px of each side
    turns : quarter turns, counter-clockwise
    mirrored : left and right exchanged, after turning
    jpeg_quality : of a copy that is compressed and read again
    defocus_um : sigma of a Gaussian blur, in µm on the slide
    """

    name: str
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    zoom: float = 1.0
    turns: int = 0
    mirrored: bool = False
    jpeg_quality: int | None = None
    defocus_um: float = 0.0

    @property
    def moves_only(self) -> bool:
        """The pixels are the same ones in other places."""
        return bool(self.turns) or self.mirrored

    def fits(self, um_per_px: float) -> bool:
        """Whether a field of this scale is still in the supported range when altered."""
        low, high = SUPPORTED_UM_PER_PX
        return self.zoom == 1.0 or low <= um_per_px / self.zoom <= high

    def image(self, image: UInt8Image, um_per_px: float) -> UInt8Image:
        """Altered copy of a (H, W, 3) uint8 RGB image."""
        out = np.asarray(image)
        if self.gains != (1.0, 1.0, 1.0):
            out = np.clip(np.rint(out * np.array(self.gains, np.float32)), 0, 255).astype(np.uint8)
        if self.defocus_um:
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), self.defocus_um / um_per_px), np.uint8)
        if self.zoom != 1.0:
            way = cv2.INTER_AREA if self.zoom < 1 else cv2.INTER_CUBIC
            out = np.asarray(cv2.resize(out, None, fx=self.zoom, fy=self.zoom, interpolation=way), np.uint8)
        if self.jpeg_quality is not None:
            _, data = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        out = np.rot90(out, self.turns)
        return np.ascontiguousarray(out[:, ::-1] if self.mirrored else out)

    def box(self, box: Box, width: int, height: int) -> Box:
        """Where a box of an image of this size lies in the altered one.

        Examples
        --------
        >>> Alteration("turned", turns=1).box((10, 20, 5, 6), 100, 80)
        (20.0, 85.0, 6.0, 5.0)
        >>> Alteration("mirrored", mirrored=True).box((10, 20, 5, 6), 100, 80)
        (85.0, 20.0, 5.0, 6.0)
        """
        x, y, w, h, across, down = (float(v) * self.zoom for v in (*box, width, height))
        for _ in range(self.turns):
            x, y, w, h, across, down = y, across - x - w, h, w, down, across
        return (across - x - w if self.mirrored else x), y, w, h


#: 0.3 µm is the sigma that a lens of NA 1.25 has out of focus by about 1 µm, twice its depth of field.
ALTERATIONS = (
    Alteration("lamp -30 %", gains=(0.7, 0.7, 0.7)),
    Alteration("lamp +30 %", gains=(1.3, 1.3, 1.3)),
    Alteration("warmer 15 %", gains=(1.15, 1.0, 0.85)),
    Alteration("colder 15 %", gains=(0.85, 1.0, 1.15)),
    Alteration("zoom 0.5", zoom=0.5),
    Alteration("zoom 0.7", zoom=0.7),
    Alteration("zoom 1.4", zoom=1.4),
    Alteration("zoom 2", zoom=2.0),
    Alteration("turned 90°", turns=1),
    Alteration("turned 180°", turns=2),
    Alteration("turned 270°", turns=3),
    Alteration("mirrored", mirrored=True),
    Alteration("JPEG 40", jpeg_quality=40),
    Alteration("defocus 0.3 µm", defocus_um=0.3),
)
