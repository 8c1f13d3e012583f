"""Files that tests of reading share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from edge.camera.decode import decode_picture
from edge.structures import UInt8Image


def decode_image(path: Path) -> UInt8Image:
    """Pixels of an image file."""
    return decode_picture(path).pixels


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """A PNG that ends behind its header and a little of its pixels."""
    ihdr = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes(300)))):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks
