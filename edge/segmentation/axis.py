"""Which channel green is compared with, so that nuclei stand out from red cells.

Nuclei take away more green light than red or blue light. Red cells take away about as much blue light as
green, so green less blue tells the two apart. In a washed-out picture, whose blank slide is burnt out, red
cells have lost their blue density: it is a lower bound, and a video camera's blue is noisy and shifted.
There green less red does it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.colour import LEAST_STAINED_PX, STAINED
from edge.light.density import Against
from edge.light.median import median
from edge.segmentation.stain import MAD_TO_SIGMA

#: Pixels of a nucleus that the strongest contrast is taken over: one of 6 µm in a field 230 µm wide.
_NUCLEUS_PX = 30
#: A nucleus must stand out of the red cells by so many of their own sigmas before green less red is taken ...
_LEAST_SIGNAL = 12.0
#: ... while in green less blue it stands out by fewer than these, and by this factor less. Of 12 washed-out
#: fields 9 are such, with 15 to 26 against 2 to 11.
_POOR_SIGNAL, _FACTOR = 13.0, 2.0
#: Spread below which it is the camera's rounding.
_LEAST_SPREAD = 0.004


def stain_axis(density: NDArray[np.float32], total: NDArray[np.float32]) -> Against:
    """Choose the channel that green's density is compared with.

    Parameters
    ----------
    density : (h, w, 3) R, G and B optical density of the field, see :attr:`edge.light.field.Field.density`
    total : (h, w) their sum

    Returns
    -------
    ``blue``, as in a usual picture, or ``red``
    """
    red, green, blue = cv2.split(density)
    stained = total > STAINED
    if np.count_nonzero(stained) < LEAST_STAINED_PX:
        return "blue"
    usual = _signal(cv2.subtract(green, blue), total, stained)
    if usual >= _POOR_SIGNAL:
        return "blue"
    other = _signal(cv2.subtract(green, red), total, stained)
    return "red" if other >= max(_LEAST_SIGNAL, _FACTOR * usual) else "blue"


def _signal(difference: NDArray[Any], total: NDArray[Any], stained: NDArray[np.bool_]) -> float:
    """How far the strongest contrast stands out of what is stained, in sigmas of its lower half."""
    ratio = float(median(difference[stained] / total[stained]))
    contrast = cv2.addWeighted(difference, 1.0, total, -ratio, 0.0)
    below = contrast[stained & (contrast < 0)]
    spread = -MAD_TO_SIGMA * float(median(below)) if below.size else 0.0
    inner = cv2.erode(contrast, np.ones((3, 3), np.uint8)).ravel()
    strongest = float(np.partition(inner, -_NUCLEUS_PX)[-_NUCLEUS_PX])
    return strongest / max(spread, _LEAST_SPREAD)
