"""JPEG decoded strictly: whatever is missing is an error, never grey."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edge.camera.seams import check_seam
from edge.structures import UInt8Image

#: Markers: those of the frame (without DHT, JPG and DAC), start of scan, end of image, tables, and the
#: segment that has EXIF data [1]_.
#:
#: .. [1] ITU-T T.81 (1992), table B.1.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_SCAN, _END, _HUFFMAN, _QUANTISATION, _EXIF = 0xDA, 0xD9, 0xC4, 0xDB, 0xE1
#: What ends the coded data of a scan: a marker that neither stands for a byte 0xFF nor restarts the coder.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
#: A table that differs from one of the standard's [2]_ in so few entries is that one, damaged. Encoders that
#: make their own have others: in 8,100 real files of nine sources none was as near. Less than three levels of
#: quantisation may be another way to round, and show nowhere.
#:
#: .. [2] The same, tables K.1, K.2, K.5 and K.6, scaled as libjpeg does.
_DAMAGED_ENTRIES = 6
_ROUNDED = 2
_QUANTISERS = 64
#: Length of a Huffman table of the standard for coefficients: 16 numbers and 162 values. Those for levels
#: have 12 values, and an encoder's own may be near.
_HUFFMAN_BYTES = 178


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the markers of a JPEG tell.

    Attributes
    ----------
    width, height : size in px
    components : 1 grey, 3 colours, 4 CMYK
    bits : of a sample
    lossless : coded without loss, by another procedure
    block_width, block_height : px of the blocks (MCU) that are coded one after the other
    has_exif : it may tell its orientation
    """

    width: int
    height: int
    components: int
    bits: int
    lossless: bool
    block_width: int
    block_height: int
    has_exif: bool


def decode_jpeg(content: bytes, header: JpegHeader) -> tuple[UInt8Image, tuple[str, ...]]:
    """Decode by libjpeg-turbo, to which a lost block or a missing half is an error.

    Pillow calls the same library, fills what is missing with grey, and says nothing. The pixels of a whole
    file are the same, in two thirds of the time: Pillow's own have 4 bytes and are copied once more.

    Parameters
    ----------
    content : the file
    header : of :func:`read_header`, as it was judged

    Returns
    -------
    (H, W, 3) uint8 RGB, and what is doubtful about it

    Raises
    ------
    ValueError
        It is damaged, or libjpeg-turbo has no name for how its colours are stored.
    """
    # The buffer has the size that was judged: a file whose data want more is an error, not more memory.
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    decoded = simplejpeg.decode_jpeg(content, "RGB", buffer=pixels, strict=True)
    if decoded.shape != pixels.shape:
        raise ValueError("its data have another size than its header says")
    return pixels, check_seam(pixels, header.block_height, header.block_width)


def read_header(content: bytes) -> JpegHeader:
    """Read the markers of a JPEG, and check that its scans bring all of it.

    One that was cut after a scan and got an end marker is a valid file: of a progressive one a coarse picture
    is left, of another one that lacks colours.

    Raises
    ------
    ValueError
        A scan is missing, or the markers make no sense.
    """
    # Of each component and coefficient: how many of its lowest bits have not come, -1 where nothing came.
    missing: dict[int, list[int]] = {}
    frame, frame_marker, at, has_exif = b"", 0, 2, False
    try:
        while content[at + 1] != _END:
            marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
            if content[at] != 0xFF or length < 2:
                raise ValueError("a marker is missing")
            segment, at = content[at + 4 : at + 2 + length], at + 2 + length
            if marker in _FRAMES:
                frame, frame_marker = segment, marker
                missing = {segment[6 + 3 * i]: [-1] * 64 for i in range(segment[5])}
            elif marker in (_QUANTISATION, _HUFFMAN):
                _check_tables(marker, segment)
            elif marker == _EXIF:
                has_exif = True
            elif marker == _SCAN:
                n, progressive = segment[0], frame_marker in _PROGRESSIVE
                first, last, lowest = (*segment[1 + 2 * n : 3 + 2 * n], segment[3 + 2 * n] & 15)
                for component in segment[1 : 1 + 2 * n : 2]:
                    missing[component][first : last + 1] = [lowest if progressive else 0] * (last + 1 - first)
                if frame_marker in _LOSSLESS:
                    missing = {component: [0] for component in missing}
                if not progressive and n == len(missing):
                    break  # all in one scan, as nearly always
                following = _NEXT_MARKER.search(content, at)
                if following is None:
                    break
                at = following.start()
            while content[at : at + 2] == b"\xff\xff":
                at += 1
    except (IndexError, KeyError) as error:
        raise ValueError("its markers are damaged") from error
    if not missing or any(any(bits) for bits in missing.values()):
        raise ValueError("a part of its data is missing")
    factors = frame[7 : 7 + 3 * len(missing) : 3] if len(missing) > 1 else b"\x11"
    return JpegHeader(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=len(missing),
        bits=frame[0],
        lossless=frame_marker in _LOSSLESS,
        block_width=8 * max(factor >> 4 for factor in factors),
        block_height=8 * max(factor & 15 for factor in factors),
        has_exif=has_exif,
    )


def _check_tables(marker: int, segment: bytes) -> None:
    """Refuse a table that was one of the standard's before some of its bytes were changed."""
    quantisers, huffman, known = _standard_tables()
    at = 0
    while at < len(segment):
        if marker == _QUANTISATION:
            size = _QUANTISERS * (2 if segment[at] >> 4 else 1)
        else:
            size = 16 + sum(segment[at + 1 : at + 17])
        table = segment[at + 1 : at + 1 + size]
        differ = 0
        if table in known:
            pass
        elif marker == _QUANTISATION and size == _QUANTISERS:
            apart = np.abs(quantisers - np.frombuffer(table, np.uint8))
            nearest = apart[np.count_nonzero(apart, axis=1).argmin()]
            differ = int(np.count_nonzero(nearest)) if nearest.max() > _ROUNDED else 0
        elif marker == _HUFFMAN and size == _HUFFMAN_BYTES:
            differ = int(np.count_nonzero(huffman != np.frombuffer(table, np.uint8), axis=1).min())
        if 0 < differ <= _DAMAGED_ENTRIES:
            raise ValueError("a table of its header was changed")
        at += 1 + size


@cache
def _standard_tables() -> tuple[NDArray[np.int16], NDArray[np.uint8], frozenset[bytes]]:
    """Tables as libjpeg writes them: of quantisation at every quality, of coefficients, and all of both."""
    quantisers, huffman = [], []
    for quality in range(1, 101):
        content = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8), quality=quality)
        at = 2
        while content[at + 1] != _SCAN:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            table = content[at + 5 : end]
            if content[at + 1] == _QUANTISATION:
                quantisers.append(table)
            elif content[at + 1] == _HUFFMAN and quality == 1 and len(table) == _HUFFMAN_BYTES:
                huffman.append(table)
            at = end
    arrays = [np.array([list(table) for table in tables]) for tables in (quantisers, huffman)]
    return arrays[0].astype(np.int16), arrays[1].astype(np.uint8), frozenset((*quantisers, *huffman))
