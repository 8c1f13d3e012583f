"""TIFF as microscopes write it: planes, depths, tiles, copies, and the scale in OME data.

The structure is read by tifffile, which decodes deflated data without further help. The package that it would
take for LZW is 70 MB large: LZW strips are given to Pillow's libtiff as a plain grey picture of their bytes.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffFileError, TiffPage

from edge.camera.containers import check_coded, check_holes
from edge.camera.jpeg import read_header
from edge.camera.loaded import loaded_library
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
from edge.camera.seams import check_seam
from edge.errors import ImageError
from edge.structures import UInt8Image

#: A focus stack or a plate has more pages than anybody puts into a field, and a walk through 40,000 takes
#: seconds.
_MOST_PAGES = 64
#: How pixels are stored [1]_ and what of it is decoded here; Pillow reads the rest that
#: has 8 bits or fewer.
#:
#: .. [1] TIFF 6.0 (1992); COMPRESSION and PHOTOMETRIC of tifffile.
_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32946, 32773
_DECODED = frozenset({_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE})
_BY_PILLOW = frozenset({2, 3, 4, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _NONE})
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2
_BITS_PER_SAMPLE, _ORIENTATION, _SAMPLE_FORMAT = 258, 274, 339
_UNSIGNED, _VOID = 1, 4
_FORMATS = {2: "signed", 3: "float", 5: "complex", 6: "complex float"}
_HORIZONTAL = 2
#: Bytes of pixels that are decoded at once.
_GROUP_BYTES = 1 << 20
#: Bytes of a sector, to which some programs fill up a strip that is not compressed.
_STRIP_PADDING = 512
#: Bytes that are put behind an LZW strip's last one, and are there only where the strip has its length.
_MARK = b"\xa5\x5a\xc3"
#: Codes of LZW [2]_: clear the table, after which codes have 9 bits; and end.
#:
#: .. [2] TIFF 6.0, section 13.
_CLEAR, _END, _SHORTEST_CODE = 256, 257, 9
#: An Adobe segment that says: no transform, these are RGB.
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
#: µm of a unit of length in OME data; without one it is µm.
_UNITS_UM = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "pm": 1e-6,
    "Å": 1e-4,
}
#: Numbers of bits that count, as OME data tell them of a sensor with fewer than 16.
_SIGNIFICANT_BITS = tuple(map(str, range(9, 16)))
#: Sides of a pixel that differ by more are no rounding.
_SQUARE = 0.01


def decode_tiff(path: Path) -> tuple[UInt8Image, float | None, tuple[str, ...]]:
    """Read the one picture of a TIFF.

    Parameters
    ----------
    path : the file

    Returns
    -------
    (H, W, 3) uint8 RGB, upright; µm per px where OME data tell it; and what is doubtful about it

    Raises
    ------
    ImageError
        It holds several pictures, or one of a kind that cannot be counted.
    ValueError
        It is damaged.
    """
    # What it would say there of damage is in the error's message.
    logging.getLogger("tifffile").disabled = True
    libtiff = loaded_library("libtiff")
    if libtiff is not None:
        libtiff.TIFFSetErrorHandler(None)
    try:
        return _decode(path)
    except TiffFileError as error:  # no ValueError in older releases
        raise ValueError(str(error)) from error


def _decode(path: Path) -> tuple[UInt8Image, float | None, tuple[str, ...]]:
    with TiffFile(path) as file:
        page = _picture_page(path, file)
        bits = _check(path, page)
        um_per_px, significant = _ome(path, file, page)
        if (
            page.compression in _DECODED
            and page.fillorder == 1
            and (page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or page.compression == _JPEG)
            and bits in ((8,) if page.compression == _JPEG else (8, 16))
        ):
            orientation = page.tags.valueof(_ORIENTATION, 1)
            pixels, doubts = _pixels(path, file, page, bits, significant)
            return upright(pixels, orientation), um_per_px, doubts
        if bits > 8 or page.compression not in _BY_PILLOW:
            raise ImageError(
                f"{path}: a {bits}-bit TIFF of {_named(PHOTOMETRIC, page.photometric)} and compression "
                f"{_named(COMPRESSION, page.compression)}; save it as RGB, uncompressed or deflated"
            )
        index = page.index
    with Image.open(path, formats=("TIFF",)) as image:
        image.seek(index)
        image.load()  # turns it, too
        pixels, transparent = to_rgb(path, image)
        return pixels, um_per_px, (TRANSPARENT,) if transparent else ()


def _named(names: type[COMPRESSION] | type[PHOTOMETRIC], value: int) -> str:
    try:
        return names(value).name
    except ValueError:
        return str(value)


def _picture_page(path: Path, file: TiffFile) -> TiffPage:
    """Find the only page that is no reduced copy and no mask."""
    pages: list[TiffPage] = []
    while len(pages) <= _MOST_PAGES:
        try:
            page = file.pages[len(pages)]
        except IndexError:
            break
        assert isinstance(page, TiffPage)  # frames are only given where asked for
        pages.append(page)
    full = [page for page in pages if not (page.is_reduced or page.is_mask)] or pages[:1]
    if not full:
        raise ValueError("it has no page")
    images = (file.imagej_metadata or {}).get("images", 1) if file.is_imagej else 1
    count = f"more than {_MOST_PAGES}" if len(pages) > _MOST_PAGES else max(len(full), int(images))
    if count != 1:
        raise ImageError(f"{path}: holds {count} pages; save each field as a file of its own")
    return full[0]


def _check(path: Path, page: TiffPage) -> int:
    """Refuse by what the tags say; return the bits of a sample."""
    check_size(path, page.imagewidth, page.imagelength)
    if not page.imagewidth or not page.imagelength or page.imagedepth != 1:
        raise ValueError(f"its size is {page.imagewidth}x{page.imagelength}x{page.imagedepth}")
    depths = np.atleast_1d(page.tags.valueof(_BITS_PER_SAMPLE, 1))
    bits = int(depths.max())
    form = int(np.atleast_1d(page.tags.valueof(_SAMPLE_FORMAT, _UNSIGNED))[0])
    if form not in (_UNSIGNED, _VOID) or bits not in (1, 2, 4, 8, 16) or (depths != bits).any():
        raise ImageError(
            f"{path}: a {bits}-bit {_FORMATS.get(form, 'integer')} TIFF; save it as 8 or 16-bit RGB"
        )
    photometric = page.photometric
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR):
        raise ImageError(f"{path}: a TIFF of {_named(PHOTOMETRIC, photometric)}; save it as 8 or 16-bit RGB")
    extra = page.samplesperpixel - {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(photometric, 1)
    if extra < 0 or (extra > 1 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)):
        raise ImageError(
            f"{path}: a TIFF of {page.samplesperpixel} grey channels; save it as 8 or 16-bit RGB"
        )
    return bits


def _pixels(
    path: Path, file: TiffFile, page: TiffPage, bits: int, significant: int | None
) -> tuple[UInt8Image, tuple[str, ...]]:
    colours = 3 if page.photometric in (_RGB, _YCBCR) else 1
    kinds = [int(kind) for kind in page.extrasamples[: page.samplesperpixel - colours]]
    extra = next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    pixels = np.empty((page.imagelength, page.imagewidth, colours), np.uint8)
    alpha = None if extra is None else np.empty(pixels.shape[:2], np.uint8)
    # How many bits count is known for sure when all is read; that it were more than the first values tell is
    # rare, and then all is read again. So 16 bits take no more memory than 8.
    depth = None if bits == 16 else 8
    while (depth := _fill(pixels, alpha, colours + (extra or 0), file, page, depth, significant)) is not None:
        pass
    if colours == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    doubts: tuple[str, ...] = ()
    if page.compression == _JPEG:
        across, down = page.subsampling or (1, 1)
        doubts = check_seam(pixels, 8 * down, 8 * across)
    if alpha is not None and extra is not None:
        multiplied = kinds[extra] == _ASSOCIATED
        doubts += (TRANSPARENT,) if on_white(path, pixels, alpha, multiplied=multiplied) else ()
    return pixels, doubts


def _fill(
    pixels: UInt8Image,
    alpha: NDArray[np.uint8] | None,
    alpha_sample: int,
    file: TiffFile,
    page: TiffPage,
    depth: int | None,
    significant: int | None,
) -> int | None:
    """Decode into ``pixels`` and ``alpha``; return the depth that it takes where ``depth`` is too small."""
    height, width, colours = pixels.shape
    deep = depth != 8 or page.bitspersample == 16
    for top, left, plane, block in _blocks(file, page, np.dtype(np.uint16 if deep else np.uint8)):
        samples = block[: height - top, : width - left]
        rows, columns = slice(top, top + samples.shape[0]), slice(left, left + samples.shape[1])
        if plane is None or plane < colours:
            colour = samples[..., :colours] if plane is None else samples
            if page.photometric == _WHITE_IS_ZERO:
                colour = np.invert(colour)
            if deep:
                needed = sensor_bits(int(colour.max(initial=0)), significant)
                depth = needed if depth is None else depth
                if needed > depth:
                    return needed
                colour = scaled(colour.astype(np.uint16, copy=False), depth)
            pixels[rows, columns, slice(None) if plane is None else slice(plane, plane + 1)] = colour
        if alpha is not None and plane in (None, alpha_sample):
            opacity = samples[..., alpha_sample if plane is None else 0]
            alpha[rows, columns] = opacity >> 8 if deep else opacity
    return None


#: First row, first column, plane or None, and (h, w, samples) values.
_Block = tuple[int, int, int | None, NDArray[np.unsignedinteger[Any]]]


def _blocks(file: TiffFile, page: TiffPage, dtype: np.dtype[np.unsignedinteger[Any]]) -> Iterator[_Block]:
    """Decode strips or tiles, in order and in pieces of about ``_GROUP_BYTES``."""
    width, height = page.imagewidth, page.imagelength
    planar = page.planarconfig == 2 and page.samplesperpixel > 1
    samples = 1 if planar else page.samplesperpixel
    if page.is_tiled:
        across, down = math.ceil(width / page.tilewidth), math.ceil(height / page.tilelength)
        wide, tall = page.tilewidth, page.tilelength
    else:
        wide, tall = width, min(page.rowsperstrip, height)
        across, down = 1, math.ceil(height / tall)
    if wide * tall > MAX_PIXELS:
        raise ValueError(f"a tile has {wide}x{tall} px")
    planes = page.samplesperpixel if planar else 1
    offsets, counts = page.dataoffsets, page.databytecounts
    if not len(offsets) == len(counts) == across * down * planes:
        raise ValueError("a part of its table of contents is missing")
    places = sorted(set(zip(offsets, counts, strict=True)))  # equal tiles may be stored once
    if any(a + n > b for (a, n), (b, _) in pairwise(places)):
        raise ValueError("its strips overlap")
    row_bytes = wide * samples * dtype.itemsize
    stored = dtype.newbyteorder(file.byteorder)
    for first in range(0, len(offsets), across * down):
        plane = first // (across * down) if planar else None
        group: list[int] = []
        for index in range(first, first + across * down):
            group.append(index)
            if (len(group) + 1) * tall * row_bytes <= _GROUP_BYTES and index + 1 < first + across * down:
                continue
            rows = [tall if page.is_tiled else min(tall, height - (i - first) * tall) for i in group]
            parts = _parts(file, page, [(offsets[i], counts[i]) for i in group], rows, row_bytes)
            for number, row, part in parts:
                down_by, right_by = divmod(group[0] - first + number, across)
                block = np.frombuffer(part, stored).reshape(-1, wide, samples)
                if page.predictor == _HORIZONTAL:
                    block = np.cumsum(block, axis=1, dtype=dtype)
                yield down_by * tall + row, right_by * wide, plane, block
            group = []


def _parts(
    file: TiffFile, page: TiffPage, places: list[tuple[int, int]], rows: list[int], row_bytes: int
) -> Iterator[tuple[int, int, bytes | NDArray[np.uint8]]]:
    """Read strips or tiles and decompress them.

    Yields
    ------
    Which of them, or the first of those that follow, a row in it, and the bytes from there on: whole rows
    """
    at_once = max(1, _GROUP_BYTES // row_bytes)
    if page.compression == _NONE:
        following = all(a + n == b for (a, n), (b, _) in pairwise(places))
        exact = all(count == n * row_bytes for (_, count), n in zip(places, rows, strict=True))
        if not page.is_tiled and following and exact:
            places, rows = [(places[0][0], sum(rows) * row_bytes)], [sum(rows)]
        padded = 0 if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        for number, ((offset, count), n) in enumerate(zip(places, rows, strict=True)):
            if count < n * row_bytes:
                raise ValueError("a strip is too short")
            if count >= max(n, padded) * row_bytes + _STRIP_PADDING:
                raise ValueError("a strip is too long")
            for row in range(0, n, at_once):
                start = offset + row * row_bytes
                data = _read(file, start, min(at_once, n - row) * row_bytes)
                check_holes(np.frombuffer(data, np.uint8), start, row_bytes)
                yield number, row, data
        return
    coded = [_read(file, offset, count) for offset, count in places]
    if page.compression == _LZW:
        for data in coded:
            check_coded(data)
        # Only the last strip may have fewer rows.
        equal = [(0, coded)] if rows[-1] == rows[0] else [(0, coded[:-1]), (len(coded) - 1, coded[-1:])]
        for number, strips in equal:
            padded = min(page.rowsperstrip, page.imagelength)
            yield from _lzw(strips, number, rows[number], row_bytes, padded)
        return
    for number, (data, n) in enumerate(zip(coded, rows, strict=True)):
        if page.compression == _JPEG:
            yield number, 0, _jpeg(page, data, n, row_bytes)
        else:
            sizes = [min(at_once, n - row) * row_bytes for row in range(0, n, at_once)]
            for piece, inflated in enumerate(_inflated(data, sizes)):
                yield number, piece * at_once, inflated


def _read(file: TiffFile, offset: int, count: int) -> bytes:
    if offset + count > file.filehandle.size:
        raise ValueError("its end is missing")
    file.filehandle.seek(offset)
    data = file.filehandle.read(count)
    if len(data) != count:
        raise ValueError("its end is missing")
    return bytes(data)


def _inflated(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Decompress to pieces of these sizes; the checksum behind the last one is compared."""
    stream = zlib.decompressobj()
    for size in sizes:
        piece = stream.decompress(data, size)
        data = stream.unconsumed_tail
        if len(piece) != size:
            raise ValueError("a strip is too short")
        yield piece
    if stream.decompress(data, 1) or not stream.eof:
        raise ValueError("a strip is too long")


def _lzw(
    strips: list[bytes], first: int, rows: int, row_bytes: int, padded: int
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Decompress strips of equal size, each as one row of a grey picture.

    A wrong code of LZW is a code; but the bytes that it stands for are seldom as many. libtiff stops at the
    last byte that it is asked for, so that it is asked for a mark behind it.

    Parameters
    ----------
    strips : their codes
    first : number of the first of them
    rows, row_bytes : of each
    padded : rows that the last strip of a picture may have been filled up to
    """
    size = rows * row_bytes
    at_once = max(1, _GROUP_BYTES // row_bytes)
    marked = [_marked(strip) for strip in strips]
    image = _as_grey(marked, size + len(_MARK)) if all(marked) else None
    if image is None or not _ends_with_mark(image):
        if image is not None:
            for strip in strips:
                _check_length(strip, (size, padded * row_bytes))
        image = _as_grey(strips, size)
    for row in range(0, rows, at_once):
        columns = row * row_bytes, min(size, (row + at_once) * row_bytes)
        for number, part in enumerate(np.asarray(image.crop((columns[0], 0, columns[1], len(strips))))):
            yield first + number, row, part


def _marked(strip: bytes, *, wider: bool = False) -> bytes:
    """Put the mark in place of an LZW strip's end code; empty where it does not end with one.

    Parameters
    ----------
    strip : its codes
    wider : its end code has a bit less than a decoder expects, as some encoders write it where the codes
        before have just filled a width
    """
    coded = strip.rstrip(b"\0")
    unused = (coded[-1] & -coded[-1]).bit_length() - 1 if coded else 0
    last = int.from_bytes(coded[-4:], "big") >> unused
    if len(coded) < 4 or last & (2**_SHORTEST_CODE - 1) != _END:
        return b""
    length = 8 * 4 - unused
    if wider:
        last = last >> _SHORTEST_CODE << (_SHORTEST_CODE + 1) | _END
        length += 1
    last += _CLEAR - _END
    for code in (*_MARK, _END):
        last = last << _SHORTEST_CODE | code
        length += _SHORTEST_CODE
    padding = -length % 8
    return coded[:-4] + (last << padding).to_bytes((length + padding) // 8, "big")


def _ends_with_mark(image: Image.Image) -> bool:
    try:
        ends = image.crop((image.width - len(_MARK), 0, image.width, image.height)).tobytes()
    except OSError:
        return False
    return ends == _MARK * image.height


def _check_length(strip: bytes, sizes: tuple[int, int]) -> None:
    """Check by itself a strip that may be of an encoder with a short end code, or filled up."""
    for size, wider in product(sizes, (False, True)):
        if _ends_with_mark(_as_grey([_marked(strip, wider=wider)], size + len(_MARK))):
            return
    raise ValueError("a strip has another length")


def _as_grey(strips: list[bytes], size: int) -> Image.Image:
    """Make a grey picture, not decoded yet, whose rows are LZW strips of so many bytes."""
    n = len(strips)
    lengths = [len(strip) for strip in strips]
    tables = 8 + 2 + 9 * 12 + 4
    starts = np.cumsum([tables + 8 * n, *lengths])[:-1].tolist()
    # One strip's offset and length stand in the tag itself.
    tags = [
        (256, 4, 1, size),
        (257, 4, 1, n),
        (258, 3, 1, 8),
        (259, 3, 1, _LZW),
        (262, 3, 1, _BLACK_IS_ZERO),
        (273, 4, n, tables if n > 1 else starts[0]),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, n, tables + 4 * n if n > 1 else lengths[0]),
    ]
    grey = b"II*\0" + struct.pack("<IH", 8, len(tags))
    grey += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    grey += struct.pack(f"<{2 * n}I", *starts, *lengths)
    return Image.open(io.BytesIO(grey + b"".join(strips)), formats=("TIFF",))


def _jpeg(page: TiffPage, data: bytes, rows: int, row_bytes: int) -> NDArray[np.uint8]:
    """Decode a strip or tile that is a JPEG whose tables may stand in a tag."""
    samples = 3 if page.photometric in (_RGB, _YCBCR) else 1
    tables = page.jpegtables
    if tables:
        data = tables[:-2] + data[2:]
    if page.photometric == _RGB:
        data = data[:2] + _ADOBE_RGB + data[2:]
    width = row_bytes // samples
    # A strip or tile at the edge may be coded as far as the picture reaches only.
    header = read_header(data)
    height, coded = header.height, header.width
    if (
        (height < rows and page.is_tiled)
        or height > max(rows, page.rowsperstrip)
        or height * width > MAX_PIXELS
        or coded != width
    ):
        raise ValueError("a strip has another size")
    decoded = simplejpeg.decode_jpeg(data, "RGB" if samples == 3 else "GRAY", strict=True)
    return np.ascontiguousarray(decoded[:rows])


def _ome(path: Path, file: TiffFile, page: TiffPage) -> tuple[float | None, int | None]:
    """Read µm per px and the number of bits that count from OME data."""
    text = file.ome_metadata
    if not text:
        return None, None
    try:
        events = ElementTree.iterparse(io.BytesIO(text.encode()), events=("start",))
        found = (element.attrib for _, element in events if element.tag.rpartition("}")[2] == "Pixels")
        pixels: dict[str, str] = next(found, {})
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME data: {error}") from error
    if (pixels.get("SizeX"), pixels.get("SizeY")) != (str(page.imagewidth), str(page.imagelength)):
        return None, None  # it is of another picture
    across, down = _length_um(pixels, "X"), _length_um(pixels, "Y")
    if across and down and abs(across / down - 1) > _SQUARE:
        raise ImageError(
            f"{path}: its pixels are not square: {across:g} x {down:g} µm; save it with equal sides"
        )
    significant = pixels.get("SignificantBits", "")
    return across or down, int(significant) if significant in _SIGNIFICANT_BITS else None


def _length_um(pixels: dict[str, str], axis: str) -> float | None:
    """Read a side of a pixel; None where there is none or it is of no length, as the unit "pixel" is."""
    try:
        length = float(pixels[f"PhysicalSize{axis}"])
        length *= _UNITS_UM[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
    except (KeyError, ValueError):
        return None
    return length if math.isfinite(length) and length > 0 else None
