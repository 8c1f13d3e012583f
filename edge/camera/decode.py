"""From the bytes of an image file to 8-bit RGB pixels, strictly: damage is an error, never a grey half."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from edge.camera.containers import check_bmp, check_png, check_webp
from edge.camera.jpeg import decode_jpeg, read_header
from edge.camera.pixels import MAX_PIXELS, check_size, on_white, to_8_bit, to_rgb, upright
from edge.camera.signature import HEAD_BYTES, kind_of
from edge.errors import ImageError
from edge.structures import UInt8Image

#: What is decoded, by signature. Pillow would also open formats that run other programs (EPS) or are no
#: photographs.
_KINDS = ("JPEG", "PNG", "BMP", "TIFF", "WebP")
_FORMATS = ("PNG", "BMP", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "YCbCr")
#: Largest file: 4 channels of 16 bits for each pixel, and room for metadata, previews and a pyramid. More is
#: the length of a damaged directory, whatever lies there.
_MOST_BYTES = 8 * MAX_PIXELS + 80_000_000
_BYTES_PER_PX, _BYTES_BESIDE = 8, 32_000_000
#: Largest PNG of 16 bits: OpenCV 4.11 holds its pixels twice, 16 bytes each with an alpha channel. Of this
#: size it takes 1.5 times what 8 bits take of ``MAX_PIXELS``.
_MOST_DEEP_PIXELS = 26_000_000
#: What Pillow 10 to 13 and tifffile raise on damaged files (found by decoding thousands of randomly damaged
#: ones).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, AssertionError,
                  OverflowError, AttributeError, ZeroDivisionError, MemoryError, struct.error, zlib.error,
                  cv2.error, Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file as decoded.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 RGB, upright
    um_per_px : µm per px where the file tells it, None else
    """

    pixels: UInt8Image
    um_per_px: float | None = None


def decode_picture(path: Path) -> Picture:
    """Read an image file as 8-bit RGB, upright, whatever its mode.

    Grey is replicated to three channels, transparency is laid on white (the colour of a blank
    slide), palettes and CMYK become RGB, and the EXIF orientation is applied, so that pixel
    coordinates are those of the picture as viewers show it. 16-bit values are scaled to 8 bits
    by :func:`edge.camera.pixels.to_8_bit`. Of a photograph with previews (MPO, TIFF with reduced pages) the
    photograph is read. OME-TIFF may tell the scale.

    Parameters
    ----------
    path : image file: JPEG, PNG, TIFF, BMP or WebP

    Returns
    -------
    Picture

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
        with path.open("rb") as file:
            kind = kind_of(file.read(HEAD_BYTES))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if kind not in _KINDS:
        found = f"by its content this is {kind}" if kind else "not an image, or its beginning is damaged"
        raise ImageError(f"{path}: {found}; expected JPEG, PNG, TIFF, BMP or WebP")
    if status.st_size > _MOST_BYTES:
        raise ImageError(
            f"{path}: {status.st_size / 1e6:.0f} MB, which is no single field or a damaged copy; "
            f"at most {_MOST_BYTES / 1e6:.0f} MB are read"
        )
    with warnings.catch_warnings():
        # Pillow warns of large images and of odd metadata; sizes are judged here, and damaged pixels raise.
        warnings.simplefilter("ignore")
        try:
            if kind == "TIFF":
                # Here, because it takes 40 ms and most counts meet no TIFF.
                from edge.camera.tiff import decode_tiff

                return Picture(*decode_tiff(path))
            decode = _decode_jpeg if kind == "JPEG" else _decode
            return Picture(decode(path, status.st_size))
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path}: the beginning of this {kind} is damaged; copy it again from the camera"
            ) from error
        except _DECODE_ERRORS as error:
            raise ImageError(
                f"{path}: damaged or truncated ({error}); copy it again from the camera"
            ) from error


def _decode_jpeg(path: Path, size: int) -> UInt8Image:
    if size > _BYTES_PER_PX * MAX_PIXELS:
        raise ImageError(f"{path}: {size / 1e6:.0f} MB are no JPEG of a field; copy it again from the camera")
    with path.open("rb") as file:
        # A tail that is no picture's is not read: of a header alone its size is known.
        content = file.read(_BYTES_BESIDE)
        header = read_header(content)
        _check_size(path, header.width, header.height, size)
        content += file.read()
    if header.bits != 8 or header.lossless:
        raise ImageError(
            f"{path}: a {f'{header.bits}-bit' if header.bits != 8 else 'lossless'} JPEG; "
            "save it as a usual one of 8 bits, or as PNG"
        )
    try:
        pixels = decode_jpeg(content, header)
    except ValueError as error:
        try:
            simplejpeg.decode_jpeg_header(content, strict=False)
        except (ValueError, KeyError):  # what only lenient decoders read
            raise ImageError(
                f"{path}: the header of this JPEG is damaged, or its colours are sampled as no camera does; "
                "save it again as RGB"
            ) from error
        raise
    if header.components == 4 or header.has_exif:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            if header.components == 4:  # Pillow knows whether it is inverted
                pixels = to_rgb(path, image)
            return upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))
    return pixels


def _decode(path: Path, size: int) -> UInt8Image:
    try:
        image = Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels, at most "
            f"{MAX_PIXELS // 1_000_000} fit the device's memory; give single fields, not a stitched slide"
        ) from error
    with image:
        bits = _bit_depth(path, image)
        _check_header(path, image, bits, size)
        pixels = _decode_pixels(path, image, bits, size)
        # After load(), because a PNG may carry it behind its pixels.
        return upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))


def _decode_pixels(path: Path, image: Image.Image, bits: int, size: int) -> UInt8Image:
    """Decode what has passed by its header."""
    with path.open("rb") as file:
        if isinstance(image, PngImageFile):
            check_png(file)
        elif image.format == "BMP":
            check_bmp(file, size)
        else:
            check_webp(file, size)
    if bits == 16:
        return _decode_16_bit(path)
    image.load()
    return to_rgb(path, image)


def _check_size(path: Path, width: int, height: int, size: int) -> None:
    check_size(path, width, height)
    if size > _BYTES_PER_PX * width * height + _BYTES_BESIDE:
        raise ImageError(
            f"{path}: {size / 1e6:.0f} MB for {width}x{height} px; copy it again from the camera"
        )


def _check_header(path: Path, image: Image.Image, bits: int, size: int) -> None:
    """Refuse by what the header says, before memory is spent on pixels."""
    _check_size(path, *image.size, size)
    if image.mode not in _MODES or bits not in (1, 2, 4, 8, 16):
        raise ImageError(
            f"{path}: pixels of mode {image.mode} and {bits} bits are not supported; save as 8 or 16-bit RGB"
        )
    if bits == 16 and image.width * image.height > _MOST_DEEP_PIXELS:
        raise ImageError(
            f"{path}: {image.width}x{image.height} px of 16 bits, at most {_MOST_DEEP_PIXELS / 1e6:.0f} "
            "megapixels fit the device's memory; save it as 8-bit RGB"
        )
    pages = int(getattr(image, "n_frames", 1))
    if pages > 1:
        raise ImageError(f"{path}: holds {pages} pages; save each field as a file of its own")


def _bit_depth(path: Path, image: Image.Image) -> int:
    """Bits a channel in the file, which Pillow's mode does not tell: it opens 16-bit RGB as RGB."""
    if isinstance(image, PngImageFile):
        # Byte 24 of every PNG is the bit depth in its IHDR chunk.
        with path.open("rb") as file:
            return file.read(25)[24]
    return 8


def _decode_16_bit(path: Path) -> UInt8Image:
    """Decode a PNG by OpenCV, because Pillow keeps only the upper 8 bits."""
    with path.open("rb") as file:  # by its number, because OpenCV takes no name that is not UTF-8
        decoded = cv2.imread(f"/proc/self/fd/{file.fileno()}", cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise ImageError(f"{path}: its 16-bit pixels cannot be decoded; save it as 8-bit RGB")
    values = decoded.astype(np.uint16, copy=False)
    if values.ndim == 2:
        return np.repeat(to_8_bit(values)[..., None], 3, axis=2)
    if values.shape[2] == 3:
        # Turned to RGB as 8 bits: the table is twice as quick on values that lie one behind the other.
        pixels = to_8_bit(values)
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        return pixels
    pixels = to_8_bit(values[..., 2::-1])
    on_white(path, pixels, (values[..., 3] >> 8).astype(np.uint8))
    return pixels
