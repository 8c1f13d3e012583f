"""The one crop: what training, calibration, parity and the device all see of a cell."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.structures import Background, InputSpec, Outline, UInt8Image

#: Level of a nucleus's own mean density in the density plane. Cytoplasm is paler and clumped chromatin up
#: to twice as dense, so both find room.
NUCLEUS_LEVEL = 128.0
#: Summed density of three channels below which a nucleus is no nucleus: the palest measured have 0.35
#: (see docs/classifier.md); the floor only keeps the ratio finite.
_LEAST_DENSITY = 0.15
#: Darkest level that a density is taken of: below it 8-bit steps are wider than a tenth of a density.
_DARKEST = 6
#: The cell with the rim of one px that its outline may be wrong by.
_RIM = np.ones((3, 3), np.uint8)


def to_input(
    image: UInt8Image,
    x: float,
    y: float,
    spec: InputSpec,
    *,
    um_per_px: float,
    background: Background,
    outline: Outline | None = None,
) -> UInt8Image:
    """Cut the network's input around a cell: same physical size, same white point, whatever the camera.

    The square of ``spec.field_of_view_um`` around (x, y) is cut out (beyond the image's edge the
    border pixels are repeated), resized to ``spec.size_px`` (area averaging when shrinking,
    which does not alias; bilinear when enlarging), and each channel is multiplied so that the
    blank slide at (x, y) becomes ``spec.white_point``. One gain per channel is von Kries'
    adaptation [1]_ with the blank slide as the illuminant. With ``RGB`` channels that is the crop; with
    others, :func:`relative_planes` are made of it.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    x, y : centre of the cell in px of ``image``
    spec : what the crop is made of
    um_per_px : scale of ``image`` in µm per px
    background : colour of the blank slide over ``image``
    outline : where the cell lies; needed where ``spec.needs_outline``, else not looked at

    Returns
    -------
    (size_px, size_px, 3) uint8, the planes that ``spec.channels`` names

    Raises
    ------
    ImageError
        The spec needs an outline and there is none.

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
    balanced = np.asarray(cv2.LUT(crop, table[None, :, :]), dtype=np.uint8)
    if not spec.needs_outline:
        return balanced
    if outline is None:
        raise ImageError(
            f"a crop of channels {spec.channels!r} needs the cell's outline, got none; "
            "give the label images of its field's segmentation"
        )
    cell, nucleus = (
        _cut_label(labels, outline, left, top, side, spec.size_px)
        for labels in (outline.cells, outline.nuclei)
    )
    return relative_planes(balanced, cell, nucleus, spec.white_point)


def relative_planes(
    crop: UInt8Image, cell: NDArray[np.uint8], nucleus: NDArray[np.uint8], white_point: int
) -> UInt8Image:
    """Say of a cell what neither lamp nor camera nor strength of stain decides: its shape and inner contrast.

    The density plane is the optical density, summed over the three channels, relative to the nucleus's own
    mean; what is not this cell is blank in it. The two others are the outlines. Absolute densities and hues
    differ more between laboratories than between classes, sizes and ratios less (docs/classifier.md).

    Parameters
    ----------
    crop : (s, s, 3) uint8 RGB, blank slide at ``white_point``
    cell, nucleus : (s, s) uint8, 255 inside and 0 outside
    white_point : level of the blank slide

    Returns
    -------
    (s, s, 3) uint8: density (``NUCLEUS_LEVEL`` is the nucleus's mean), cell, nucleus

    Examples
    --------
    >>> crop = np.full((16, 16, 3), 235, np.uint8)
    >>> crop[4:12, 4:12] = 60
    >>> inside = np.where(crop[..., 0] < 235, 255, 0).astype(np.uint8)
    >>> relative_planes(crop, inside, inside, 235)[8, 8].tolist()
    [128, 255, 255]
    """
    density = cv2.transform(channel_densities(crop, white_point), np.ones((1, 3), np.float32))
    return planes_of(density, cell, nucleus)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype


def channel_densities(crop: UInt8Image, white_point: int) -> NDArray[np.float32]:
    """Optical density over the blank slide, (s, s, 3) float32, of a (s, s, 3) uint8 RGB crop; at least 0."""
    levels = np.maximum(np.arange(256, dtype=np.float32), _DARKEST)
    table = np.maximum(np.log10(np.float32(white_point) / levels), 0).astype(np.float32)
    return np.asarray(cv2.LUT(crop, table), dtype=np.float32)


def planes_of(
    density: NDArray[np.float32], cell: NDArray[np.uint8], nucleus: NDArray[np.uint8]
) -> UInt8Image:
    """Make the planes of :func:`relative_planes` from a summed density, (s, s) float32."""
    own = cv2.bitwise_or(cell, nucleus)
    inside = nucleus if nucleus.any() else own
    mean = cv2.mean(density, mask=inside)[0] if inside.any() else float(density.max())
    relative = cv2.convertScaleAbs(density, alpha=NUCLEUS_LEVEL / max(mean, _LEAST_DENSITY))
    relative = cv2.bitwise_and(relative, cv2.dilate(own, _RIM))
    return np.asarray(cv2.merge([relative, own, nucleus]), dtype=np.uint8)


def _cut_label(
    labels: NDArray[np.uint16], outline: Outline, left: int, top: int, side: int, size_px: int
) -> NDArray[np.uint8]:
    """Cut one label out of a label image: (size_px, size_px) uint8, 255 where it is."""
    h, w = labels.shape
    x0, y0, x1, y1 = outline.region
    fx, fy = w / (x1 - x0), h / (y1 - y0)
    step = side / size_px  # px of the field a px of the crop
    # Centre to centre: px i of the crop is at left + (i + 1/2) step of the field, and that at fx times it.
    matrix = np.array(
        [
            [step * fx, 0, (left - x0 + step / 2) * fx - 0.5],
            [0, step * fy, (top - y0 + step / 2) * fy - 0.5],
        ],
        np.float32,
    )
    cut = cv2.warpAffine(labels, matrix, (size_px, size_px), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return np.asarray(np.where(cut == outline.label, 255, 0), dtype=np.uint8)
