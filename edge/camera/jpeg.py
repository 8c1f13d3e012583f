"""JPEG decoded strictly: whatever is missing is an error, never grey."""

from __future__ import annotations

import re

import numpy as np
import simplejpeg

from edge.structures import UInt8Image

#: Markers: those of the frame (without DHT, JPG and DAC), start of scan, end of image [1]_.
#:
#: .. [1] ITU-T T.81 (1992), table B.1.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_SCAN, _END = 0xDA, 0xD9
#: What ends the coded data of a scan: a marker that neither stands for a byte 0xFF nor restarts the coder.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def decode_jpeg(content: bytes, width: int, height: int) -> UInt8Image:
    """Decode by libjpeg-turbo, to which a lost block or a missing half is an error.

    Pillow calls the same library, fills what is missing with grey, and says nothing. The pixels of a whole
    file are the same, in two thirds of the time: Pillow's own have 4 bytes and are copied once more.

    Parameters
    ----------
    content : the file
    width, height : its size as it was judged

    Returns
    -------
    (H, W, 3) uint8 RGB

    Raises
    ------
    ValueError
        It is damaged, or libjpeg-turbo has no name for how its colours are stored.
    """
    check_scans(content)
    # The buffer has the size that was judged: a file whose data want more is an error, not more memory.
    pixels = np.empty((height, width, 3), np.uint8)
    decoded = simplejpeg.decode_jpeg(content, "RGB", buffer=pixels, strict=True)
    if decoded.shape != pixels.shape:
        raise ValueError(f"it has {decoded.shape[1]}x{decoded.shape[0]} px instead of {width}x{height}")
    return pixels


def check_scans(content: bytes) -> None:
    """Check that the scans of a JPEG bring all of it.

    One that was cut after a scan and got an end marker is a valid file: of a progressive one a coarse picture
    is left, of another one that lacks colours.

    Raises
    ------
    ValueError
        A scan is missing, or the markers make no sense.
    """
    # Of each component and coefficient: how many of its lowest bits have not come, -1 where nothing came.
    missing: dict[int, list[int]] = {}
    progressive, at = False, 2
    try:
        while content[at + 1] != _END:
            marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
            if content[at] != 0xFF or length < 2:
                raise ValueError("a marker is missing")
            segment, at = content[at + 4 : at + 2 + length], at + 2 + length
            if marker in _FRAMES:
                progressive = marker in _PROGRESSIVE
                missing = {segment[6 + 3 * i]: [-1] * 64 for i in range(segment[5])}
            elif marker == _SCAN:
                n = segment[0]
                first, last, lowest = (*segment[1 + 2 * n : 3 + 2 * n], segment[3 + 2 * n] & 15)
                for component in segment[1 : 1 + 2 * n : 2]:
                    missing[component][first : last + 1] = [lowest if progressive else 0] * (last + 1 - first)
                if not progressive and n == len(missing):
                    return  # all in one scan, as nearly always
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
