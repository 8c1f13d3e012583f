"""Random views of cells for the compact recipe: as another laboratory, camera or scale would show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classification.crop import channel_densities, planes_of
from edge.structures import InputSpec
from training.data.collection import Collection, cut
from training.data.records import CellRecord

#: What views are made from: finer and wider than the network's crop, so that turning and shifting lose
#: nothing.
_WIDE_PX, _WIDE_UM, _WHITE_POINT = 80, 30.0, 235
#: Spread of the natural logarithm of the size: red cells, which give the scale, differ by some 7 %.
_SIZE = 0.07
_ASPECT = 0.03
_SHIFT_PX = 2.0
#: Spread of each channel's share in the density (stains, cameras) and of the density's exponent (gamma).
_STAIN, _GAMMA = 0.15, 0.15
#: Widest blur, px of the crop: half a µm of defocus, or a camera of half the resolution.
_BLUR_PX = 1.1
_NOISE = 0.04


@dataclass(frozen=True, slots=True)
class Views:
    """Cells with room around them.

    Attributes
    ----------
    rgb : (n, 80, 80, 3) uint8, white point applied
    cell, nucleus : (n, 80, 80) uint8, 255 inside
    size_px, field_of_view_um : of the views that are made
    """

    rgb: NDArray[np.uint8]
    cell: NDArray[np.uint8]
    nucleus: NDArray[np.uint8]
    size_px: int = 48
    field_of_view_um: float = 24.0

    @classmethod
    def of(cls, collection: Collection, cells: Sequence[CellRecord]) -> Views:
        """Cut cells out of their fields."""
        rgb = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, _WHITE_POINT))
        planes = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, _WHITE_POINT, "density+cell+nucleus"))
        return cls(rgb, np.ascontiguousarray(planes[..., 1]), np.ascontiguousarray(planes[..., 2]))

    def random(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make one view of a cell: (size_px, size_px, 3) uint8, planes as the device cuts them.

        Turned, mirrored, a little larger or smaller and off centre; with other shares of the colour channels,
        another gamma, blur and noise; outlines drawn a little wider or narrower.
        """
        stain = np.clip(1 + rng.normal(0, _STAIN, 3), 0.5, 1.6).astype(np.float32)
        density = cv2.transform(channel_densities(self.rgb[index], _WHITE_POINT), stain[None])
        planes = cv2.merge(
            [density, self.cell[index].astype(np.float32), self.nucleus[index].astype(np.float32)]
        )
        planes = cv2.GaussianBlur(planes, (3, 3), 0.47)  # half a px of the view: no aliases
        size = (self.size_px, self.size_px)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        planes = cv2.warpAffine(planes, self._affine(rng), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        density, cell, nucleus = cv2.split(planes)
        density = _worse(density, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        outlines = _redrawn(cell, 1.1, 46, rng), _redrawn(nucleus, 0.8, 38, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        return np.asarray(planes_of(density[None], *(inside[None] for inside in outlines))[0], np.uint8)

    def _affine(self, rng: np.random.Generator) -> NDArray[np.float32]:
        angle = rng.uniform(0, 2 * np.pi)
        size = float(np.exp(np.clip(rng.normal(0, _SIZE), -2.2 * _SIZE, 2.2 * _SIZE)))
        aspect = float(np.exp(rng.normal(0, _ASPECT)))
        step = self.field_of_view_um / self.size_px * _WIDE_PX / _WIDE_UM / size
        cosine, sine = np.cos(angle) * step, np.sin(angle) * step
        mirror = 1 if rng.random() < 0.5 else -1
        turn = np.array(
            [[cosine * mirror * aspect, -sine / aspect], [sine * mirror * aspect, cosine / aspect]]
        )
        middle = (_WIDE_PX - 1) / 2
        offset = middle - turn @ np.full(2, (self.size_px - 1) / 2) + rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2)
        return np.column_stack([turn, offset]).astype(np.float32)


def _worse(density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Pass a density plane through another camera."""
    density = cv2.pow(density, float(np.exp(rng.normal(0, _GAMMA))))  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    blur = rng.uniform(0, _BLUR_PX)
    if blur > 0.25:
        density = cv2.GaussianBlur(density, (0, 0), blur)  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    if rng.random() < 0.5:
        noise = rng.standard_normal(density.shape, dtype=np.float32)
        density = density + noise * np.float32(rng.uniform(0, _NOISE) * max(0.3, float(density.max())))
    return np.asarray(np.maximum(density, 0), np.float32)


def _redrawn(
    inside: NDArray[np.float32], blur_px: float, levels: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw an outline a little wider or narrower, and smoother."""
    soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.3, blur_px))
    return np.where(soft > 127 + rng.uniform(-levels, levels), 255, 0).astype(np.uint8)
