"""From the bytes of an image file to 8-bit RGB pixels, strictly: damage is an error, never a grey half."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from edge.camera.containers import check_bmp, check_png, check_webp
from edge.camera.jpeg import decode_jpeg, read_header
from edge.camera.pixels import (
    MAX_PIXELS,
    TRANSPARENT,
    check_size,
    on_white,
    scaled,
    sensor_bits,
    to_rgb,
    upright,
)
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
#: Rows that are put together at once.
_STRIP_ROWS = 64
#: What Pillow 10 to 13 and tifffile raise on damaged files (found by decoding thousands of randomly damaged
#: ones).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, AssertionError,
                  OverflowError, AttributeError, ZeroDivisionError, MemoryError, struct.error, zlib.error,
                  Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file as decoded.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 RGB, upright
    um_per_px : µm per px where the file tells it, None else
    warnings : what is doubtful about it, names of :data:`edge.quality.WARNINGS`
    """

    pixels: UInt8Image
    um_per_px: float | None = None
    warnings: tuple[str, ...] = ()


def decode_picture(path: Path) -> Picture:
    """Read an image file as 8-bit RGB, upright, whatever its mode.

    Grey is replicated to three channels, transparency is laid on white (the colour of a blank
    slide), palettes and CMYK become RGB, and the EXIF orientation is applied, so that pixel
    coordinates are those of the picture as viewers show it. 16-bit values are scaled to 8 bits
    by :func:`edge.camera.pixels.scaled`. Of a photograph with previews (MPO, TIFF with reduced pages) the
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
            return decode(path, status.st_size)
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


def _decode_jpeg(path: Path, size: int) -> Picture:
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
        pixels, doubts = decode_jpeg(content, header)
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
                pixels, _ = to_rgb(path, image)
            pixels = upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))
    return Picture(pixels, warnings=doubts)


def _decode(path: Path, size: int) -> Picture:
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
        pixels, transparent = _decode_pixels(path, image, bits, size)
        # After load(), because a PNG may carry it behind its pixels.
        pixels = upright(pixels, image.getexif().get(ExifTags.Base.Orientation, 1))
        return Picture(pixels, warnings=(TRANSPARENT,) if transparent else ())


def _decode_pixels(path: Path, image: ImageFile.ImageFile, bits: int, size: int) -> tuple[UInt8Image, bool]:
    """Decode what has passed by its header."""
    with path.open("rb") as file:
        if isinstance(image, PngImageFile):
            check_png(file)
        elif image.format == "BMP":
            check_bmp(file, size)
        elif (shortened := check_webp(file, size)) is not None and _is_decodable(shortened):
            raise ValueError("its data go on where the picture ends")
    if bits == 16:
        return _decode_16_bit(path, image)
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


def _is_decodable(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.load()
    except _DECODE_ERRORS:
        return False
    return True


def _decode_16_bit(path: Path, image: ImageFile.ImageFile) -> tuple[UInt8Image, bool]:
    """Decode a PNG of 16 bits.

    Pillow keeps the upper 8 of colours: it is asked once for the lower ones, and once for these. OpenCV keeps
    all, and takes 1.7 times the memory of 8 bits for it.
    """
    if "transparency" in image.info:
        raise ImageError(f"{path}: 16 bits and a transparent colour; save it as 8-bit RGB")
    tile = image.tile[0]
    stored_as = str(tile.args)
    if stored_as == "I;16B":
        return _grey(np.asarray(image)), False
    if stored_as == "LA;16B":
        # Two values of 16 bits are to a PNG as four of 8.
        image.tile = [tile._replace(args="RGBA")]
        halves = np.asarray(image)
        pixels = _grey(_joined(halves[..., 0], halves[..., 1]))
        return pixels, on_white(path, pixels, halves[..., 2])
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    with Image.open(path, formats=_FORMATS) as lower:
        lower.tile = [tile._replace(args=stored_as.replace("16B", "16L"))]
        for rows, strip in _strips(lower):
            pixels[rows] = strip[..., :3]
    del lower  # never both beside the picture
    highest = max(int(strip[..., :3].max()) for _, strip in _strips(image))
    bits = sensor_bits(highest << 8)
    alpha = np.empty(pixels.shape[:2], np.uint8) if image.mode == "RGBA" else None
    for rows, strip in _strips(image):
        pixels[rows] = scaled(_joined(strip[..., :3], pixels[rows]), bits)
        if alpha is not None:
            alpha[rows] = strip[..., 3]
    return pixels, alpha is not None and on_white(path, pixels, alpha)


def _joined(upper: UInt8Image, lower: UInt8Image) -> NDArray[np.uint16]:
    return np.asarray(upper.astype(np.uint16) << 8 | lower, np.uint16)


def _grey(values: NDArray[np.uint16]) -> UInt8Image:
    return np.repeat(scaled(values, sensor_bits(int(values.max())))[..., None], 3, axis=2)


def _strips(image: Image.Image) -> Iterator[tuple[slice, UInt8Image]]:
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, image.height)
        yield slice(top, bottom), np.asarray(image.crop((0, top, image.width, bottom)))
