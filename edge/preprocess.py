"""The one crop: what training, calibration, parity and the device all see of a cell."""

from __future__ import annotations

import cv2
import numpy as np

from edge.structures import Background, InputSpec, UInt8Image


def to_input(
    image: UInt8Image,
    x: float,
    y: float,
    spec: InputSpec,
    *,
    um_per_px: float,
    background: Background,
) -> UInt8Image:
    """Cut the network's input around a cell: same physical size, same white point, whatever the camera.

    The square of ``spec.field_of_view_um`` around (x, y) is cut out (beyond the image's edge the
    border pixels are repeated), resized to ``spec.size_px`` (area averaging when shrinking,
    which does not alias; bilinear when enlarging), and each channel is multiplied so that the
    blank slide at (x, y) becomes ``spec.white_point``. One gain per channel is von Kries'
    adaptation [1]_ with the blank slide as the illuminant.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    x, y : centre of the cell in px of ``image``
    spec : what the crop is made of
    um_per_px : scale of ``image`` in µm per px
    background : colour of the blank slide over ``image``

    Returns
    -------
    (size_px, size_px, 3) uint8 RGB

    References
    ----------
    .. [1] J. von Kries, "Chromatic adaptation", 1902; in D. L. MacAdam (ed.), Sources of Color
       Science, MIT Press, 1970.

    Examples
    --------
    >>> image = np.full((200, 200, 3), (200, 180, 160), np.uint8)
    >>> blank = Background(np.full((1, 1, 3), (200, 180, 160), np.float32), 200, 200)
    >>> crop = to_input(image, 100, 100, InputSpec(), um_per_px=0.2, background=blank)
    >>> crop.shape, int(crop.min()), int(crop.max())
    ((128, 128, 3), 235, 235)
    """
    height, width = image.shape[:2]
    side = max(1, round(spec.field_of_view_um / um_per_px))
    left, top = round(x - side / 2), round(y - side / 2)
    right, bottom = left + side, top + side
    patch = image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    missing = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    if any(missing):
        patch = np.asarray(cv2.copyMakeBorder(patch, *missing, borderType=cv2.BORDER_REPLICATE), np.uint8)
    interpolation = cv2.INTER_AREA if side > spec.size_px else cv2.INTER_LINEAR
    crop = cv2.resize(patch, (spec.size_px, spec.size_px), interpolation=interpolation)
    # A blank slide darker than 1/8 of full scale is an unusable field; the floor only keeps the
    # gain finite where a frame like that is inspected all the same.
    gain = spec.white_point / np.maximum(background.at(x, y), 32.0)
    levels = np.arange(256, dtype=np.float32)[:, None] * gain[None, :]
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, table[None, :, :]), dtype=np.uint8)
