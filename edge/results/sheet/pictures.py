"""Which cells are shown on the report: those called blasts, and those in doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.i18n import Catalogue
from edge.results.reading import ReadCell, Reading
from edge.results.texts import LETTERS, probability_text

#: Pictures of each kind that fit on the sheet: two rows of twelve, and one.
MAX_BLASTS, MAX_DOUBTFUL = 24, 12


@dataclass(frozen=True, slots=True)
class Picture:
    """One cell: its JPEG, its place in the log, and what was said of it."""

    jpeg: bytes
    place: str
    said: str


@dataclass(frozen=True, slots=True)
class PictureBox:
    """Cells of one kind, with a title that says how many of them are shown."""

    title: str
    pictures: tuple[Picture, ...]


def chosen_pictures(
    reading: Reading, _: Catalogue, read_picture: Callable[[str], bytes | None], *, search: bool = False
) -> tuple[PictureBox, ...]:
    """Choose cells for the report.

    Blasts are cells that the program or, in its place, people called so, evenly spread over the sample, so
    that the sheet shows no better cells than the slide has. In doubt are cells that the program is uncertain
    of, on which people and the program differ, or people among each other, the most doubtful first. In a
    search, where the program calls many cells and few are confirmed, blasts are those that people called so.

    Parameters
    ----------
    reading : cells and words of the sample
    _ : texts
    read_picture : gives a stored JPEG by its hash, None where it was removed
    search : the sample is searched for few blasts
    """
    agreed = reading.agreed_words
    counted = [cell for cell in reading.cells if cell.counts]
    blasts = [cell for cell in counted if agreed.get(cell.ref, None if search else cell.program) == "blast"]
    doubtful = [
        cell
        for cell in counted
        if cell.program == "uncertain"
        or cell.ref in reading.differing
        or agreed.get(cell.ref, cell.program) != cell.program
    ]
    doubtful.sort(key=lambda cell: cell.doubt)
    kinds = (
        ("search.pictures" if search else "report.blast_cells", blasts, _spread(blasts, MAX_BLASTS)),
        ("report.doubtful_cells", doubtful, doubtful[:MAX_DOUBTFUL]),
    )
    boxes = []
    for key, cells, chosen in kinds:
        pictures = tuple(
            Picture(jpeg, f"{cell.ref.field_id}-{cell.ref.cell_id}", _said(cell, _, _words_on(cell, reading)))
            for cell in chosen
            if cell.thumbnail is not None and (jpeg := read_picture(cell.thumbnail)) is not None
        )
        if cells:
            boxes.append(PictureBox(_(key, shown=len(pictures), number=len(cells)), pictures))
    return tuple(boxes)


def _words_on(cell: ReadCell, reading: Reading) -> list[str]:
    """Give the words that people have on a cell: one where they agree."""
    differing = reading.differing.get(cell.ref)
    if differing is not None:
        return list(dict.fromkeys(differing.values()))
    word = reading.last_words.get(cell.ref)
    return [] if word is None else [word]


def _said(cell: ReadCell, _: Catalogue, words: list[str]) -> str:
    """Write the program's probability and, behind an arrow, the letters of what people said."""
    p = cell.found.p_blast
    text = "" if p is None else probability_text(_, p)
    return f"{text} > {'/'.join(LETTERS[word] for word in words)}" if words else text


def _spread(cells: list[ReadCell], most: int) -> list[ReadCell]:
    """Take so many at even distances.

    Examples
    --------
    >>> _spread(list("abcdefgh"), 4)
    ['a', 'c', 'e', 'g']
    """
    if len(cells) <= most:
        return cells
    return [cells[number * len(cells) // most] for number in range(most)]
