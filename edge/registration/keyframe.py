"""What is kept of a field so that it can be recognised: its cells' rims at 1/7 of their size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.density import density_of_levels
from edge.light.field import Field

Plane = NDArray[np.float32]

#: Longer side of the plane that fields are laid over each other with. Fields are 130 to 310 µm wide, so a
#: pixel is 0.5 to 1.2 µm and a red cell 6 to 15 px; half a pixel is less than a tenth of a white cell.
FINE_PX = 256
#: ... and of the one that a place is searched with: 0.1 ms a field. At 128 px true and false peaks lie no
#: further apart (84 fields of ALL-IDB1), at half the speed.
COARSE_PX = 96
#: Band of sizes that a plane keeps, as sigmas in px of the fine plane: wider than the sensor's noise and
#: a usual defocus, narrower than a lamp's gradient.
_NARROW, _WIDE = 1.2, 4.0
#: Summed density below which a structure is noise of the blank slide: 1.5 % of the light in each channel.
_FLOOR = 0.02
#: Sigma over median absolute deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
#: What is farther from 0 than this is squashed, see the notes of :func:`make_keyframe`.
_SQUASHED_SIGMAS = 2
#: A second peak nearer than half a cell, in px of the coarse plane, is the first one's flank.
_PEAK_RADIUS_PX = 4
#: An overlap of less than this share of a field is not looked for: a strip of 5 µm of 170 µm, into which no
#: whole white cell fits.
_LEAST_OVERLAP = 0.03


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A field as it is recognised.

    Attributes
    ----------
    plane : (h, w) int8, band-passed stain density, -127 to 127; 0 where the slide is blank
    spectrum : (H, W) float16, packed Fourier transform of the coarse plane in a frame of zeros
    width, height : of the field, px
    """

    plane: NDArray[np.int8]
    spectrum: NDArray[np.float16]
    width: int
    height: int

    @property
    def px_per_px(self) -> float:
        """Pixels of the field per pixel of the plane."""
        return max(self.width, self.height) / FINE_PX

    def comparable(self, other: Keyframe) -> bool:
        """Whether both come from pictures of one size; others may differ in scale, which is not measured."""
        return (self.width, self.height) == (other.width, other.height)

    def fine(self) -> Plane:
        """Return the plane with values from -1 to 1."""
        return np.asarray(self.plane, dtype=np.float32) * np.float32(1 / 127)


def make_keyframe(field: Field) -> Keyframe:
    """Reduce a field.

    Parameters
    ----------
    field : to be recognised later

    Notes
    -----
    A difference of Gaussians [1]_ of the stain's density keeps the rims of cells and drops noise and uneven
    light. It is divided by its own robust spread and squashed (tanh), so that a few dark nuclei do not
    outweigh a hundred red cells. Its reduced copy is kept as a Fourier transform, for
    :func:`correlation_peaks`.

    References
    ----------
    .. [1] D. Marr, E. Hildreth, "Theory of edge detection", Proc. R. Soc. Lond. B 207, 1980.
    """
    width, height = field.width, field.height
    size = _size(width, height, FINE_PX)
    small = cv2.resize(
        field.pyramid.reduced(max(width, height) / FINE_PX), size, interpolation=cv2.INTER_AREA
    )
    density = cv2.transform(cv2.LUT(small, density_of_levels(255)), np.ones((1, 3), np.float32))
    band = cv2.GaussianBlur(density, (0, 0), _NARROW) - cv2.GaussianBlur(density, (0, 0), _WIDE)
    sigma = max(_FLOOR, _MAD_TO_SIGMA * float(np.median(np.abs(band[::2, ::2]))))
    fine = np.tanh(band / (_SQUASHED_SIGMAS * sigma)).astype(np.float32)
    coarse = cv2.resize(fine, _size(width, height, COARSE_PX), interpolation=cv2.INTER_AREA)
    coarse /= max(float(np.sqrt(np.mean(coarse * coarse))), 1e-3)
    framed = np.zeros(_framed_shape(coarse.shape), np.float32)
    framed[: coarse.shape[0], : coarse.shape[1]] = coarse
    spectrum = np.asarray(cv2.dft(framed), dtype=np.float16)
    return Keyframe(np.rint(fine * 127).astype(np.int8), spectrum, width, height)


def correlation_peaks(old: Keyframe, new: Keyframe, number: int) -> list[tuple[float, float, float]]:
    """Find the shifts at which two fields of one size look most alike.

    Parameters
    ----------
    old, new : the fields
    number : how many shifts, at most

    Returns
    -------
    (score, x, y), best first: pixel p of ``new`` lies on p + (x, y) of ``old``, in px of the fine plane.
    The score is the correlation times the root of the number of coarse pixels that overlap, which makes
    chance peaks of large and small overlaps equally high

    Notes
    -----
    Cross-correlation over all shifts at once, as the product of the Fourier transforms [1]_.

    References
    ----------
    .. [1] P. E. Anuta, "Spatial registration of multispectral and multitemporal digital imagery using fast
       Fourier transform techniques", IEEE Trans. Geosci. Electron. 8, 1970.
    """
    product = cv2.mulSpectrums(
        old.spectrum.astype(np.float32), new.spectrum.astype(np.float32), 0, conjB=True
    )
    sums = cv2.idft(product, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    size = _size(old.width, old.height, COARSE_PX)
    score = sums * _weights(size[1], size[0])
    rows, columns = score.shape
    enlarged = FINE_PX / COARSE_PX
    found: list[tuple[float, float, float]] = []
    for _ in range(number):
        _, best, _, (x, y) = cv2.minMaxLoc(score)
        found.append(
            (
                float(best),
                (x - columns if x > columns // 2 else x) * enlarged,
                (y - rows if y > rows // 2 else y) * enlarged,
            )
        )
        if len(found) < number:
            cv2.circle(score, (x, y), _PEAK_RADIUS_PX, (0.0,), cv2.FILLED)
    return found


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    long = max(width, height)
    return max(1, round(width * side / long)), max(1, round(height * side / long))


def _framed_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Shape in which a plane shifted by its whole size still does not meet itself from behind."""
    return cv2.getOptimalDFTSize(2 * shape[0]), cv2.getOptimalDFTSize(2 * shape[1])


@lru_cache(maxsize=8)
def _weights(height: int, width: int) -> Plane:
    """One over the root of the number of pixels that overlap at each shift; 0 where that is too few."""
    rows, columns = _framed_shape((height, width))
    down = np.maximum(0, height - np.minimum(np.arange(rows), rows - np.arange(rows)))
    across = np.maximum(0, width - np.minimum(np.arange(columns), columns - np.arange(columns)))
    overlap = down[:, None] * across[None, :]
    least = _LEAST_OVERLAP * height * width
    return np.where(overlap > least, 1 / np.sqrt(np.maximum(overlap, 1)), 0).astype(np.float32)
