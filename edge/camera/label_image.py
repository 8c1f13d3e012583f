"""Label images and drawings told from photographs by their pixels: few colours in flat areas."""

from __future__ import annotations

import numpy as np

from edge.structures import UInt8Image

#: Rows that are looked at: enough to meet the objects of a label image, in 2 % of a 5 Mpx field's time.
_ROWS = 128
#: Share of the pixels in runs of three or more equal ones, of what is not the commonest colour: at least
#: 0.977 in 59 masks of three data sets, at most 0.53 in 770 photographs of eleven, grey or not; 0.82 in one
#: saved again as a JPEG of quality 30, whose blocks have lost their noise. All pixels must have that share,
#: too, which is asked first because it costs least.
_FLAT_SHARE = 0.9
#: Colours for each pixel looked at: at most 0.0003 in the masks, and 0.003 where each of 2,000 cells has its
#: own; at least 0.006 in the photographs in colour. For those with flat areas of two kinds: the black
#: around a round field of view, and a burnt-out background.
_COLOURS_A_PIXEL = 0.005


def is_label_image(image: UInt8Image) -> bool:
    """Whether a picture is a label image (a mask), or drawn like one: no photograph of a field.

    A picture of a single colour is none: an empty mask cannot be told from a photograph without light.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Examples
    --------
    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> is_label_image(image)
    False
    >>> image[10:20, 10:20] = 255
    >>> is_label_image(image)
    True
    """
    rows = image[:: max(1, len(image) // _ROWS)].astype(np.uint32)
    colours = rows[..., 0] << 16 | rows[..., 1] << 8 | rows[..., 2]
    equal = colours[:, 1:] == colours[:, :-1]
    middle = equal[:, 1:] & equal[:, :-1]
    in_run = np.zeros(colours.shape, bool)
    for left in range(3):
        in_run[:, left : left + middle.shape[1]] |= middle
    if in_run.mean() < _FLAT_SHARE:
        return False
    values, counts = np.unique(colours, return_counts=True)
    if not 1 < len(values) <= max(2, _COLOURS_A_PIXEL * colours.size):
        return False
    objects = colours != values[counts.argmax()]
    return bool(in_run[objects].mean() >= _FLAT_SHARE)
