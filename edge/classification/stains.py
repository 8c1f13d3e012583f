"""Colour that travels: each pixel's density in the basis of its cell's nucleus and its field's red cells.

Absolute colour tells laboratories apart before it tells cells apart (docs/classifier.md). But every field
shows two dyes by themselves: what the nucleus took up, and the red cells. A pixel's density is taken apart
into these two and what neither has. Another camera or strength of stain changes the two as it changes the
pixel, so that what is left says which granules and which cytoplasm a cell has.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.colour import stained_outside
from edge.light.field import Field
from edge.light.median import median
from edge.structures import Cell

#: Levels to one in the planes of nucleus, red cells and rest, and the level of none. 98 of 100 px of cells
#: of jhu-aml, pbc and lmu-aml have -0.3 to 0.6 of red cells and -0.15 to 0.2 of the rest to one of nucleus.
_LEVELS = np.array([128.0, 256.0, 640.0], np.float32)
_NONE = np.array([0.0, 80.0, 128.0], np.float32)
#: Density (length of R, G, B) below which a nucleus is no nucleus; it only keeps the ratio finite.
_LEAST_DENSITY = 0.08
#: Sine of the angle between nucleus and red cells below which they are one colour, and a share of either is
#: noise; the sine is 0.3 to 0.6 in every laboratory but wbc-chula (0.15 to 0.5).
_LEAST_SINE = 0.15
#: ... and below which even the direction is rounding.
_NO_SINE = 1e-3
#: Fewer px of :attr:`Field.density` say nothing about the colour of red cells: 50 are three red cells of a
#: field that is 40 µm wide.
_LEAST_PX = 50
_RIM = np.ones((3, 3), np.uint8)
#: Of three axes the next one and the last one before, in turn.
_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])


def red_cell_colour(field: Field, cells: Sequence[Cell]) -> NDArray[np.float32] | None:
    """Find the colour of a field's red cells: the usual one of what is stained outside its white cells.

    Parameters
    ----------
    field : with its density
    cells : all that segmentation found, smudges too

    Returns
    -------
    (3,) float32 R, G and B density, of length 1; None where too little lies outside the cells
    """
    density, total = field.density, field.total
    stained = stained_outside(total, cells, field.sampling_px)
    if np.count_nonzero(stained) < _LEAST_PX:
        return None
    # Plane by plane: NumPy orders contiguous numbers several times as fast.
    usual = median(np.ascontiguousarray((density[stained] / total[stained][:, None]).T))
    return np.asarray(usual / np.linalg.norm(usual), np.float32)


def stain_planes(
    density: NDArray[np.float32],
    cell: NDArray[np.uint8],
    nucleus: NDArray[np.uint8],
    red_cells: NDArray[np.float32] | None,
) -> NDArray[np.uint8]:
    """Take the colours of cells apart into nucleus, red cells and what neither has.

    With n and r, the unit vectors of the nucleus's mean density and of the red cells, the first two planes
    are the coefficients of least squares of a pixel's density on n and r, the third is what is left along
    n × r; all relative to the length of the nucleus's mean. What is not this cell is 0 in all three, so that
    they show its outline, too.

    Parameters
    ----------
    density : (n, s, s, 3) float32, R, G and B
    cell, nucleus : (n, s, s) uint8, 255 inside and 0 outside
    red_cells : (3,) of :func:`red_cell_colour`; with None the first plane is the density along the nucleus's,
        and the two others say nothing

    Returns
    -------
    (n, s, s, 3) uint8

    Examples
    --------
    >>> nucleus, red_cells = np.float32([0.5, 0.6, 0.2]), np.float32([0.4, 0.8, 0.45])
    >>> density = np.zeros((1, 16, 16, 3), np.float32)
    >>> density[0, 4:12, 4:8], density[0, 4:12, 8:12] = nucleus, 0.4 * red_cells
    >>> inside = np.zeros((1, 16, 16), np.uint8)
    >>> inside[0, 4:12, 4:12] = 255
    >>> own = inside.copy()
    >>> own[0, :, 8:] = 0
    >>> planes = stain_planes(density, inside, own, red_cells / np.linalg.norm(red_cells))
    >>> planes[0, 8, 6].tolist(), planes[0, 8, 10].tolist(), planes[0, 0, 0].tolist()
    ([128, 80, 128], [0, 207, 128], [0, 0, 0])
    """
    planes = np.empty(density.shape, np.uint8)
    for one, shown, own, middle in zip(density, planes, cell | nucleus, nucleus, strict=True):
        looked_at = middle if middle.any() else own
        mean = np.asarray(cv2.mean(one, looked_at if looked_at.any() else None)[:3], np.float32)
        levels = np.maximum(cv2.transform(one, _unmixing(mean, red_cells)), 0)
        cv2.bitwise_and(cv2.convertScaleAbs(levels), cv2.merge([cv2.dilate(own, _RIM)] * 3), shown)
    return planes


def _unmixing(nucleus: NDArray[np.float32], red_cells: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Matrix (3, 4) from a density, and a one behind it, to the levels of the three planes."""
    length = max(float(np.linalg.norm(nucleus)), _LEAST_DENSITY)
    along = nucleus / length
    if red_cells is None:
        nothing = np.zeros(3, np.float32)
        return np.column_stack([[along / length * _LEVELS[0], nothing, nothing], _NONE]).astype(np.float32)
    cosine = float(along @ red_cells)
    across = red_cells - cosine * along
    sine = float(np.linalg.norm(across))
    across /= max(sine, _NO_SINE)
    share_of_red = across / max(sine, _LEAST_SINE)
    # The cross product, for which NumPy takes as long as for all of the rest.
    rest = along[_NEXT] * across[_LAST] - along[_LAST] * across[_NEXT]
    matrix = np.empty((3, 4), np.float32)
    matrix[:, :3] = np.array((along - cosine * share_of_red, share_of_red, rest)) / length * _LEVELS[:, None]
    matrix[:, 3] = _NONE
    return matrix
