"""From the bytes of an image file to 8-bit RGB pixels, strictly: damage is an error, never a grey half."""

from __future__ import annotations

import stat
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from edge.errors import ImageError
from edge.structures import UInt8Image

#: Largest image that is decoded. While Pillow decodes, a pixel takes 4 bytes there and 3 here (of a JPEG 3 in
#: all), and a count of fields of 5 Mpx peaks at 152 MB, of 12 Mpx at 183 MB: within the 200 MB that it may
#: use. One of 39 Mpx peaks at 374 MB, which a Pi of 1 GB still bears; no microscope camera in use gives more.
MAX_PIXELS = 40_000_000

#: Pillow would also open formats that run other programs (EPS) or are no photographs. JPEG includes MPO.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "I;16L", "YCbCr")
_TRANSPARENT_MODES = ("LA", "PA", "RGBA")
#: What Pillow 10 to 13 raises on damaged files (found by decoding thousands of randomly damaged ones).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError,
                  OverflowError, AttributeError, struct.error, zlib.error)  # fmt: skip
#: Rows copied at once from Pillow: bounds the extra copy to 2 MB on a 2592 px wide field.
_STRIP_ROWS = 256
#: Bit depths that cameras deliver in 16-bit files. 8: some programs only change the type.
_SENSOR_BITS = (8, 10, 12, 14, 16)
#: TIFF tags (TIFF 6.0, section 8), and the bit of NewSubfileType that marks a smaller copy of a page.
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE = 254, 258
_REDUCED_RESOLUTION = 1


def decode_image(path: Path) -> UInt8Image:
    """Read an image file as 8-bit RGB, upright, whatever its mode.

    Grey is replicated to three channels, transparency is laid on white (the colour of a blank
    slide), palettes and CMYK become RGB, and the EXIF orientation is applied, so that pixel
    coordinates are those of the picture as viewers show it. 16-bit values are scaled to 8 bits
    by :func:`to_8_bit`. Of a photograph with previews (MPO, TIFF with reduced pages) the
    photograph is read.

    Parameters
    ----------
    path : image file: JPEG, PNG, TIFF, BMP or WebP

    Returns
    -------
    (H, W, 3) uint8 RGB

    Raises
    ------
    ImageError
        The file is missing, unreadable, empty, no image, damaged or truncated, has more than
        ``MAX_PIXELS``, several pages, or pixels that are neither 8 nor 16 bit.
    """
    try:
        status = path.stat()
        # Asked before opening, because opening a named pipe waits for its writer.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: not a regular file; give an image file")
        if status.st_size == 0:
            raise ImageError(f"{path}: the file is empty; copy it again from the camera")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    with warnings.catch_warnings():
        # Pillow warns of large images and of odd metadata; sizes are judged here, and damaged pixels raise.
        warnings.simplefilter("ignore")
        return _decode(path)


def to_8_bit(values: NDArray[np.uint16]) -> UInt8Image:
    """Scale 16-bit values to 8 bits by the smallest full scale of 8, 10, 12, 14 or 16 bits that holds them.

    Cameras store 10, 12 or 14-bit values in 16-bit files without saying so. A dim image may be
    taken for one of fewer bits and come out brighter; colours are judged relative to the blank
    slide, so that this does not change a class.

    Parameters
    ----------
    values : array of uint16

    Returns
    -------
    Array of uint8 with the same shape

    Examples
    --------
    >>> to_8_bit(np.array([0, 2048, 4095], np.uint16)).tolist()
    [0, 128, 255]
    """
    highest = int(values.max(initial=0))
    full_scale = next(2**bits - 1 for bits in _SENSOR_BITS if highest < 2**bits)
    if full_scale == 255:
        return values.astype(np.uint8)
    # A table of at most 65,536 entries instead of a float image of 4 bytes a value.
    table = np.rint(np.arange(full_scale + 1, dtype=np.float32) * (255.0 / full_scale)).astype(np.uint8)
    return np.asarray(table[values], dtype=np.uint8)


def _decode(path: Path) -> UInt8Image:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            bits = _bit_depth(path, image)
            _check_header(path, image, bits)
            pixels = _decode_pixels(path, image, bits)
            # After load(), because a PNG may carry it behind its pixels. Pillow turns TIFFs itself and
            # removes the tag.
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Image.DecompressionBombError as error:
        raise _too_large(path, f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not an image, or its beginning is damaged; expected JPEG, PNG, TIFF, BMP or WebP"
        ) from error
    except ImageError:
        raise
    except _DECODE_ERRORS as error:
        raise ImageError(f"{path}: damaged or truncated ({error}); copy it again from the camera") from error
    return _upright(pixels, orientation)


def _decode_pixels(path: Path, image: Image.Image, bits: int) -> UInt8Image:
    """Decode what has passed by its header."""
    if isinstance(image, JpegImageFile) and image.mode in ("L", "RGB"):
        content = path.read_bytes()
        if _is_known_to_turbojpeg(content):
            return _decode_jpeg(content, *image.size)
    image.load()
    return _decode_16_bit(path) if bits == 16 else _to_rgb(image)


def _is_known_to_turbojpeg(content: bytes) -> bool:
    """Whether TurboJPEG reads the header; it has no name for rare samplings of colour."""
    try:
        simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return False
    return True


def _decode_jpeg(content: bytes, width: int, height: int) -> UInt8Image:
    """Decode by libjpeg-turbo, to which a lost block or a missing half is an error.

    Pillow calls the same library, fills what is missing with grey, and says nothing. The pixels of a whole
    file are the same, in two thirds of the time: Pillow's own have 4 bytes and are copied once more.
    """
    # The buffer has the size that was judged: a file whose data want more is an error, not more memory.
    pixels = np.empty((height, width, 3), np.uint8)
    simplejpeg.decode_jpeg(content, "RGB", buffer=pixels, strict=True)
    return pixels


def _check_header(path: Path, image: Image.Image, bits: int) -> None:
    """Refuse by what the header says, before memory is spent on pixels."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} px = {width * height / 1e6:.0f}")
    if image.mode not in _MODES or bits not in (1, 2, 4, 8, 16):
        raise ImageError(
            f"{path}: pixels of mode {image.mode} and {bits} bits are not supported; save as 8 or 16-bit RGB"
        )
    pages = _page_count(image)
    if pages > 1:
        raise ImageError(f"{path}: holds {pages} pages; save each field as a file of its own")


def _too_large(path: Path, size: str) -> ImageError:
    return ImageError(
        f"{path}: {size} megapixels, at most {MAX_PIXELS // 1_000_000} fit the device's memory; "
        "give single fields, not a stitched slide"
    )


def _bit_depth(path: Path, image: Image.Image) -> int:
    """Bits a channel in the file, which Pillow's mode does not tell: it opens 16-bit RGB as RGB."""
    if isinstance(image, PngImageFile):
        # Byte 24 of every PNG is the bit depth in its IHDR chunk.
        with path.open("rb") as file:
            return file.read(25)[24]
    if isinstance(image, TiffImageFile):
        bits: tuple[int, ...] = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        return max(bits)
    return 8


def _page_count(image: Image.Image) -> int:
    """Count full pages: the preview of an MPO and the reduced pages of a TIFF are none."""
    frames = int(getattr(image, "n_frames", 1))
    if frames == 1 or isinstance(image, MpoImageFile):
        return 1
    if not isinstance(image, TiffImageFile):
        return frames
    pages = 0
    for number in range(frames):
        image.seek(number)
        pages += not image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED_RESOLUTION
    image.seek(0)
    return pages


def _to_rgb(image: Image.Image) -> UInt8Image:
    """Copy Pillow's pixels out in strips, so that never more than one whole copy lies beside Pillow's own."""
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        strip = np.asarray(image.crop((0, top, width, min(top + _STRIP_ROWS, height))))
        rows = pixels[top : top + _STRIP_ROWS]
        if strip.ndim == 2:
            rows[:] = strip[:, :, None]
        elif strip.shape[2] == 4:
            rows[:] = _on_white(strip[:, :, :3], strip[:, :, 3:] / np.float32(255))
        else:
            rows[:] = strip
    return pixels


def _decode_16_bit(path: Path) -> UInt8Image:
    """Decode by OpenCV, because Pillow keeps only the upper 8 bits of what it has just found whole."""
    decoded = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise ImageError(f"{path}: its 16-bit pixels cannot be decoded; save it as 8-bit RGB")
    values: NDArray[np.uint16] = decoded.astype(np.uint16, copy=False)
    if values.ndim == 2:
        return np.asarray(cv2.cvtColor(to_8_bit(values), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    colours = np.asarray(cv2.cvtColor(to_8_bit(values[:, :, :3]), cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if values.shape[2] == 4:
        return _on_white(colours, values[:, :, 3:] / np.float32(65535))
    return colours


def _on_white(colours: UInt8Image, opacity: NDArray[np.float32]) -> UInt8Image:
    return np.rint(colours * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _upright(pixels: UInt8Image, orientation: int) -> UInt8Image:
    """Apply an EXIF orientation (tag 274): 2 to 8 are mirrored or turned, anything else is upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
