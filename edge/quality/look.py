"""How a field looks: its light, and how much of which stain it holds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.structures import Background, UInt8Image

_LOG = np.log10(np.maximum(np.arange(256, dtype=np.float32), 1.0))
#: Every n-th row and column, so that about this many are left on the longer side.
_SIDE_PX = 320
#: Summed density from which a pixel is no blank slide: 0.12 is 9 % less light in each channel.
_STAINED = 0.12
#: Share of green and blue in the density by which a nucleus is told from a red cell; see
#: ``edge.segment_stain``.
_NUCLEUS_RATIO = 0.3
#: Pixels that a median needs: one white cell of a field has this many at this size.
_LEAST_PX = 60

Density = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What a field looks like.

    Attributes
    ----------
    blank : log10 of the blank slide's R, G and B
    cover : share of the field that is not blank slide
    red_cells : median density of red cells in R, G and B, or None where there are hardly any
    nuclei : median density of nuclei in R, G and B, or None where there are hardly any
    """

    blank: Density
    cover: float
    red_cells: Density | None
    nuclei: Density | None


def look_at(image: UInt8Image, background: Background) -> Look:
    """Measure how a field looks.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    background : its blank slide
    """
    step = max(1, round(max(image.shape[:2]) / _SIDE_PX))
    small = np.ascontiguousarray(image[::step, ::step])
    h, w = small.shape[:2]
    blank = cv2.resize(np.log10(background.grid), (w, h), interpolation=cv2.INTER_LINEAR)
    density = (blank - cv2.LUT(small, _LOG)).reshape(-1, 3)
    total = density.sum(axis=1)
    stained = total > _STAINED
    thick = density[stained]
    ratio = (thick[:, 1] - thick[:, 2]) / total[stained]
    level = np.log10(background.grid).mean(axis=(0, 1))
    return Look(
        blank=_triple(level),
        cover=float(stained.mean()),
        red_cells=_median(thick[ratio < _NUCLEUS_RATIO]),
        nuclei=_median(thick[ratio >= _NUCLEUS_RATIO]),
    )


def _median(density: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Density | None:
    return None if len(density) < _LEAST_PX else _triple(np.median(density, axis=0))


def _triple(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Density:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
