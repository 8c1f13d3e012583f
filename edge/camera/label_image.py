"""Label images and drawings told from photographs by their pixels: few colours in flat areas."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
#: A JPEG of a mask keeps its colours away from edges: in 68 of quality 50 to 95 at least 0.57 of all pixels
#: are flat. Of 400 photographs 13 have more, all of them burnt out.
_FLAT_IN_JPEG = 0.5
#: Colours that are looked for until so few flat pixels are left; levels that a flat area may be off its
#: colour; and levels between two that are not one: at least 127 in the masks, at most 13 in the photographs.
_LABELS, _STRAY, _LEVELS_OFF, _LEVELS_APART = 4, 0.005, 4, 64
#: Most of the flat pixels that may have other colours: 0.019 in the masks.
_UNLABELLED = 0.02
#: Reach of an edge in a JPEG with halved colour, two blocks of 16 px, and the least share of what is not flat
#: that lies so near to two colours. Cells on a burnt-out background have one colour around them, also where a
#: black one surrounds the field.
_EDGE_PX, _BETWEEN = 32, 0.5


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
    colours = _packed(image[:: max(1, len(image) // _ROWS)])
    equal = colours[:, 1:] == colours[:, :-1]
    middle = equal[:, 1:] & equal[:, :-1]
    in_run = np.zeros(colours.shape, bool)
    for left in range(3):
        in_run[:, left : left + middle.shape[1]] |= middle
    flat_share = float(in_run.mean())
    if flat_share >= _FLAT_SHARE:
        values, counts = np.unique(colours, return_counts=True)
        objects = colours != values[counts.argmax()]
        few = 1 < len(values) <= max(2, _COLOURS_A_PIXEL * colours.size)
        if few and in_run[objects].mean() >= _FLAT_SHARE:
            return True
    return flat_share >= _FLAT_IN_JPEG and _is_lossy_label_image(image)


def _is_lossy_label_image(image: UInt8Image) -> bool:
    """Whether flat areas of two or more colours are all that there is, but for the edges between them."""
    highest, lowest = (extreme(image, np.ones((3, 3), np.uint8)) for extreme in (cv2.dilate, cv2.erode))
    flat = (highest == lowest).all(axis=2)
    near, reach = np.zeros(flat.shape, np.uint8), np.ones((2 * _EDGE_PX + 1,) * 2, np.uint8)
    packed = _packed(image)
    rest, labels = flat.copy(), list[UInt8Image]()
    for _ in range(_LABELS):
        if rest.sum() <= _STRAY * flat.sum():
            break
        values, counts = np.unique(packed[rest], return_counts=True)
        commonest = int(values[counts.argmax()])
        colour = np.array([commonest >> 16, commonest >> 8 & 255, commonest & 255], np.uint8)
        off = cv2.absdiff(image, np.broadcast_to(colour, image.shape).copy()).max(axis=2)
        label = rest & (off <= _LEVELS_OFF)
        rest &= ~label
        if all(np.abs(colour.astype(int) - other).max() >= _LEVELS_APART for other in labels):
            labels.append(colour)
            near += cv2.dilate(label.astype(np.uint8), reach).astype(bool)
    if len(labels) < 2 or rest.sum() > _UNLABELLED * flat.sum():
        return False
    return bool((near[~flat] >= 2).mean() >= _BETWEEN)


def _packed(image: UInt8Image) -> NDArray[np.uint32]:
    """Give each pixel's colour as one number."""
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)
