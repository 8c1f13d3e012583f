"""The one crop: what training, calibration, parity and the device all see of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classification.stains import stain_planes
from edge.errors import ImageError
from edge.light.density import density_of_levels
from edge.light.field import Field
from edge.structures import Background, Frame, InputSpec, Outline, UInt8Image

#: Level of a nucleus's own mean density in the density plane. Cytoplasm is paler and clumped chromatin up
#: to twice as dense, so both find room.
NUCLEUS_LEVEL = 128.0
#: Level of the cytoplasm in a plane of both outlines: half of the nucleus's.
_CYTOPLASM_LEVEL = np.uint8(128)
#: Summed density of three channels below which a nucleus is no nucleus: the palest measured have 0.35
#: (see docs/classifier.md); the floor only keeps the ratio finite.
_LEAST_DENSITY = 0.15
#: Darkest level that a density is taken of: below it 8-bit steps are wider than a tenth of a density.
_DARKEST = 6
#: A blank slide darker than 1/8 of full scale is an unusable field; the floor only keeps the gain finite
#: where a frame like that is inspected all the same.
_LEAST_BLANK = 32.0
#: The cell with the rim of one px that its outline may be wrong by.
_RIM = np.ones((3, 3), np.uint8)
#: What halving leaves of the way to a crop's px, at least, for interpolation. With 1.0 a field that needs
#: hardly more than halving would be blurred twice.
_LEFT_TO_INTERPOLATE = 1.2


class Cutter:
    """Cuts the network's inputs out of one field: same physical size, same white point, whatever the camera.

    The square of ``spec.field_of_view_um`` around a cell is cut out (beyond the image's edge the border
    pixels are repeated) and brought to ``spec.size_px``: bilinear when enlarging, averaged over areas, which
    does not alias, when shrinking. Where it shrinks by 2.4 or more the field is halved first, once for all
    its cells (2x2 averages), and what is left is interpolated. Each channel is multiplied so that the blank
    slide at the cell's centre becomes ``spec.white_point``. One gain per channel is von Kries'
    adaptation [1]_ with the blank slide as the illuminant. With ``RGB`` channels that is the crop; with
    others, :func:`planes_of`, :func:`coloured_planes_of` or
    :func:`edge.classification.stains.stain_planes` are made of it.

    Parameters
    ----------
    field : that is cut
    spec : what the crops are made of
    um_per_px : scale of the field in µm per px
    red_cells : their colour, of :func:`edge.classification.stains.red_cell_colour`, where
        ``spec.shows_red_cells`` and the field shows any

    References
    ----------
    .. [1] J. von Kries, "Chromatic adaptation", 1902; in D. L. MacAdam (ed.), Sources of Color
       Science, MIT Press, 1970.
    """

    def __init__(
        self,
        field: Field,
        spec: InputSpec,
        *,
        um_per_px: float,
        red_cells: NDArray[np.float32] | None = None,
    ) -> None:
        self._field = field
        self._spec = spec
        self._red_cells = red_cells
        self._side = max(1, round(spec.field_of_view_um / um_per_px))

    def cut(
        self, centres: Sequence[tuple[float, float]], outlines: Sequence[Outline] | None = None
    ) -> NDArray[np.uint8]:
        """Cut some cells out, each as if it were the only one.

        Parameters
        ----------
        centres : x, y of each cell in px of the image
        outlines : where each cell lies; needed where ``spec.needs_outline``, else not looked at

        Returns
        -------
        (n, size_px, size_px, 3) uint8, the planes that ``spec.channels`` names

        Raises
        ------
        ImageError
            The spec needs outlines and there are none.
        """
        spec = self._spec
        crops = np.empty((len(centres), spec.size_px, spec.size_px, 3), np.uint8)
        if not len(centres):
            return crops
        places = np.asarray(centres, np.float64)
        corners = np.rint(places - self._side / 2).astype(int).tolist()
        self._bring_to_size(corners, crops)
        tables = _balancing(self._field.background.at(places[:, 0], places[:, 1]), spec.white_point)
        if not spec.needs_outline:
            for crop, table in zip(crops, tables, strict=True):
                cv2.LUT(crop, table[None], crop)
            return crops
        if outlines is None:
            raise ImageError(
                f"a crop of channels {spec.channels!r} needs the cell's outline, got none; "
                "give the label images of its field's segmentation"
            )
        inside = self._inside(corners, outlines)
        if spec.shows_red_cells:
            made = coloured_planes_of if spec.channels == "density+rest+outlines" else stain_planes
            densities = np.empty(crops.shape, np.float32)
            for crop, table, coloured in zip(
                crops, _densities(spec.white_point)[tables], densities, strict=True
            ):
                cv2.LUT(crop, table[None], coloured)
            return made(densities, *inside, self._red_cells)
        density = np.empty(crops.shape[:3], np.float32)
        coloured = np.empty(crops.shape[1:], np.float32)
        for crop, table, total in zip(crops, _densities(spec.white_point)[tables], density, strict=True):
            cv2.LUT(crop, table[None], coloured)
            cv2.transform(coloured, _SUM, total)
        return planes_of(density, *inside)

    def _bring_to_size(self, corners: Sequence[Sequence[int]], crops: NDArray[np.uint8]) -> None:
        """Fill crops with the squares at some corners, as they look in the image."""
        size = self._spec.size_px
        shrink = self._side / size
        halvings = math.floor(math.log2(max(1.0, shrink / _LEFT_TO_INTERPOLATE)))
        if not halvings:
            interpolation = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
            for (left, top), crop in zip(corners, crops, strict=True):
                patch = _patch(self._field.image, left, top, self._side)
                cv2.resize(patch, (size, size), crop, interpolation=interpolation)
            return
        factor = 2**halvings
        image = self._field.pyramid.level(factor)
        # Halving leaves out what is left of an odd number of columns or rows.
        region = (0, 0, image.shape[1] * factor, image.shape[0] * factor)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for (left, top), crop in zip(corners, crops, strict=True):
            onto = _onto(image, region, left, top, shrink)
            cv2.warpAffine(image, onto, (size, size), crop, flags, cv2.BORDER_REPLICATE)

    def _inside(
        self, corners: Sequence[Sequence[int]], outlines: Sequence[Outline]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Masks of cells and of their nuclei in the crops, (n, size_px, size_px) uint8, 255 inside."""
        size = self._spec.size_px
        cut = np.empty((2, len(corners), size, size), np.uint16)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        for i, ((left, top), outline) in enumerate(zip(corners, outlines, strict=True)):
            onto = _onto(outline.cells, outline.region, left, top, self._side / size)
            cv2.warpAffine(outline.cells, onto, (size, size), cut[0, i], flags)
            cv2.warpAffine(outline.nuclei, onto, (size, size), cut[1, i], flags)
        labels = np.array([outline.label for outline in outlines], np.uint16)
        cell, nucleus = (cut == labels[:, None, None]).view(np.uint8) * np.uint8(255)
        return cell, nucleus


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
    """Cut a single cell out of an image, as :class:`Cutter` does.

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

    Examples
    --------
    >>> image = np.full((200, 200, 3), (200, 180, 160), np.uint8)
    >>> blank = Background(np.full((1, 1, 3), (200, 180, 160), np.float32), 200, 200)
    >>> crop = to_input(image, 100, 100, InputSpec(), um_per_px=0.2, background=blank)
    >>> crop.shape, int(crop.min()), int(crop.max())
    ((128, 128, 3), 235, 235)
    """
    field = Field(Frame(image, "a crop"), background)
    cutter = Cutter(field, spec, um_per_px=um_per_px)
    crop: UInt8Image = cutter.cut([(x, y)], None if outline is None else [outline])[0]
    return crop


def channel_densities(crop: UInt8Image, white_point: int) -> NDArray[np.float32]:
    """Optical density over the blank slide, (s, s, 3) float32, of a (s, s, 3) uint8 RGB crop; at least 0."""
    return np.asarray(cv2.LUT(crop, _densities(white_point)), dtype=np.float32)


def planes_of(
    density: NDArray[np.float32], cell: NDArray[np.uint8], nucleus: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Say of cells what neither lamp nor camera nor strength of stain decides: shape and inner contrast.

    The density plane is the optical density, summed over the three channels, relative to the nucleus's own
    mean; what is not this cell is blank in it. The two others are the outlines. Absolute densities and hues
    differ more between laboratories than between classes, sizes and ratios less (docs/classifier.md).

    Parameters
    ----------
    density : (n, s, s) float32, summed
    cell, nucleus : (n, s, s) uint8, 255 inside and 0 outside

    Returns
    -------
    (n, s, s, 3) uint8: density (``NUCLEUS_LEVEL`` is the nucleus's mean), cell, nucleus

    Examples
    --------
    >>> density = np.zeros((1, 16, 16), np.float32)
    >>> density[0, 4:12, 4:12] = 1.1
    >>> inside = np.where(density > 0, 255, 0).astype(np.uint8)
    >>> planes_of(density, inside, inside)[0, 8, 8].tolist()
    [128, 255, 255]
    """
    size = density.shape[-1]
    own = cell | nucleus
    looked_at = np.where(nucleus.any(axis=(1, 2), keepdims=True), nucleus, own) > 0
    number = np.count_nonzero(looked_at, axis=(1, 2))
    mean = (density * looked_at).sum(axis=(1, 2)) / np.maximum(number, 1)
    mean = np.where(number, mean, density.max(axis=(1, 2)))
    scale = np.float32(NUCLEUS_LEVEL) / np.maximum(mean, _LEAST_DENSITY).astype(np.float32)
    # OpenCV takes a stack for one tall picture, which makes no difference where each px is by itself.
    relative = cv2.convertScaleAbs((density * scale[:, None, None]).reshape(-1, size)).reshape(own.shape)
    for plane, shape in zip(relative, own, strict=True):
        cv2.bitwise_and(plane, cv2.dilate(shape, _RIM), plane)
    planes = cv2.merge([plane.reshape(-1, size) for plane in (relative, own, nucleus)])
    return np.asarray(planes, np.uint8).reshape(*own.shape, 3)


def coloured_planes_of(
    density: NDArray[np.float32],
    cell: NDArray[np.uint8],
    nucleus: NDArray[np.uint8],
    red_cells: NDArray[np.float32] | None,
) -> NDArray[np.uint8]:
    """Say of cells what :func:`planes_of` says, and of their colour what travels between laboratories.

    Parameters
    ----------
    density : (n, s, s, 3) float32, R, G and B
    cell, nucleus : (n, s, s) uint8, 255 inside and 0 outside
    red_cells : (3,) of :func:`edge.classification.stains.red_cell_colour`; None where the field shows none

    Returns
    -------
    (n, s, s, 3) uint8: density as there, the rest of :func:`edge.classification.stains.stain_planes`, and
    both outlines in one plane, 128 in the cytoplasm and 255 in the nucleus
    """
    total = np.empty(density.shape[:3], np.float32)
    for coloured, one in zip(density, total, strict=True):
        cv2.transform(coloured, _SUM, one)
    planes = planes_of(total, cell, nucleus)
    planes[..., 2] |= planes[..., 1] & _CYTOPLASM_LEVEL
    planes[..., 1] = stain_planes(density, cell, nucleus, red_cells)[..., 2]
    return planes


_SUM = np.ones((1, 3), np.float32)


def _balancing(blank: NDArray[np.float32], white_point: int) -> NDArray[np.uint8]:
    """Level of each channel's levels once the blank slide, (n, 3), is at the white point: (n, 256, 3)."""
    gain = white_point / np.maximum(blank, _LEAST_BLANK)
    levels = np.arange(256, dtype=np.float32)[:, None] * gain[:, None]
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _densities(white_point: int) -> NDArray[np.float32]:
    """Optical density of each level over the blank slide, (256,) float32; what is brighter has none."""
    return np.maximum(density_of_levels(white_point, _DARKEST), 0)


def _patch(image: UInt8Image, left: int, top: int, side: int) -> UInt8Image:
    """Square of an image, whose border pixels are repeated beyond its edge."""
    height, width = image.shape[:2]
    right, bottom = left + side, top + side
    patch = image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    missing = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    if any(missing):
        return np.asarray(cv2.copyMakeBorder(patch, *missing, borderType=cv2.BORDER_REPLICATE), np.uint8)
    return patch


def _onto(
    image: NDArray[np.generic], region: tuple[float, float, float, float], left: int, top: int, step: float
) -> NDArray[np.float64]:
    """Matrix from the px of a crop to those of an image that shows a region of the field.

    Centre to centre: px i of the crop is at left + (i + 1/2) step of the field, and px j of the image at
    x0 + (j + 1/2) / fx, fx px of the image a px of the field.

    Parameters
    ----------
    image : the image, for its size
    region : (x0, y0, x1, y1) that it shows, px of the field
    left, top : corner of the crop, px of the field
    step : px of the field a px of the crop

    Returns
    -------
    (2, 3)
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = region
    fx, fy = width / (x1 - x0), height / (y1 - y0)
    return np.array(
        [
            [step * fx, 0, (left - x0 + step / 2) * fx - 0.5],
            [0, step * fy, (top - y0 + step / 2) * fy - 0.5],
        ]
    )
