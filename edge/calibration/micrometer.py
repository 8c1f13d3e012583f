"""Size of a pixel from a picture of a stage micrometer: the period of its lines."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.interval import geometric_mean
from edge.calibration.record import MeasuredScale
from edge.errors import ImageError
from edge.structures import Frame

#: Strips across the lines, each measured by itself.
_STRIPS = 12
#: Strips that must show lines, and how many of them every line.
_LEAST_STRIPS, _LEAST_FULL = 4, 2
#: How well they must agree. Strips that only the longer marks of every fifth line reach show a multiple.
_AGREE = 0.01
#: Lines that a picture must show for a period.
_LEAST_PERIODS = 3
#: Height of the autocorrelation's first peak that is a period; noise has 0.1.
_LEAST_PEAK = 0.3
#: A good micrometer's lines are right to 0.5 µm in 100.
_MICROMETER = 0.0025


def scale_from_micrometer(frame: Frame, division_um: float = 10.0) -> MeasuredScale:
    """Measure µm per px on equally spaced lines in any direction.

    The picture is turned until the lines stand upright (structure tensor [1]_), the period of each strip is
    found by autocorrelation and then refined to the frequency at which the strip's spectrum is strongest.

    Parameters
    ----------
    frame : sharp picture of the micrometer's lines
    division_um : from one line to the next

    Raises
    ------
    ImageError
        There are no lines of one period, or too few.

    References
    ----------
    .. [1] J. Bigün, G. H. Granlund, "Optimal orientation detection of linear symmetry", ICCV 1987.
    """
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    upright = _upright(grey)
    rows = np.array_split(np.arange(len(upright)), _STRIPS)
    periods = [period for strip in rows if (period := _period(upright[strip].mean(axis=0))) is not None]
    full = _shortest(periods)
    multiples = np.array(periods) / (np.mean(full) if full else 1.0)
    regular = np.abs(np.log(multiples / np.maximum(np.rint(multiples), 1.0))) < 2 * _AGREE
    if not full or len(periods) < _LEAST_STRIPS or not regular.all():
        raise ImageError(
            f"{frame.source}: no lines of one period in {_STRIPS} strips of it; give a sharp picture of a "
            f"stage micrometer with {_LEAST_PERIODS} lines or more"
        )
    mean, low, high = geometric_mean([division_um / period for period in full], _MICROMETER)
    return MeasuredScale(mean, low, high, "micrometer", len(full))


def _shortest(periods: list[float]) -> list[float]:
    """Shortest period that enough strips agree on, as those strips have it."""
    for period in sorted(periods):
        agreeing = [other for other in periods if abs(math.log(other / period)) < _AGREE]
        if len(agreeing) >= _LEAST_FULL:
            return agreeing
    return []


def _upright(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a picture of parallel lines so that they run down; the largest square that is left of it."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    # Twice the angle, so that the two flanks of a line speak for one direction.
    angle = 0.5 * math.atan2(2 * float((across * down).sum()), float((across**2 - down**2).sum()))
    height, width = grey.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    turned = cv2.warpAffine(
        grey,
        cv2.getRotationMatrix2D(centre, math.degrees(angle), 1.0),
        (width, height),
        flags=cv2.INTER_LINEAR,
    )
    # A square inscribed in the shorter side's circle is inside at any angle; a nearly straight picture keeps
    # more.
    lean = min(abs(math.sin(angle)), abs(math.cos(angle)))
    half_width = _half(width, height, lean, abs(angle) > math.pi / 4)
    half_height = _half(height, width, lean, abs(angle) > math.pi / 4)
    x, y = round(centre[0]), round(centre[1])
    return np.asarray(
        turned[max(0, y - half_height) : y + half_height, max(0, x - half_width) : x + half_width]
    )


def _half(side: int, other: int, lean: float, swapped: bool) -> int:
    """Half of a side of the box that stays inside a picture turned by an angle with this sine."""
    shorter = min(side, other)
    return max(8, int((shorter if swapped else side) / 2 - lean * shorter / 2))


def _period(profile: NDArray[np.float32]) -> float | None:
    """Period in px of a profile across lines, or None where it has none."""
    length = len(profile)
    wide = cv2.GaussianBlur(profile[None], (0, 0), length / 6, borderType=cv2.BORDER_REFLECT)[0]
    signal = (profile - wide).astype(np.float64)
    power = np.abs(np.fft.rfft(signal, 2 * length)) ** 2
    correlation = np.fft.irfft(power)[: length // _LEAST_PERIODS + 2]
    # Fewer samples overlap at a longer lag.
    correlation /= np.maximum(correlation[0], 1e-9) * (1 - np.arange(len(correlation)) / length)
    rising = np.flatnonzero(correlation < 0)
    if not len(rising):
        return None
    start = int(rising[0])
    peaks = [
        lag
        for lag in range(max(start, 2), len(correlation) - 1)
        if correlation[lag - 1] <= correlation[lag] > correlation[lag + 1]
    ]
    best = max((correlation[lag] for lag in peaks), default=0.0)
    if best < _LEAST_PEAK:
        return None
    # The first high peak is the period; later ones are its multiples.
    first = next(lag for lag in peaks if correlation[lag] > 0.8 * best)
    places = np.arange(length)
    window = np.hanning(length) * signal
    candidates = first * np.exp(np.linspace(-1, 1, 401) * 1.5 / first)
    response = np.abs(np.exp(-2j * np.pi * places[None] / candidates[:, None]) @ window)
    return float(candidates[int(np.argmax(response))])
