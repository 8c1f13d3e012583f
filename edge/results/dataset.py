"""Cells that people have looked at, as a data set in the layout that ``blastcount train`` reads."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import OutputError
from edge.results.reading import ReadCell, Reading
from edge.structures import CellRef

#: Side of an ALL-IDB2 picture of one cell, in px.
CROP_PX = 257
_TITLES = ("crop", "field_file", "field", "cell", "x", "y", "label", "program", "p_blast", "observers")


@dataclass(frozen=True, slots=True)
class TrainingExport:
    """What was written and what was not.

    Attributes
    ----------
    fields : number of fields
    cells : number of cells by label, ``blast`` or ``normal``
    left_out : number of cells with a word that were left out, by reason
    """

    fields: int
    cells: dict[str, int]
    left_out: dict[str, int]


def export_training(reading: Reading, store: ThumbnailStore, out: Path) -> TrainingExport:
    """Write the cells that people called blast or normal as a data set.

    ``ALL_IDB1/im`` has the fields, ``xyc`` and ``other_xyc`` the centres of blasts and of normal cells,
    ``ALL_IDB2/img`` a picture of every cell, and ``labels.csv`` says which cell of the log each of them is
    and who called it so. Cells without a person's word teach a model only what it says already, and are left
    out, as are those that two people call differently.

    Parameters
    ----------
    reading : cells and words of the sample
    store : where the pictures of its fields are
    out : folder that does not exist yet; it appears whole or not at all

    Raises
    ------
    OutputError
        The folder exists, cannot be written, or there is nothing to write.
    """
    if out.exists():
        raise OutputError(f"{out}: exists already; name a folder that does not, nothing is ever written over")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: the folder {out.absolute().parent} does not exist; make it first")
    labels, left_out = _labels(reading)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.absolute().parent))
    try:
        new = made / "new"
        exported = _write(reading, labels, left_out, store, new)
        if not exported.fields:
            why = ", ".join(f"{reason}: {number}" for reason, number in exported.left_out.items())
            raise OutputError(
                f"{out}: not written: no cell of this sample has a person's word and a stored field"
                + (f" ({why})" if why else "")
            )
        new.rename(out)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made)
    return exported


def _labels(reading: Reading) -> tuple[dict[CellRef, str], Counter[str]]:
    """Give the label of each cell on which all who looked agree that it is a blast or a normal cell."""
    labels: dict[CellRef, str] = {}
    left_out: Counter[str] = Counter()
    for cell in reading.cells:
        words = {own[cell.ref] for own in reading.words.values() if cell.ref in own}
        if not words:
            continue
        if len(words) > 1:
            left_out["people differ"] += 1
        elif not cell.counts:
            left_out["cut by the edge, seen before or a smudge to the program"] += 1
        elif (word := words.pop()) in ("blast", "normal"):
            labels[cell.ref] = word
        else:
            left_out["no white cell to the person"] += 1
    return labels, left_out


def _write(
    reading: Reading, labels: dict[CellRef, str], left_out: Counter[str], store: ThumbnailStore, out: Path
) -> TrainingExport:
    folders = [out / "ALL_IDB1" / name for name in ("im", "xyc", "other_xyc")] + [out / "ALL_IDB2" / "img"]
    for folder in folders:
        folder.mkdir(parents=True)
    images, blasts, others, crops = folders
    of_field: dict[int, list[ReadCell]] = {}
    for cell in reading.cells:
        if cell.ref in labels:
            of_field.setdefault(cell.ref.field_id, []).append(cell)
    stored = {logged.id: logged.image_sha256 for logged in reading.fields}
    table: list[tuple[object, ...]] = []
    fields = 0
    for field_id, cells in of_field.items():
        sha256 = stored[field_id]
        jpeg = None if sha256 is None else store.read(sha256)
        if jpeg is None:
            left_out["the field's picture was removed"] += len(cells)
            continue
        fields += 1
        name = f"Im{fields:03}_{int(any(labels[cell.ref] == 'blast' for cell in cells))}"
        (images / f"{name}.jpg").write_bytes(jpeg)
        for folder, label in ((blasts, "blast"), (others, "normal")):
            points = [cell.found.cell for cell in cells if labels[cell.ref] == label]
            (folder / f"{name}.xyc").write_text("".join(f"{c.x:.0f}\t{c.y:.0f}\n" for c in points))
        with Image.open(io.BytesIO(jpeg)) as image:
            for cell in cells:
                label = labels[cell.ref]
                crop = f"Im{len(table) + 1:03}_{int(label == 'blast')}.tif"
                _crop(image, cell).save(crops / crop)
                who = " ".join(o for o in reading.observers if cell.ref in reading.words[o])
                at = cell.found.cell
                table.append(
                    (crop, f"{name}.jpg", field_id, at.id, at.x, at.y, label, cell.program,
                     cell.found.p_blast, who)
                )  # fmt: skip
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(
            ("crop", "field_file", "field", "cell", "x", "y", "label", "program", "p_blast", "observers")
        )
        lines.writerows(table)
    return TrainingExport(fields, dict(Counter(str(row[6]) for row in table)), dict(left_out))


def _crop(image: Image.Image, cell: ReadCell) -> Image.Image:
    """Cut the square around a cell, less what lies beyond the field, as ALL-IDB2 does."""
    left, top = round(cell.found.cell.x) - CROP_PX // 2, round(cell.found.cell.y) - CROP_PX // 2
    box = (max(0, left), max(0, top), min(image.width, left + CROP_PX), min(image.height, top + CROP_PX))
    return image.crop(box)
