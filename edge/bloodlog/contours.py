"""Contours of a cell and its nucleus as a short text: what a row keeps of where a cell lies.

Each polygon is an encoded polyline [1]_ of whole px from the upper left corner of the cell's box: differences
from point to point, which are small, in one printable character where they are below 16 px, in two below 512.
Polygons of the nucleus, whose lobes may lie apart, come after the cell's, behind a semicolon, with commas
between them; neither is a character of the encoding.

References
----------
.. [1] Google, "Encoded Polyline Algorithm Format",
   https://developers.google.com/maps/documentation/utilities/polylinealgorithm; numbers are not scaled here.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.structures import Contours, Polygon

#: Longest text of a cell that is taken from elsewhere. White cells have 100 characters, ragged smudges 300.
MOST_CHARACTERS = 20_000


def encode_contours(contours: Contours, corner: tuple[int, int]) -> str:
    """Write contours.

    Parameters
    ----------
    contours : px of the field
    corner : upper left one of the cell's box, px of the field

    Examples
    --------
    >>> square = ((10, 20), (30, 20), (30, 40), (10, 40))
    >>> encode_contours(Contours((square,), ((square[0], square[1], square[2]),)), (10, 20))
    '??g@??g@f@?;??g@??g@'
    """
    return ";".join(
        ",".join(_polyline(polygon, corner) for polygon in polygons)
        for polygons in (contours.cell, contours.nucleus)
    )


def decode_contours(text: str, corner: tuple[int, int]) -> Contours:
    """Read what :func:`encode_contours` wrote.

    Raises
    ------
    ValueError
        The text is none of its.
    """
    cell, semicolon, nucleus = text.partition(";")
    if not semicolon:
        raise ValueError(f"contours of cell and nucleus have a semicolon between them, got {text!r}")
    return Contours(tuple(_polygons(cell, corner)), tuple(_polygons(nucleus, corner)))


def _polyline(polygon: Polygon, corner: tuple[int, int]) -> str:
    characters = []
    last = corner
    for point in polygon:
        for value, before in zip(point, last, strict=True):
            difference = value - before
            bits = ~(difference << 1) if difference < 0 else difference << 1
            while bits >= 0x20:
                characters.append(chr((0x20 | (bits & 0x1F)) + 63))
                bits >>= 5
            characters.append(chr(bits + 63))
        last = point
    return "".join(characters)


def _polygons(text: str, corner: tuple[int, int]) -> Iterator[Polygon]:
    for polyline in text.split(",") if text else ():
        numbers = list(_numbers(polyline))
        if len(numbers) % 2:
            raise ValueError(f"a polygon has as many x as y, got {polyline!r}")
        x, y = corner
        points = []
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
        yield tuple(points)


def _numbers(polyline: str) -> Iterator[int]:
    bits = shift = 0
    for character in polyline:
        piece = ord(character) - 63
        if not 0 <= piece < 64:
            raise ValueError(f"an encoded polyline has characters from ? to ~, got {character!r}")
        bits |= (piece & 0x1F) << shift
        shift += 5
        if piece < 0x20:
            yield ~(bits >> 1) if bits & 1 else bits >> 1
            bits = shift = 0
    if shift:
        raise ValueError(f"an encoded polyline ends within a number, got {polyline!r}")
