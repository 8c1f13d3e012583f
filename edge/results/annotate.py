"""A picture of a field with every cell outlined, named and explained, for a person to judge the count by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.i18n import catalogue
from edge.results.texts import TYPE_LETTERS, probability_text, warning_text
from edge.structures import ClassifiedCell, FieldResult, UInt8Image

Colour = tuple[int, int, int]
#: Left, top, width and height, px.
Box = tuple[int, int, int, int]


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
_PLAIN = _Look("", "", _WHITE, _BLACK)
#: Pictures with a shorter side below this are enlarged, or no text would fit beside their cells.
_MIN_SIDE_PX = 600
#: Text height and line width as shares of the picture's shorter side: about 30 px and 4 px of 1944.
_TEXT_SHARE, _LINE_SHARE = 1 / 65, 1 / 500
_MIN_TEXT_PX, _MIN_LINE_PX = 14, 2
#: Height of a plate, in heights of its text.
_PLATE_HEIGHT = 1.35
#: Lengths that a scale bar may have, in µm; the longest below so much of the picture's width is taken.
_BAR_LENGTHS_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_BAR_SHARE = 1 / 5


def class_colour(name: str) -> Colour:
    """Give the colour of ``blast``, ``normal``, ``uncertain`` or ``smudge``, RGB of 0 to 255."""
    return _LOOKS[name].colour


def annotate(
    image: UInt8Image, result: FieldResult, cell_labels: NDArray[np.uint16], note: str = ""
) -> UInt8Image:
    """Draw what was counted on the field, with a legend below it.

    A solid outline is a cell that counts, a dashed one is cut by the image's edge. The plate beside it
    gives the class's letter, the cell's id, the letter of a normal cell's type and its probability of being a
    blast. Small images are enlarged by a whole factor.

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
    canvas = image.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else image.copy()
    height, width = canvas.shape[:2]
    line_px = max(_MIN_LINE_PX, round(min(height, width) * _LINE_SHARE))
    font = ImageFont.load_default(max(_MIN_TEXT_PX, round(min(height, width) * _TEXT_SHARE)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    for classified in result.cells:
        _outline(canvas, classified, cell_labels, factor, line_px)
    rows = _rows(_legend(result, factor, width, note), width, font)
    gap = round(font.size)
    row_px = _plate_px(font) + gap // 2
    picture = Image.new("RGB", (width, height + row_px * len(rows) + gap // 2), _WHITE)
    picture.paste(Image.fromarray(canvas))
    draw = ImageDraw.Draw(picture)
    # Plates after all outlines, so that no outline crosses a text.
    taken: list[Box] = []
    for classified in result.cells:
        _name(draw, classified, factor, (width, height), font, taken)
    for number, row in enumerate(rows):
        left = gap
        for entry in row:
            entry.draw(draw, left, height + gap // 2 + number * row_px, font)
            left += entry.width(font) + gap
    return np.array(picture)


def _look(classified: ClassifiedCell) -> _Look:
    return _LOOKS[classified.word]


def _type_letter(classified: ClassifiedCell) -> str:
    """Give the letter of the type that a normal cell was given; nothing where there is none."""
    kind = classified.type
    if classified.label != "normal" or kind is None or kind == "other":
        return ""
    return f" {TYPE_LETTERS[kind]}"


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
    draw: ImageDraw.ImageDraw,
    classified: ClassifiedCell,
    factor: int,
    size: tuple[int, int],
    font: ImageFont.FreeTypeFont,
    taken: list[Box],
) -> None:
    """Put a cell's plate above it, or where it overlaps another plate, below or inside."""
    look = _look(classified)
    text = f"{look.letter}{classified.cell.id}{_type_letter(classified)}"
    if classified.p_blast is not None:
        text += f"  {probability_text(catalogue(), classified.p_blast)}"
    plate = _Entry(text, look)
    width, height = plate.width(font), _plate_px(font)
    x, y, w, h = (v * factor for v in classified.cell.bbox)
    left = min(max(0, x + (w - width) // 2), max(0, size[0] - width))
    tops = [min(max(0, top), size[1] - height) for top in (y - height - 2, y + h + 2, y + (h - height) // 2)]
    top = next((t for t in tops if not _overlaps((left, t, width, height), taken)), tops[0])
    taken.append((left, top, width, height))
    plate.draw(draw, left, top, font)


def _overlaps(box: Box, taken: Iterable[Box]) -> bool:
    x, y, w, h = box
    return any(x < tx + tw and tx < x + w and y < ty + th and ty < y + h for tx, ty, tw, th in taken)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Text on a coloured plate, of equal height for equal text size; before it a bar of so many pixels."""

    text: str
    look: _Look
    bar_px: int = 0

    def width(self, font: ImageFont.FreeTypeFont) -> int:
        return self.bar_px + math.ceil(font.getlength(self.text) + font.size / 2)

    def draw(self, draw: ImageDraw.ImageDraw, left: int, top: int, font: ImageFont.FreeTypeFont) -> None:
        bottom = top + _plate_px(font)
        middle = (top + bottom) // 2
        draw.rectangle((left, top, left + self.width(font) - 1, bottom - 1), self.look.colour)
        if self.bar_px:
            thick = max(2, font.size // 5)
            end = left + self.bar_px - 1
            draw.rectangle((left, middle - thick // 2, end, middle - thick // 2 + thick - 1), _BLACK)
            for x in (left, end - 1):
                draw.rectangle((x, middle - font.size // 2, x + 1, middle + font.size // 2 - 1), _BLACK)
        at = left + self.bar_px + font.size // 4, middle
        draw.text(at, self.text, self.look.ink, font, anchor="lm")


def _plate_px(font: ImageFont.FreeTypeFont) -> int:
    return round(_PLATE_HEIGHT * font.size)


def _legend(result: FieldResult, factor: int, width: int, note: str) -> Iterable[_Entry]:
    """Say what stands below the picture: counts by class, border rule, scale bar, purpose."""
    if result.status == "rejected":
        yield _words(f"rejected, not counted: {', '.join(result.reasons).replace('_', ' ')}")
    else:
        whole = [c for c in result.cells if not c.cell.touches_border]
        for look in _LOOKS.values():
            number = sum(_look(c) is look for c in whole)
            yield _Entry(f"{look.letter}  {look.name}: {number}", look)
        yield _words(f"dashed, cut by the edge and left out: {len(result.cells) - len(whole)}")
    if result.warnings:
        yield _words(f"warning: {', '.join(warning_text(catalogue(), name) for name in result.warnings)}")
    yield _words("number: probability of a blast")
    named = {cell.type for cell in result.cells if _type_letter(cell)}
    if named:
        letters = (f"{letter} {kind}" for kind, letter in TYPE_LETTERS.items() if kind in named)
        yield _words(f"normal cells: {', '.join(letters)}".replace("_", " "))
    um_per_px = result.scale.reported_um_per_px
    if um_per_px is not None:
        um_per_px /= factor
        fitting = [um for um in _BAR_LENGTHS_UM if um / um_per_px < width * _BAR_SHARE]
        length_um = fitting[-1] if fitting else _BAR_LENGTHS_UM[0]
        # Pillow's own font has no µ.
        yield _Entry(f"{length_um} micrometres", _PLAIN, max(2, round(length_um / um_per_px)))
    if note:
        yield _words(note)
    yield _words("For research use only, not for diagnosis")


def _words(text: str) -> _Entry:
    return _Entry(text, _PLAIN)


def _rows(entries: Iterable[_Entry], width: int, font: ImageFont.FreeTypeFont) -> list[list[_Entry]]:
    """Set entries beside each other, in as many rows as they need."""
    rows: list[list[_Entry]] = [[]]
    used = font.size
    for entry in entries:
        if rows[-1] and used + entry.width(font) + font.size > width:
            rows.append([])
            used = font.size
        rows[-1].append(entry)
        used += entry.width(font) + font.size
    return rows
