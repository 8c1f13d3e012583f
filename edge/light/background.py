"""Colour of the blank slide over a field, under uneven and coloured light."""

from __future__ import annotations

import cv2
import numpy as np

from edge.light.pyramid import Pyramid
from edge.structures import Background

#: Short side of what is looked at, at most twice this.
_SAMPLE_SIDE_PX = 128
_GRID = (6, 8)


def estimate_background(pyramid: Pyramid) -> Background:
    """Find the blank slide's colour over the whole field.

    Parameters
    ----------
    pyramid : of an (H, W, 3) uint8 RGB image

    Returns
    -------
    Background

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
    dark = int(0.9 * (h * w - 1))
    top = np.argpartition(light, dark, axis=1)[:, dark:]
    grid = np.stack([np.median(np.take_along_axis(tile, top, axis=1), axis=1) for tile in tiles], axis=1)
    weights = np.ones(rows * columns, np.float32)
    yy, xx = np.mgrid[0:rows, 0:columns].astype(np.float32)
    yy = (yy + 0.5) / rows * 2 - 1
    xx = (xx + 0.5) / columns * 2 - 1
    terms = np.stack([np.ones_like(xx), xx, yy, xx * xx, yy * yy, xx * yy], axis=-1).reshape(-1, 6)
    values = np.log(np.maximum(grid, 1.0))
    for _ in range(5):
        root = np.sqrt(weights)[:, None]
        solution, *_ = np.linalg.lstsq(terms * root, values * root, rcond=None)
        residual = (values - terms @ solution).mean(axis=1)
        weights = np.where(residual < -0.02, 0.05, 1.0).astype(np.float32)
    fitted = np.exp(terms @ solution).reshape(rows, columns, 3)
    return Background(np.clip(fitted, 1.0, 255.0).astype(np.float32), width, height)
