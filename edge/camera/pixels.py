"""From values as files hold them to 8-bit RGB: depth, transparency and orientation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import ImageError
from edge.structures import UInt8Image

#: Largest image that is decoded. While Pillow decodes, a pixel takes 4 bytes there and 3 here (of a JPEG 3 in
#: all), and a count of fields of 5 Mpx peaks at 152 MB, of 12 Mpx at 183 MB: within the 200 MB that it may
#: use. One of 39 Mpx peaks at 374 MB, which a Pi of 1 GB still bears; no microscope camera in use gives more.
MAX_PIXELS = 40_000_000
#: Bit depths that cameras deliver in 16-bit files. 8: some programs only change the type.
_SENSOR_BITS = (8, 10, 12, 14, 16)
#: Rows that are converted at once: bounds what lies beside the picture to a few MB on a 2592 px wide field.
_STRIP_ROWS = 64
_TRANSPARENT_MODES = ("LA", "PA", "RGBA")
_OPAQUE = 255
#: What a field is counted with of which a part is transparent; see :data:`edge.quality.WARNINGS`.
TRANSPARENT = "transparent"


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture by the size in its header, before memory is spent on it.

    Raises
    ------
    ImageError
        It has more than ``MAX_PIXELS``.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: {width}x{height} px = {width * height / 1e6:.0f} megapixels, at most "
            f"{MAX_PIXELS // 1_000_000} fit the device's memory; give single fields, not a stitched slide"
        )


def sensor_bits(highest: int, bits: int | None = None) -> int:
    """Find how many bits a sensor has that gives such a value: the fewest of 8, 10, 12, 14 and 16 that do.

    Cameras store 10, 12 or 14-bit values in 16-bit files without saying so. A dim image may be
    taken for one of fewer bits and come out brighter; colours are judged relative to the blank
    slide, so that this does not change a class.

    Parameters
    ----------
    highest : value of the picture
    bits : how many count, where the file says so and no value is larger

    Examples
    --------
    >>> sensor_bits(4095), sensor_bits(4096)
    (12, 14)
    """
    choices = (bits, *_SENSOR_BITS) if bits else _SENSOR_BITS
    return next(choice for choice in choices if highest < 2**choice)


def scaled(values: NDArray[np.uint16], bits: int) -> UInt8Image:
    """Scale values of so many bits to 8 bits."""
    # Rounded as a division is: no value lies within a float's error of a half.
    levels = cv2.convertScaleAbs(np.ascontiguousarray(values), alpha=255 / (2**bits - 1))
    return np.asarray(levels, np.uint8).reshape(values.shape)


def to_rgb(path: Path, image: Image.Image) -> tuple[UInt8Image, bool]:
    """Copy Pillow's pixels out in strips, so that never more than one whole copy lies beside Pillow's own.

    Returns
    -------
    (H, W, 3) uint8 RGB, and whether some of it is transparent
    """
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if image.mode == "RGBA" else None
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        strip = np.asarray(image.crop((0, top, width, min(top + _STRIP_ROWS, height))))
        pixels[rows] = strip[..., :3] if strip.ndim == 3 else strip[..., None]
        if alpha is not None:
            alpha[rows] = strip[..., 3]
    return pixels, alpha is not None and on_white(path, pixels, alpha)


def on_white(path: Path, colours: UInt8Image, alpha: NDArray[np.uint8], *, multiplied: bool = False) -> bool:
    """Lay a picture in place on white, the colour of a blank slide.

    Parameters
    ----------
    path : for the message
    colours : (H, W, 3) uint8 RGB
    alpha : (H, W) uint8, 255 is opaque
    multiplied : colours were multiplied by it already

    Returns
    -------
    whether some of it is transparent. Viewers lay that on white, black or squares, and what a program has put
    into the channel may be no transparency at all

    Raises
    ------
    ImageError
        Nothing of the picture can be seen.
    """
    if not alpha.any():
        raise ImageError(f"{path}: all of it is transparent; save it without its alpha channel")
    if int(alpha.min()) == _OPAQUE:
        return False
    for top in range(0, len(colours), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        opacity = alpha[rows, :, None] / np.float32(255)
        seen = colours[rows] * (np.float32(1) if multiplied else opacity)
        colours[rows] = np.rint(np.minimum(seen + 255 * (1 - opacity), 255)).astype(np.uint8)
    return True


def upright(pixels: UInt8Image, orientation: int) -> UInt8Image:
    """Apply an EXIF orientation (tag 274): 2 to 8 are mirrored or turned, anything else is upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
