"""A picture of a field with every cell outlined, named and explained, for a person to judge the count by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.i18n import catalogue
from edge.results.texts import probability_text
from edge.structures import ClassifiedCell, FieldResult, UInt8Image

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """How a class is drawn: colour, its text colour, and a letter for those who see no colours."""

    name: str
    letter: str
    colour: Colour
    ink: Colour


_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
#: Colours that stay apart for every kind of colour blindness: M. Okabe, K. Ito, "Color universal design",
#: 2008, https://jfly.uni-koeln.de/color/
_LOOKS = {
    "blast": _Look("blast", "B", (213, 94, 0), _WHITE),
    "normal": _Look("normal", "N", (0, 114, 178), _WHITE),
    "uncertain": _Look("uncertain", "U", (240, 228, 66), _BLACK),
    "smudge": _Look("smudge", "S", (110, 110, 110), _WHITE),
}
#: Pictures with a shorter side below this are enlarged, or no text would fit beside their cells.
_MIN_SIDE_PX = 600
#: Text height and line width as shares of the picture's shorter side: about 30 px and 4 px of 1944.
_TEXT_SHARE, _LINE_SHARE = 1 / 65, 1 / 500
#: Lengths that a scale bar may have, in µm; the longest below a fifth of the width is taken.
_BAR_LENGTHS_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def annotate(
    image: UInt8Image, result: FieldResult, cell_labels: NDArray[np.uint16], note: str = ""
) -> UInt8Image:
    """Draw what was counted on the field, with a legend below it.

    A solid outline is a cell that counts, a dashed one is cut by the image's edge. The chip beside it
    gives the class's letter, the cell's id and its probability of being a blast. Small images are enlarged
    by a whole factor.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    result : what was found in it
    cell_labels : (H, W) uint16, whole cells by id
    note : further words for the legend, e.g. that the field was rendered

    Returns
    -------
    (H', W', 3) uint8 RGB, a new array
    """
    factor = max(1, math.ceil(_MIN_SIDE_PX / min(image.shape[:2])))
    height, width = (factor * length for length in image.shape[:2])
    line_px = max(2, round(min(height, width) * _LINE_SHARE))
    text_px = max(14, round(min(height, width) * _TEXT_SHARE))
    legend = _legend(width, result, factor, text_px, note)
    picture = np.empty((height + legend.shape[0], width, 3), np.uint8)
    picture[height:] = legend
    canvas = picture[:height]
    canvas[:] = image.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else image
    for classified in result.cells:
        _outline(canvas, classified, cell_labels, factor, line_px)
    # Chips after all outlines, so that no outline crosses a text.
    taken: list[tuple[int, int, int, int]] = []
    for classified in result.cells:
        _name(canvas, classified, factor, text_px, taken)
    return picture


def _look(classified: ClassifiedCell) -> _Look:
    return _LOOKS[classified.label or "smudge"]


def _outline(
    canvas: UInt8Image, classified: ClassifiedCell, cell_labels: NDArray[np.uint16], factor: int, line_px: int
) -> None:
    x, y, width, height = classified.cell.bbox
    inside = (cell_labels[y : y + height, x : x + width] == classified.cell.id).astype(np.uint8)
    if factor > 1:
        inside = inside.repeat(factor, axis=0).repeat(factor, axis=1)
    contours, _ = cv2.findContours(
        inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x * factor, y * factor)
    )
    colour = _look(classified).colour
    for contour in contours:
        pieces = _dashes(contour, 5 * line_px) if classified.cell.touches_border else [contour]
        closed = not classified.cell.touches_border
        # A white line under the coloured one sets it off from stained cells.
        cv2.polylines(canvas, pieces, closed, _WHITE, line_px + 2, cv2.LINE_AA)
        cv2.polylines(canvas, pieces, closed, colour, line_px, cv2.LINE_AA)


def _dashes(contour: NDArray[np.int32], length_px: int) -> list[NDArray[np.int32]]:
    """Cut a contour of single-pixel steps into dashes with gaps of the same length."""
    return [contour[start : start + length_px] for start in range(0, len(contour), 2 * length_px)]


def _name(
    canvas: UInt8Image,
    classified: ClassifiedCell,
    factor: int,
    text_px: int,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Put a cell's chip above it, or where it overlaps another chip, below or inside."""
    look = _look(classified)
    text = f"{look.letter}{classified.cell.id}"
    if classified.p_blast is not None:
        text += f"  {probability_text(catalogue(), classified.p_blast)}"
    chip = _chip(text, text_px, look.colour, look.ink)
    height, width = chip.shape[:2]
    x, y, w, h = (v * factor for v in classified.cell.bbox)
    left = min(max(0, x + (w - width) // 2), max(0, canvas.shape[1] - width))
    tops = [
        min(max(0, top), canvas.shape[0] - height)
        for top in (y - height - 2, y + h + 2, y + (h - height) // 2)
    ]
    top = next((t for t in tops if not _overlaps((left, t, width, height), taken)), tops[0])
    taken.append((left, top, width, height))
    _paste(canvas, chip, left, top)


def _overlaps(box: tuple[int, int, int, int], taken: Iterable[tuple[int, int, int, int]]) -> bool:
    x, y, w, h = box
    return any(x < tx + tw and tx < x + w and y < ty + th and ty < y + h for tx, ty, tw, th in taken)


def _legend(width: int, result: FieldResult, factor: int, text_px: int, note: str) -> UInt8Image:
    """Draw the strip below the picture: counts by class, border rule, scale bar, purpose."""
    pieces = []
    if result.status == "rejected":
        pieces.append(
            _words(f"rejected, not counted: {', '.join(result.reasons).replace('_', ' ')}", text_px)
        )
    else:
        whole = [c for c in result.cells if not c.cell.touches_border]
        for look in _LOOKS.values():
            number = sum(_look(c) is look for c in whole)
            pieces.append(_chip(f"{look.letter}  {look.name}: {number}", text_px, look.colour, look.ink))
        cut = len(result.cells) - len(whole)
        pieces.append(_words(f"dashed, cut by the edge and left out: {cut}", text_px))
    pieces.append(_words("number: probability of a blast", text_px))
    um_per_px = result.scale.reported_um_per_px
    if um_per_px is not None:
        pieces.append(_scale_bar(um_per_px / factor, width, text_px))
    if note:
        pieces.append(_words(note, text_px))
    pieces.append(_words("For research use only, not for diagnosis", text_px))
    return _flow(pieces, width, text_px)


def _flow(pieces: Iterable[UInt8Image], width: int, text_px: int) -> UInt8Image:
    """Set pieces beside each other on white, in as many rows as they need."""
    gap = text_px
    rows: list[list[UInt8Image]] = [[]]
    used = gap
    for piece in pieces:
        if rows[-1] and used + piece.shape[1] + gap > width:
            rows.append([])
            used = gap
        rows[-1].append(piece)
        used += piece.shape[1] + gap
    row_height = max(piece.shape[0] for row in rows for piece in row) + gap // 2
    strip = np.full((row_height * len(rows) + gap // 2, width, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        left = gap
        for piece in row:
            _paste(strip, piece[:, : width - left], left, gap // 2 + number * row_height)
            left += piece.shape[1] + gap
    return strip


def _scale_bar(um_per_px: float, width: int, text_px: int) -> UInt8Image:
    fitting = [um for um in _BAR_LENGTHS_UM if um / um_per_px < width / 5]
    length_um = fitting[-1] if fitting else _BAR_LENGTHS_UM[0]
    words = _words(f"{length_um} micrometres", text_px)  # Pillow's own font has no µ
    length_px = max(2, round(length_um / um_per_px))
    thick, gap = max(2, text_px // 5), text_px // 2
    piece = np.full((words.shape[0], length_px + gap + words.shape[1], 3), 255, np.uint8)
    middle = words.shape[0] // 2
    piece[middle - thick // 2 : middle - thick // 2 + thick, :length_px] = 0
    piece[middle - text_px // 2 : middle + text_px // 2, [0, 1, length_px - 2, length_px - 1]] = 0
    piece[:, length_px + gap :] = words
    return piece


def _words(text: str, text_px: int) -> UInt8Image:
    return _chip(text, text_px, _WHITE, _BLACK, margin=False)


def _chip(text: str, text_px: int, colour: Colour, ink: Colour, *, margin: bool = True) -> UInt8Image:
    """Set text on a coloured plate; of equal height for equal text size."""
    alpha = _text_alpha(text, text_px)
    if margin:
        alpha = np.pad(alpha, ((0, 0), (text_px // 4, text_px // 4)))
    weight = alpha[:, :, None] / np.float32(255)
    plate: UInt8Image = np.rint(np.array(ink) * weight + np.array(colour) * (1 - weight)).astype(np.uint8)
    return plate


@lru_cache(maxsize=512)
def _text_alpha(text: str, text_px: int) -> UInt8Image:
    """Draw text as (h, w) uint8 opacity in Pillow's own font; OpenCV's are not meant to be read."""
    font = _font(text_px)
    width = math.ceil(font.getlength(text))
    height = round(1.35 * text_px)
    picture = Image.new("L", (max(1, width), height), 0)
    ImageDraw.Draw(picture).text((0, height // 2), text, fill=255, font=font, anchor="lm")
    return np.asarray(picture)


@lru_cache(maxsize=4)
def _font(text_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(text_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return font


def _paste(canvas: UInt8Image, piece: UInt8Image, left: int, top: int) -> None:
    canvas[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
