"""A sample in the form of COCO, for people who train detectors: pictures, outlines, and what people said.

A folder::

    annotations.json    images, annotations and categories [1]_
    field-000001.jpg    the kept picture of a field

References
----------
.. [1] T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
   https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge.bloodlog import LoggedField
from edge.results.polygons import logged_polygons
from edge.results.reading import Reading
from edge.structures import CellRef, ClassifiedCell

#: What people agree on of a cell. Of ``unknown`` nobody has said anything, or they differ: it is not normal.
CATEGORIES = ("blast", "normal", "smudge", "unknown")


def coco_annotations(reading: Reading, pictures: Mapping[int, str]) -> dict[str, Any]:
    """Give the cells of a sample as COCO's object detection has them.

    Every cell whose contour was logged is in it, but those that somebody has called no cell or an
    erythroblast, which is no white cell. Polygons run along the edges of pixels, as COCO's own tools read
    them. The category is people's; the program's class and probability are attributes beside it.

    Parameters
    ----------
    reading : cells and words of the sample
    pictures : name of the file by number of the field; a field without one is left out
    """
    fields = [logged for logged in reading.fields if logged.id in pictures]
    cells = (annotation for logged in fields for annotation in _annotations(logged, reading))
    return {
        "info": {"description": "For research use only; not for diagnosis.", "contributor": "blastcount"},
        "images": [
            {
                "id": logged.id,
                "file_name": pictures[logged.id],
                "width": logged.result.width,
                "height": logged.result.height,
                "um_per_px": logged.result.scale.reported_um_per_px,
                "frame_sha256": logged.result.frame_sha256,
                "source_kind": logged.source_kind,  # one that is rendered is no real smear
            }
            for logged in fields
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(cells, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)],
    }


def _annotations(logged: LoggedField, reading: Reading) -> Iterator[dict[str, Any]]:
    outlines = logged_polygons(logged)
    for found in logged.result.cells:
        outline = outlines.get(found.cell.id)
        category = _category(CellRef(logged.id, found.cell.id), reading)
        if outline is not None and category is not None:
            yield {
                "image_id": logged.id,
                "category_id": CATEGORIES.index(category) + 1,
                "segmentation": [[xy for corner in outer for xy in corner] for outer, *_ in outline.cell],
                "area": found.cell.area_px,
                "bbox": found.cell.bbox,
                "iscrowd": 0,
                "attributes": _attributes(found),
            }


def _category(cell: CellRef, reading: Reading) -> str | None:
    """Give what all who have a word on a cell call it; None where somebody calls it no white cell."""
    words = {words[cell] for words in reading.words.values() if cell in words}
    if "not_a_cell" in words or "erythroblast" in reading.types.get(cell, ()):
        return None
    return words.pop() if len(words) == 1 else "unknown"


def _attributes(found: ClassifiedCell) -> dict[str, Any]:
    return {
        "cell": found.cell.id,
        "program": found.word,
        "p_blast": found.p_blast,
        "touches_border": found.cell.touches_border,
        "seen_before": found.seen_before is not None,
    }
