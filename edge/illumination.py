"""Colour of the blank slide over a field, under uneven and coloured light."""

from __future__ import annotations

import cv2
import numpy as np

from edge.structures import Background, UInt8Image

_SAMPLE_SIDE_PX = 256
_GRID = (6, 8)


def estimate_background(image: UInt8Image) -> Background:
    """Find the blank slide's colour over the whole field.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    Background

    Examples
    --------
    >>> blank = np.full((120, 160, 3), (200, 180, 160), np.uint8)
    >>> estimate_background(blank).at(80, 60).round().tolist()
    [200.0, 180.0, 160.0]
    """
    height, width = image.shape[:2]
    step = max(1, min(height, width) // _SAMPLE_SIDE_PX)
    small = cv2.blur(np.ascontiguousarray(image[::step, ::step]), (3, 3)).astype(np.float32)
    h, w = small.shape[:2]
    rows, columns = _GRID
    grey = cv2.transform(small, np.ones((1, 3), np.float32))
    grid = np.zeros((rows, columns, 3), np.float32)
    weight = np.zeros((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            sl = (slice(r * h // rows, (r + 1) * h // rows), slice(c * w // columns, (c + 1) * w // columns))
            tile, light = small[sl].reshape(-1, 3), grey[sl].ravel()
            if light.size == 0:
                continue
            top = np.argpartition(light, int(0.9 * (light.size - 1)))[int(0.9 * (light.size - 1)) :]
            grid[r, c] = np.median(tile[top], axis=0)
            weight[r, c] = 1.0
    yy, xx = np.mgrid[0:rows, 0:columns].astype(np.float32)
    yy = (yy + 0.5) / rows * 2 - 1
    xx = (xx + 0.5) / columns * 2 - 1
    terms = np.stack([np.ones_like(xx), xx, yy, xx * xx, yy * yy, xx * yy], axis=-1).reshape(-1, 6)
    values = np.log(np.maximum(grid, 1.0)).reshape(-1, 3)
    weights = weight.ravel().copy()
    for _ in range(5):
        root = np.sqrt(weights)[:, None]
        solution, *_ = np.linalg.lstsq(terms * root, values * root, rcond=None)
        residual = (values - terms @ solution).mean(axis=1)
        weights = np.where(residual < -0.02, 0.05, 1.0).astype(np.float32)
    fitted = np.exp(terms @ solution).reshape(rows, columns, 3)
    return Background(np.clip(fitted, 1.0, 255.0).astype(np.float32), width, height)
