"""What edges tell of a picture: whether all of it came through a lens, and with square pixels.

Cells are round and lie at random. A line through the whole field, at which the colour changes in every place
at once, joins two pictures, or a picture and a strip of lettering. Where most edges run in one direction, the
pixels are wider than high, or the other way round, and every size that is measured is wrong. And light blurs
every edge over some tenths of a µm: where there are several pixels to that, an edge from one pixel to the
next was drawn, or sharpened by a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.field import Field
from edge.light.pyramid import Lines
from edge.light.sharpness import quantiles

#: Share of the rows and columns at either end where no seam is looked for: a sensor's outermost are bad, and
#: a video's are dark.
_SEAM_MARGIN = 0.03
#: Mean change of level from one row to the next that is a seam, and how many times that of the third largest
#: change of the picture it is: up to 2.0 in 58 pictures of 12 sources, 2.2 to 43 in 18 fields of which a half
#: or a quarter has red and blue swapped, one of them under 2.9.
_LEAST_SEAM, _SEAM_RATIO = 5.0, 2.6
#: Changes of a seam: the row itself, and its neighbour where the picture was compressed or resized.
_SEAM_ROWS = 2
#: Most that edges in one direction outweigh those in the other, (x - y) / (x + y) of the squared gradients'
#: sums. 84 fields of four sources have -0.1 to 0.15; pixels 1.4 times as wide as high give 0.32.
_MOST_STRETCHED = 0.18
#: Pictures with a shorter side have too few cells for a mean, and may be what somebody made square; and one
#: cell is a good part of a line through them. Of 240 four have a line at which green changes. Of 1,588 three
#: have one of colour: two with a scale bar on a white box, and one that was put together of two.
_LEAST_SIDE_PX = 400
#: Density up to which edges count, a red cell's: nuclei are few and of any shape.
_FULL_DENSITY = 0.4
#: Edges are the px of a gradient over this share of the 98th percentile, and there are so many at least.
_EDGE_SHARE, _LEAST_EDGE_PX = 0.25, 1500
#: Coarsest scale at which light leaves no edge from one px to the next. The median edge has 0.34 to 0.49 of
#: its height within two px in fields of six sources of 0.12 µm per px and finer, one that sharpens its
#: pictures has 0.44 to 0.56; coarser ones 0.47 to 0.77.
_COARSEST_UM_PER_PX = 0.115
#: Edges of a row or column that are looked at: of so many levels within so many px.
_EDGE_LEVELS, _EDGE_PX = 45, 9
#: Share of its height that an edge has within two px to be steep, and to be drawn, and the most edges that
#: may be so, if they are so many. In 24 fields of four sources that are fine enough and 6 pictures of two
#: more up to 0.027 are steep and 0.004 drawn, in 3 of a camera that sharpens 0.15 and 0.024; 24 lettered
#: ones, ones with marks and ones sharpened have 0.02 to 0.97 and 0.003 to 0.97.
_STEEP, _DRAWN = 0.75, 0.9
_MOST_STEEP, _MOST_DRAWN, _LEAST_STEEP_PX = 0.17, 0.03, 30


@dataclass(frozen=True, slots=True)
class Seams:
    """Whether straight lines part the picture.

    Attributes
    ----------
    colour : red less blue changes at one
    light : green does; in small pictures only where colour changes as well
    """

    colour: bool
    light: bool


def find_seams(picture: Lines) -> Seams:
    """Look for lines through the field, or through half of it, at which all changes at once.

    Parameters
    ----------
    picture : rows and columns of it

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(190, 210, (80, 120, 3), np.uint8)
    >>> image[..., 2] -= 20
    >>> find_seams(Lines.of(image))
    Seams(colour=False, light=False)
    >>> image[:40] = image[:40, :, ::-1]
    >>> find_seams(Lines.of(image))
    Seams(colour=True, light=False)
    """
    colour = light = False
    width, height = picture.rows.shape[1], picture.columns.shape[1]
    for lines in (picture.rows, picture.columns):
        red, green, blue = cv2.split(lines)
        colour |= _has_seam(cv2.subtract(red, blue, dtype=cv2.CV_16S))
        light |= _has_seam(green)
    return Seams(colour, light and (colour or min(height, width) >= _LEAST_SIDE_PX))


def _has_seam(lines: NDArray[Any]) -> bool:
    """Whether one px of lines that run through the picture differs from the next by far more than any other.

    Parameters
    ----------
    lines : (n, px), one channel; looked at as a whole and in halves
    """
    change = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    halves = np.array_split(change, 2)
    first, second = (cv2.reduce(half, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() for half in halves)
    margin = round(_SEAM_MARGIN * len(first)) + 1
    for means in (first, second, (first + second) / 2):
        inner = means[margin:-margin]
        if len(inner) <= _SEAM_ROWS:
            continue
        usual, *_, largest = np.partition(inner, (-_SEAM_ROWS - 1, -1))[-_SEAM_ROWS - 1 :].tolist()
        if largest > _LEAST_SEAM and largest > _SEAM_RATIO * max(1.0, usual):
            return True
    return False


def is_stretched(field: Field) -> bool:
    """Whether edges of one direction outweigh those of the other, as where pixels are not square.

    Notes
    -----
    The squared gradients of round things at random sum up to the same in x and y. Pixels that are wider than
    high by a factor f multiply the sum in x by the square of f.
    """
    if min(field.width, field.height) < _LEAST_SIDE_PX:
        return False
    total = np.clip(field.total, 0, _FULL_DENSITY)
    smooth = cv2.GaussianBlur(total, (0, 0), 1.0)
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *way, ksize=3)[2:-2, 2:-2] ** 2 for way in ((1, 0), (0, 1)))
    gradient = np.sqrt(x + y)
    edge = gradient > _EDGE_SHARE * quantiles(gradient, (0.98,))[0]
    if np.count_nonzero(edge) < _LEAST_EDGE_PX:
        return False
    along, across = (cv2.mean(way, edge.view(np.uint8))[0] for way in (x, y))
    return abs(along - across) > _MOST_STRETCHED * (along + across)


def is_too_sharp(picture: Lines, um_per_px: float) -> bool:
    """Whether edges are steeper than light can be: lettering, marks, or a picture sharpened by a program.

    Parameters
    ----------
    picture : rows and columns of it
    um_per_px : its scale; at a coarse one a true edge, too, lies between two pixels
    """
    if um_per_px > _COARSEST_UM_PER_PX:
        return False
    ways = (np.asarray(cv2.extractChannel(lines, 1), np.uint8) for lines in (picture.rows, picture.columns))
    steepness = np.concatenate([_steepness(way) for way in ways])
    steep, drawn = (int(np.count_nonzero(steepness > least)) for least in (_STEEP, _DRAWN))
    return steep >= _LEAST_STEEP_PX and (
        steep > _MOST_STEEP * len(steepness) or drawn > _MOST_DRAWN * len(steepness)
    )


def _steepness(lines: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Share of its height that each edge along a line has within two px."""
    near = np.ones((1, _EDGE_PX), np.uint8)
    height = cv2.morphologyEx(lines, cv2.MORPH_GRADIENT, near)[:, 1:-1]
    step = cv2.absdiff(lines[:, 2:], lines[:, :-2])
    edge = np.flatnonzero((height >= _EDGE_LEVELS) & (step >= cv2.dilate(step, near)))
    return np.asarray(step.ravel()[edge] / height.ravel()[edge].astype(np.float32), np.float32)
