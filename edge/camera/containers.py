"""What the containers of PNG, BMP and WebP tell of damage that decoders do not see."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

#: Bytes read at once.
_READ = 1 << 20
#: What a disk loses or zeroes at least.
_SECTOR = 512
_ZEROED, _ERASED = bytes(_SECTOR), b"\xff" * _SECTOR
#: Share of the bytes beside a hole that may have its value.
_SAME = 0.1
#: Bytes behind the pixels of a BMP that round its size up.
_BMP_PADDING = 4
_BMP_V5_BYTES = 124
#: Lists of an AVI that hold frames [2]_, and what the codes of their chunks end with.
#:
#: .. [2] OpenDML AVI file format extensions (1996).
_AVI_LISTS, _AVI_FRAMES = (b"movi", b"rec "), (b"dc", b"db")
#: Bytes that a WebP's picture takes to its last: all but 3, or 1 of a lossless one, which the coder's last
#: bits may not fill [1]_. Without so many no whole picture can be decoded.
#:
#: .. [1] libwebp 1.4: ``VP8BitWriterFinish``, ``VP8LBitWriterFinish``. 2 to 4 and 1 to 2 in 216 files of any
#:    quality and method.
_LAST_BYTES = {b"VP8 ": 6, b"VP8L": 3}


def check_png(file: BinaryIO) -> None:
    """Check the length and checksum of every chunk, up to the one that ends the file.

    Raises
    ------
    ValueError
        One is wrong or missing.
    """
    file.seek(8)
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("its end is missing")
        length, kind = struct.unpack(">I4s", head)
        checksum = zlib.crc32(kind)
        while length:
            data = file.read(min(length, _READ))
            if not data:
                raise ValueError("its end is missing")
            checksum = zlib.crc32(data, checksum)
            length -= len(data)
        if file.read(4) != checksum.to_bytes(4, "big"):
            raise ValueError(f"the checksum of its chunk {kind.decode('latin-1')!r} is wrong")


def check_bmp(file: BinaryIO, size: int) -> None:
    """Check that a BMP has the bytes that its header says, and no sectors of one value among them.

    Raises
    ------
    ValueError
        It has more or fewer, or a hole.
    """
    file.seek(0)
    head = file.read(54).ljust(54, b"\0")
    offset, header = struct.unpack_from("<II", head, 10)
    if header < 40:
        return  # of OS/2, uncompressed and without a size of its own
    width, height, _, bits, compression, stated = struct.unpack_from("<iiHHII", head, 18)
    row_bytes = (width * bits + 31) // 32 * 4
    expected = stated if compression in (1, 2) else row_bytes * abs(height)
    if size < offset + expected:
        raise ValueError("its end is missing")
    if size > offset + expected + _BMP_PADDING and header != _BMP_V5_BYTES:
        raise ValueError("it holds more than its header says")
    if compression not in (1, 2):
        file.seek(offset)
        check_holes(np.frombuffer(file.read(expected), np.uint8), offset, row_bytes)


def check_webp(file: BinaryIO, size: int) -> bytes | None:
    """Check the lengths of the chunks of a WebP, and that none has sectors of one value.

    The arithmetic coder of WebP knows no wrong codes: behind a changed byte it makes a picture of whatever
    follows, but seldom one that takes just as many bytes. A picture that takes more is an error to the
    decoder, and one that takes fewer can still be decoded without its last bytes.

    Returns
    -------
    A WebP of the picture without its last bytes, which must not be decodable; None of an animation

    Raises
    ------
    ValueError
        They do not fill the file, or one has a hole.
    """
    file.seek(0)
    content = file.read()
    (stated,) = struct.unpack_from("<I", content, 4)
    if not stated + 8 <= size <= stated + 8 + (stated & 1):
        raise ValueError("its size is not the one in its header")
    at, shortened = 12, None
    while at < stated + 8:
        kind, length = struct.unpack_from("<4sI", content, at)
        at += 8
        if at + length > size:
            raise ValueError(f"its chunk {kind.decode('latin-1')!r} does not end")
        check_coded(content[at : at + length])
        if kind in _LAST_BYTES:
            part = content[at : at + length - _LAST_BYTES[kind]]
            part += bytes(len(part) & 1)
            shortened = b"RIFF%bWEBP%b%b%b" % (
                struct.pack("<I", 12 + len(part)),
                kind,
                struct.pack("<I", length - _LAST_BYTES[kind]),
                part,
            )
        at += length + (length & 1)
    return shortened


def lost_avi_frame(file: BinaryIO) -> int | None:
    """Find the frame of an AVI behind which no chunk begins: bytes of it are missing, or there are too many.

    Readers look for the next chunk from there on, and say nothing.

    Returns
    -------
    Its number, from 1; None where each chunk follows the one before, or the file ends
    """
    file.seek(0)
    frames = padding = 0
    end = 8  # of the part of the file that its first list has the length of
    while len(head := file.read(8)) == 8:
        if file.tell() - 8 >= end and head[:4] != b"RIFF":
            break  # what somebody has put behind the video
        if padding and not _is_chunk(head):  # some programs do not pad
            file.seek(-8 - padding, 1)
            head = file.read(8)
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if not any(head) or (length == 0 and kind == b"RIFF"):
            break  # room that was taken beforehand, or the camera never came to write how long it is
        if not _is_chunk(head):
            return max(1, frames)
        padding = 0
        if kind in (b"RIFF", b"LIST"):
            end = file.tell() + length if kind == b"RIFF" else end
            within = file.read(4)
            if kind == b"RIFF" or within in _AVI_LISTS:
                continue
            length -= len(within)
        frames += kind[2:] in _AVI_FRAMES
        padding = length & 1
        file.seek(length + padding, 1)
    return None


def _is_chunk(head: bytes) -> bool:
    return head[:4].isascii() and head[:4].decode("ascii").isprintable()


def check_coded(data: bytes) -> None:
    """Check that compressed data hold no sector of one value: they never repeat a byte so often.

    Raises
    ------
    ValueError
        They do.
    """
    if _ZEROED in data or _ERASED in data:
        raise ValueError("a block of it is lost")


def check_holes(data: NDArray[np.uint8], offset: int, row_bytes: int) -> None:
    """Check that no sectors of the file hold one value only, as a hole or an erased block does.

    A black or burnt-out part of a picture does, too; but there the rows next to it look the same.

    Parameters
    ----------
    data : (n,) bytes that hold pixels
    offset : where they begin in the file
    row_bytes : bytes a row of the picture

    Raises
    ------
    ValueError
        There is a hole.
    """
    start = -offset % _SECTOR
    sectors = data[start : start + (len(data) - start) // _SECTOR * _SECTOR].reshape(-1, _SECTOR)
    # Four bytes of each first: of a picture nearly none is left.
    constant = np.flatnonzero((sectors[:, :: _SECTOR // 4] == sectors[:, :1]).all(axis=1))
    constant = constant[(sectors[constant] == sectors[constant, :1]).all(axis=1)]
    if len(constant) and _is_alone(data, start, sectors, constant, row_bytes):
        raise ValueError("a block of it is lost")


def _is_alone(
    data: NDArray[np.uint8],
    start: int,
    sectors: NDArray[np.uint8],
    constant: NDArray[np.intp],
    row_bytes: int,
) -> bool:
    """Whether some run of constant sectors ends exactly with them and has other rows above and below.

    Whole rows at the beginning or the end are a picture's black margin.
    """
    values = sectors[constant, 0]
    breaks = np.flatnonzero((np.diff(constant) != 1) | (values[1:] != values[:-1]))
    firsts = constant[np.concatenate(([0], breaks + 1))]
    lasts = constant[np.concatenate((breaks, [len(constant) - 1]))]
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        value = sectors[first, 0]
        begin, end = start + first * _SECTOR, start + (last + 1) * _SECTOR
        if (begin == 0 and end % row_bytes == 0) or (end == len(data) and begin % row_bytes == 0):
            continue
        wide = min(end - begin, row_bytes)
        around = (
            data[max(0, begin - _SECTOR) : begin],
            data[end : end + _SECTOR],
            data[max(0, begin - row_bytes) : max(0, begin - row_bytes) + wide] if begin else data[:0],
            data[end - wide + row_bytes : end + row_bytes],
        )
        if not any((part == value).mean() > _SAME if len(part) else False for part in around):
            return True
    return False
