"""Colour of the blank slide over a field, under uneven and coloured light."""

from __future__ import annotations

import cv2
import numpy as np

from edge.light.median import median
from edge.light.pyramid import Pyramid
from edge.structures import Background

#: Short side of what is looked at, at most twice this.
_SAMPLE_SIDE_PX = 128
#: Rows and columns of tiles: each is wider than a white cell, and a lamp's gradient is smooth over it.
_GRID = (6, 8)
#: Share of a tile's pixels that may be cells; the median of the rest, its brightest, is the blank slide.
_COVERED = 0.9
#: Terms of the surface that log brightness is fitted with: 1, x, y, x², y², xy.
_TERMS = 6
#: Rounds of the fit, in which tiles darker than it by 2 % (full of cells) come to weigh a twentieth.
_ROUNDS, _DARKER, _DARK_WEIGHT = 5, -0.02, 0.05


def estimate_background(pyramid: Pyramid) -> Background:
    """Find the blank slide's colour over the whole field.

    Parameters
    ----------
    pyramid : of an (H, W, 3) uint8 RGB image

    Returns
    -------
    Background

    Notes
    -----
    A quadratic surface is fitted to the logarithm of each tile's brightest pixels by iteratively reweighted
    least squares [1]_: a lamp falls off smoothly, and a tile full of cells is an outlier.

    References
    ----------
    .. [1] P. W. Holland, R. E. Welsch, "Robust regression using iteratively reweighted least-squares",
       Comm. Statist. A 6, 1977.

    Examples
    --------
    >>> blank = np.full((120, 160, 3), (200, 180, 160), np.uint8)
    >>> estimate_background(Pyramid(blank)).at(80, 60).round().tolist()
    [200.0, 180.0, 160.0]
    """
    height, width = pyramid.level(1).shape[:2]
    small = pyramid.sampled(2 * _SAMPLE_SIDE_PX)
    small = np.asarray(cv2.blur(small, (3, 3)), np.uint8)
    rows, columns = _GRID
    # Tiles of equal size side by side: what is left over at the right and at the bottom is less than one.
    h, w = small.shape[0] // rows, small.shape[1] // columns
    tiles = [
        np.ascontiguousarray(
            plane[: rows * h, : columns * w].reshape(rows, h, columns, w).transpose(0, 2, 1, 3)
        ).reshape(rows * columns, h * w)
        for plane in cv2.split(small)
    ]
    light = tiles[0].astype(np.uint16) + tiles[1] + tiles[2]
    covered = int(_COVERED * (h * w - 1))
    brightest = np.argpartition(light, covered, axis=1)[:, covered:]
    grid = np.stack([median(np.take_along_axis(tile, brightest, axis=1)) for tile in tiles], axis=1)
    weights = np.ones(rows * columns, np.float32)
    yy, xx = np.mgrid[0:rows, 0:columns].astype(np.float32)
    yy = (yy + 0.5) / rows * 2 - 1
    xx = (xx + 0.5) / columns * 2 - 1
    terms = np.stack([np.ones_like(xx), xx, yy, xx * xx, yy * yy, xx * yy], axis=-1).reshape(-1, _TERMS)
    values = np.log(np.maximum(grid, 1.0))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        solution, *_ = np.linalg.lstsq(terms * root, values * root, rcond=None)
        residual = (values - terms @ solution).mean(axis=1)
        before, weights = weights, np.where(residual < _DARKER, _DARK_WEIGHT, 1.0).astype(np.float32)
        if np.array_equal(weights, before):
            break  # and so would every further solution be
    fitted = np.exp(terms @ solution).reshape(rows, columns, 3)
    return Background(np.clip(fitted, 1.0, 255.0).astype(np.float32), width, height)
