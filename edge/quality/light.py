"""Exposure, colour and noise: whether a picture holds anything at all."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.field import Field
from edge.structures import UInt8Image

#: Mean of the blank slide's channels below which a field is underexposed. Below 1/8 of full scale, the
#: floor of the gain in ``edge.classification.crop.to_input``, an 8-bit image has fewer than 32 levels between
#: blank and black. The darkest real fields seen (203 crops, 84 fields) have a blank slide of 111.
MIN_BLANK = 32.0
#: A pixel whose three channels reach this is burnt out; JPEG rings a few levels below 255.
BURNT_OUT = 250
#: Share of burnt-out pixels from which a field is overexposed. A blank slide may be burnt out (up to
#: 71 % of usable real images seen); what counts is whether anything at all is left: one white cell of 12 µm
#: covers 0.16 % of a 2592x1944 field at 0.118 µm/px and 0.23 % of a 640x480 field at 0.4 µm/px.
MAX_BURNT_OUT = 0.9995
#: Difference between a pixel's channels up to which it is grey: colour-space conversion rounds by 2 levels.
#: Red cells differ by 15 and more, nuclei by 60.
GREY_LEVELS = 4
#: Range of brightness above which a field shows something. A blank slide may be grey; cells may not.
BLANK_RANGE = 20
#: Quantiles that stand for the darkest and the brightest: a thousandth of the pixels may be dust.
_LOWEST, _HIGHEST = 0.001, 0.999
#: Pixels looked at: every n-th row, so that about this many are left; a cell of 12 µm has 190 of them. Whole
#: rows lie in one piece of memory: single pixels in as many places take six times as long.
_SAMPLE_PX = 120_000
#: ... and those whose noise is measured.
_NOISE_PX = 40_000
_SECOND_DIFFERENCE = np.array([[-1.0, 2.0, -1.0]], np.float32)
#: Twice the levels by which a px differs from the mean of its two neighbours in the row: 5 at most in 440
#: pictures of twelve sources; 35 and more in fields with the noise of a phone by night, and 9 to 45 in those
#: whose sensor's mosaic was read from the wrong corner. Noise of a standard deviation of 7 levels.
MAX_NOISE = 12


def is_noisy(image: UInt8Image) -> bool:
    """Whether noise hides what is pale: the second difference of half of the px exceeds ``MAX_NOISE``.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 1, (90, 120, 3))
    >>> is_noisy((190 + 5 * noise).astype(np.uint8)), is_noisy((190 + 15 * noise).astype(np.uint8))
    (False, True)
    """
    rows = np.ascontiguousarray(image[:: max(1, round(image.size / 3 / _NOISE_PX)), :, 1])
    difference = cv2.filter2D(rows, cv2.CV_16S, _SECOND_DIFFERENCE)
    return bool(np.count_nonzero(np.abs(difference) > MAX_NOISE) > difference.size / 2)


def light_reasons(field: Field) -> tuple[str, ...]:
    """Name what is wrong with a field's light.

    Only hopeless fields are refused. A blank but well exposed field is none: it holds no cells.

    Parameters
    ----------
    field : to be judged

    Returns
    -------
    Any of ``underexposed``, ``overexposed`` and ``no_colour``; empty for a usable field

    Examples
    --------
    >>> from edge.structures import Frame
    >>> def blank(level):
    ...     return light_reasons(Field(Frame(np.full((60, 80, 3), level, np.uint8), "blank")))
    >>> blank(5), blank(200), blank(255)
    (('underexposed',), (), ('overexposed',))
    """
    reasons = []
    if float(field.background.grid.mean()) < MIN_BLANK:
        reasons.append("underexposed")
    step = max(1, round(field.width * field.height / _SAMPLE_PX))
    red, green, blue = cv2.split(np.ascontiguousarray(field.image[::step]))
    darkest, brightest = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    dark = _histogram(darkest)
    if float(dark[BURNT_OUT:].sum() / dark.sum()) > MAX_BURNT_OUT:
        reasons.append("overexposed")
    # White cells are told from red ones by colour: a count of a grey picture would be 0, and wrong.
    colour = _histogram(cv2.subtract(brightest, darkest))
    if (
        _level(dark, _HIGHEST) - _level(dark, _LOWEST) > BLANK_RANGE
        and _level(colour, _HIGHEST) <= GREY_LEVELS
    ):
        reasons.append("no_colour")
    return tuple(reasons)


def _histogram(plane: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(cv2.calcHist([plane], [0], None, [256], [0, 256]), np.int64).ravel()


def _level(histogram: NDArray[np.int64], share: float) -> int:
    """Lowest level up to which at least this share of the pixels lies."""
    return int(np.searchsorted(np.cumsum(histogram), share * histogram.sum()))
