"""Outlines as signed distances and textures as band-limited noise, both continuous in µm.

Everything is a function of position on the slide, not of pixels: the same cell can be drawn at any
scale and rotation. Signed distances are negative inside. Borders are blended over about a pixel and
textures lose what a pixel cannot hold, so that nothing aliases at coarse scales.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Band = Literal["fine", "clump", "broad"]

#: Wavelengths of the noise in µm: fine chromatin and granules, clumped chromatin, unevenness.
BANDS_UM: dict[Band, tuple[float, float]] = {"fine": (0.5, 1.1), "clump": (1.0, 2.4), "broad": (3.0, 9.0)}
_TABLE = 512
_STEP_UM = 0.1  # a table spans 51 µm, more than any object and its random offset
_ANGLES = 1024


class Draw:
    """Random scalars of one object, as Python floats (NumPy scalars would widen float32 planes)."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high)."""
        return float(self._rng.uniform(low, high))

    def normal(self, mean: float, deviation: float) -> float:
        """Draw from a normal distribution cut at 2.5 deviations, so that no cell is a freak."""
        return min(max(self._rng.normal(), -2.5), 2.5) * deviation + mean

    def angle(self) -> float:
        """Draw a direction in radians."""
        return self.uniform(0.0, 2 * math.pi)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return float(self._rng.random()) < probability

    def pick(self, probabilities: tuple[float, ...]) -> int:
        """Index drawn with the given probabilities."""
        return int(np.searchsorted(np.cumsum(probabilities), self._rng.random() * sum(probabilities)))


class Textures:
    """Tables of unit-variance noise, one a band, without what pixels of ``um_per_px`` cannot show.

    All slides share them: each object looks at its own random places of the tables.
    """

    def __init__(self, um_per_px: float) -> None:
        rng = np.random.Generator(np.random.PCG64(0))
        frequency = np.fft.fftfreq(_TABLE, _STEP_UM)
        radius = np.hypot(frequency[:, None], frequency[None, : _TABLE // 2 + 1])
        # A pixel averages over its square; a Gaussian of 0.35 px passes 9 % at the Nyquist frequency.
        pixel = np.exp(-2 * (np.pi * radius * 0.35 * um_per_px) ** 2)
        self.tables: dict[Band, Plane] = {}
        for band, (short_um, long_um) in BANDS_UM.items():
            spectrum = np.fft.rfft2(rng.standard_normal((_TABLE, _TABLE)))
            passed = np.exp(-((radius * short_um) ** 4)) * (1 - np.exp(-((radius * long_um) ** 4)))
            sharp = np.fft.irfft2(spectrum * passed, s=(_TABLE, _TABLE))
            seen = np.fft.irfft2(spectrum * passed * pixel, s=(_TABLE, _TABLE))
            self.tables[band] = (seen / sharp.std()).astype(np.float32)


@lru_cache(maxsize=4)  # 3 MB and 50 ms each
def textures_at(um_per_px: float) -> Textures:
    """Tables for a scale, made at its first use."""
    return Textures(um_per_px)


@dataclass(frozen=True)
class Window:
    """The pixels around one object, as places in µm from its centre.

    Attributes
    ----------
    u, v : (h, w) float32, place of each pixel along the slide's x and y axis
    um_per_px : scale
    textures : noise tables at that scale
    """

    u: Plane
    v: Plane
    um_per_px: float
    textures: Textures

    @cached_property
    def polar(self) -> tuple[Plane, NDArray[np.int32]]:
        """Distance from the centre and index into a table of ``_ANGLES`` directions."""
        rho, theta = cv2.cartToPolar(self.u, self.v)
        index = (theta * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
        return np.asarray(rho, dtype=np.float32), index

    def noise(self, band: Band, draw: Draw, *, stretch: float = 1.0, direction: float = 0.0) -> Plane:
        """Unit-variance noise of a band; stretched along ``direction`` where ``stretch`` > 1."""
        # Offsets keep ±17 µm around the object inside the 51 µm table.
        a, b = draw.uniform(17.0, 33.0), draw.uniform(17.0, 33.0)
        if stretch == 1.0:
            x, y = self.u, self.v
        else:
            cos, sin = math.cos(direction), math.sin(direction)
            x, y = (self.u * cos + self.v * sin) / stretch, self.v * cos - self.u * sin
        scale = np.float32(1 / _STEP_UM)
        return np.asarray(
            cv2.remap(
                self.textures.tables[band],
                (x + np.float32(a)) * scale,
                (y + np.float32(b)) * scale,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            ),
            dtype=np.float32,
        )

    def coverage(self, distance: Plane, softness_um: float = 0.2) -> Plane:
        """Share of each pixel inside an outline whose border is ``softness_um`` wide, 0 to 1."""
        width = math.hypot(softness_um, self.um_per_px)
        t = np.clip(0.5 - distance * np.float32(1 / width), 0.0, 1.0)
        return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)

    def blob(self, x: float, y: float, sigma_um: float) -> Plane:
        """Round spot of height 1 at (x, y); narrower than a pixel it keeps its volume, not its height."""
        sigma = math.hypot(sigma_um, 0.35 * self.um_per_px)
        squared = (self.u - np.float32(x)) ** 2 + (self.v - np.float32(y)) ** 2
        return np.asarray(np.exp(squared * (-0.5 / sigma**2)) * (sigma_um / sigma) ** 2, dtype=np.float32)


@cache
def _directions(order: int) -> NDArray[np.float64]:
    """Return the directions of a table, so many times as large."""
    return order * ((np.arange(_ANGLES) + 0.5) * (2 * np.pi / _ANGLES))


def radial_outline(draw: Draw, radius_um: float, harmonics: tuple[float, ...]) -> NDArray[np.float32]:
    """Radius over ``_ANGLES`` directions: a circle with random Fourier harmonics 2, 3, 4, ...

    ``harmonics`` are their standard deviations relative to the radius.
    """
    table = np.ones(_ANGLES)
    for order, deviation in enumerate(harmonics, start=2):
        table += abs(draw.normal(0.0, deviation)) * np.cos(_directions(order) + draw.angle())
    return (radius_um * table).astype(np.float32)


def radial_distance(window: Window, outline: NDArray[np.float32]) -> Plane:
    """Signed distance from a radial outline around the window's centre (first order, negative inside)."""
    rho, index = window.polar
    return np.asarray(rho - outline[index], dtype=np.float32)


def ellipse_distance(
    window: Window, x: float, y: float, along_um: float, across_um: float, direction: float
) -> Plane:
    """Signed distance from an ellipse (first order: value over gradient, right at the border)."""
    cos, sin = math.cos(direction), math.sin(direction)
    du, dv = window.u - np.float32(x), window.v - np.float32(y)
    a = (du * cos + dv * sin) * np.float32(1 / along_um)
    b = (dv * cos - du * sin) * np.float32(1 / across_um)
    norm = np.sqrt(a * a + b * b) + np.float32(1e-6)
    gradient = np.sqrt((a / along_um) ** 2 + (b / across_um) ** 2) + np.float32(1e-6)
    return np.asarray((norm - 1) * norm / gradient, dtype=np.float32)


def capsule_distance(
    window: Window, start: tuple[float, float], end: tuple[float, float], radius_um: float
) -> Plane:
    """Signed distance from a line of given radius with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    squared = dx * dx + dy * dy + 1e-9
    du, dv = window.u - np.float32(start[0]), window.v - np.float32(start[1])
    t = np.clip((du * dx + dv * dy) * np.float32(1 / squared), 0.0, 1.0)
    return np.asarray(np.hypot(du - t * dx, dv - t * dy) - np.float32(radius_um), dtype=np.float32)


def smooth_union(a: Plane, b: Plane, blend_um: float) -> Plane:
    """Union of two outlines with the corner between them filled (quadratic polynomial blend)."""
    h = np.maximum(blend_um - np.abs(a - b), 0.0) * np.float32(1 / blend_um)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(blend_um / 4), dtype=np.float32)


def smooth_intersection(a: Plane, b: Plane, blend_um: float) -> Plane:
    """Intersection of two outlines with a rounded corner."""
    return -smooth_union(-a, -b, blend_um)
