"""Tells a picture that shows its field twice, one image beside the other, from a crowded field."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.median import median
from edge.light.pyramid import shrunk
from edge.structures import UInt8Image

#: The middle of the field is looked at, so many px of this size at most: a ghost is everywhere.
_WORK_UM_PER_PX, _SIDE_PX = 0.25, 320
#: Least and greatest way between the two images, µm. Nearer ones are motion, and red cells that repeat each
#: other's width come to 1.5 µm; farther ones are two places, which nothing repeats.
_NEAREST_UM, _FARTHEST_UM = 2.5, 14.0
#: Of the mean power that is added to each: what is below is the camera's noise.
_FLOOR = 1e-5
#: Median deviations, as those of a normal distribution, that the highest echo is over the median at least. Up
#: to 8.5 in 608 fields of six sources; 203 of these laid over themselves, 3 to 12 µm away and with a share of
#: .3 to .5, have 14.5 to 80.
_LEAST_ECHO = 12.0
_MAD_TO_SD = 1.4826


def has_ghost(image: UInt8Image, um_per_px: float) -> bool:
    """Whether the field lies over itself, as after a move of the stage between two exposures of one picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    um_per_px : its scale

    Notes
    -----
    An echo multiplies the spectrum by a ripple whose period is its distance. The spectrum of the logarithm of
    the power spectrum, the cepstrum [1]_, has a peak there, and is flat elsewhere: cells that are alike have
    no one distance in one direction.

    References
    ----------
    .. [1] B. P. Bogert, M. J. R. Healy, J. W. Tukey, "The quefrency alanysis of time series for echoes", in:
       M. Rosenblatt (ed.), Proceedings of the Symposium on Time Series Analysis, Wiley 1963.

    Examples
    --------
    >>> field = np.random.default_rng(0).integers(90, 220, (200, 200, 3), np.uint8)
    >>> has_ghost(field, 0.25)
    False
    >>> has_ghost(field // 2 + np.roll(field, (12, 9), (0, 1)) // 2, 0.25)
    True
    """
    shrink = max(1.0, _WORK_UM_PER_PX / um_per_px)
    rows, columns = (slice(*_middle(length, round(_SIDE_PX * shrink))) for length in image.shape[:2])
    green = shrunk(np.asarray(cv2.extractChannel(image[rows, columns], 1), np.uint8), shrink)
    return _highest_echo(green, um_per_px * shrink) > _LEAST_ECHO


def _middle(length: int, most: int) -> tuple[int, int]:
    start = max(0, (length - most) // 2)
    return start, min(length, start + most)


def _highest_echo(green: NDArray[np.uint8], um_per_px: float) -> float:
    """Height of the highest peak of the cepstrum within reach; 0 where nothing is."""
    height, width = green.shape
    detail = (green - np.float32(green.mean())) * _window(height, width)
    power = cv2.mulSpectrums(
        spectrum := cv2.dft(detail, flags=cv2.DFT_COMPLEX_OUTPUT), spectrum, 0, conjB=True
    )
    power = cv2.extractChannel(power, 0)
    if not (mean := float(power.mean())):
        return 0.0
    log = cv2.log(power + np.float32(_FLOOR * mean))
    cepstrum = cv2.dft(log - np.float32(log.mean()), flags=cv2.DFT_COMPLEX_OUTPUT)[..., 0]
    # It is the same in opposite directions: half of it is all of it.
    reach = int(_FARTHEST_UM / um_per_px)
    down, across = min(reach, height // 2 - 1), min(reach, width // 2 - 1)
    near = np.hstack([cepstrum[: down + 1, width - across :], cepstrum[: down + 1, : across + 1]])
    echoes = near[_is_within_reach(down, across, um_per_px)]
    usual = median(echoes)
    spread = _MAD_TO_SD * float(median(np.abs(echoes - usual)))
    return float(echoes.max() - usual) / spread if spread else 0.0


@lru_cache(maxsize=4)
def _is_within_reach(down: int, across: int, um_per_px: float) -> NDArray[np.bool_]:
    """Which px of a half plane, rows from the middle on, are as far from it as the two images may lie."""
    y, x = np.ogrid[: down + 1, -across : across + 1]
    away_um = um_per_px * np.hypot(y, x)
    return np.asarray((away_um > _NEAREST_UM) & (away_um < _FARTHEST_UM), np.bool_)


@lru_cache(maxsize=4)
def _window(height: int, width: int) -> NDArray[np.float32]:
    """Hann's: the picture's ends do not meet, and a step between them would be all that is seen."""
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
