"""The log's rows for other programs: all of them with their links as JSON Lines, or the cells as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from edge.bloodlog.chain import Kind, read_content
from edge.bloodlog.connection import snapshot
from edge.bloodlog.core import BloodLog
from edge.bloodlog.rows import LoggedField
from edge.bloodlog.samples import Sample

SCHEMA = "blastcount.log/1"

_FIELD_COLUMNS = (
    "field", "sample", "logged_at", "clock_trusted", "captured_at", "source_kind", "source", "width",
    "height", "um_per_px", "scale_source", "status", "reasons", "frame_sha256", "image_sha256", "stage_x_um",
    "stage_y_um", "model_name", "model_sha256", "config_sha256", "software_version", "runtime",
)  # fmt: skip
_CELL_COLUMNS = (
    "cell", "x", "y", "bbox_x", "bbox_y", "bbox_width", "bbox_height", "area_px", "nucleus_area_px", "kind",
    "class", "p_blast", "touches_border", "seen_field", "seen_cell", "thumbnail_sha256",
)  # fmt: skip
#: A spreadsheet takes a text that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Links of the rows that belong to a sample, or all of them.
_LINKS = """
SELECT number, kind, row_id, sha256 FROM link
WHERE :sample IS NULL
   OR (kind = 'sample' AND row_id = :sample)
   OR (kind = 'sample_event' AND row_id IN (SELECT id FROM sample_event WHERE sample_id = :sample))
   OR (kind = 'field' AND row_id IN (SELECT id FROM field WHERE sample_id = :sample))
   OR (kind = 'review' AND row_id IN (SELECT review.id FROM review JOIN field ON field.id = review.field_id
                                      WHERE sample_id = :sample))
   OR (kind = 'removal' AND row_id IN (SELECT removal.id FROM removal JOIN field ON field.id = field_id
                                       WHERE sample_id = :sample))
ORDER BY number
"""


def export_jsonl(log: BloodLog, file: TextIO, sample: Sample | None = None) -> int:
    """Write every row with its link, one JSON object each, in the order in which they were added.

    From all of them the chain can be computed again with nothing but SHA-256 (see docs/log.md), so that
    this is a copy that needs neither SQLite nor this program to be believed.

    Returns
    -------
    number of rows
    """
    rows = 0
    with log.reading() as connection, snapshot(connection):
        links = connection.execute(_LINKS, {"sample": None if sample is None else sample.id})
        for number, kind, row_id, sha256 in links:
            content = read_content(connection, cast(Kind, kind), row_id) or {"kind": kind, "row": None}
            file.write(
                json.dumps({"schema": SCHEMA, "link": number, "sha256": sha256, **content}, default=repr)
                + "\n"
            )
            rows += 1
    return rows


def export_csv(log: BloodLog, file: TextIO, sample: Sample | None = None) -> int:
    """Write one line a cell, and one a field without cells.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Returns
    -------
    number of lines without the one of titles
    """
    names = {there.id: there.name for there in log.samples()}
    lines = csv.DictWriter(file, [*_FIELD_COLUMNS, *_CELL_COLUMNS], lineterminator="\n")
    lines.writeheader()
    number = 0
    for logged in log.fields(None if sample is None else sample.id):
        field = _field(logged, names.get)
        for cell in list(_cells(logged)) or [{}]:
            lines.writerow({key: _harmless(value) for key, value in {**field, **cell}.items()})
            number += 1
    return number


def _field(logged: LoggedField, name: Callable[[int], str | None]) -> dict[str, Any]:
    result = logged.result
    x, y = result.stage_um or (None, None)
    values = (
        logged.id, None if logged.sample_id is None else name(logged.sample_id), logged.logged_at.isoformat(),
        logged.clock_trusted, None if result.captured_at is None else result.captured_at.isoformat(),
        logged.source_kind, result.source, result.width, result.height, result.scale.reported_um_per_px,
        result.scale.source, result.status, " ".join(result.reasons), result.frame_sha256,
        logged.image_sha256, x, y, result.model.name, result.model.sha256, logged.config_sha256,
        logged.software_version, logged.runtime,
    )  # fmt: skip
    return dict(zip(_FIELD_COLUMNS, values, strict=True))


def _cells(logged: LoggedField) -> Iterator[dict[str, Any]]:
    for classified in logged.result.cells:
        cell, seen = classified.cell, classified.seen_before
        values = (
            cell.id, cell.x, cell.y, *cell.bbox, cell.area_px, cell.nucleus_area_px, cell.kind,
            classified.label, classified.p_blast, cell.touches_border,
            None if seen is None else seen.field_id, None if seen is None else seen.cell_id,
            logged.thumbnails.get(cell.id),
        )  # fmt: skip
        yield dict(zip(_CELL_COLUMNS, values, strict=True))


def _harmless(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
