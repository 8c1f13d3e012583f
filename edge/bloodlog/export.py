"""The log's rows for other programs: all of them with their links as JSON Lines, or the cells as CSV."""

from __future__ import annotations

import csv
import json
from typing import TextIO, cast

from edge.bloodlog.assignments import ASSIGNED, ASSIGNED_TO
from edge.bloodlog.belonging import links
from edge.bloodlog.chain import Kind, read_content
from edge.bloodlog.connection import snapshot
from edge.bloodlog.core import BloodLog
from edge.bloodlog.samples import Sample

SCHEMA = "blastcount.log/1"

#: A spreadsheet takes a text that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: The sample that a field was counted or put into.
_SAMPLE = f"coalesce(field.sample_id, {ASSIGNED_TO})"
#: A line a cell, and one a field without cells; types where some network named any.
_CELLS = f"""
SELECT field.id AS field, sample.name AS sample, logged_at, clock_trusted, captured_at, source_kind, source,
       width, height, CASE scale_source WHEN 'assumed' THEN NULL ELSE um_per_px END AS um_per_px,
       um_per_px_low, um_per_px_high, scale_source, status,
       (SELECT group_concat(value, ' ') FROM json_each(reasons)) AS reasons,
       (SELECT group_concat(value, ' ') FROM (
            SELECT value FROM json_each(warnings)
            UNION ALL SELECT '{ASSIGNED}' WHERE status = 'counted' AND field.sample_id IS NULL AND sample.id)
       ) AS warnings,
       frame_sha256, image_sha256, stage_x_um, stage_y_um, model_name, model_sha256, config_sha256,
       software_version, runtime,
       cell.id AS cell, x, y, bbox_x, bbox_y, bbox_width, bbox_height, area_px, nucleus_area_px, cell.kind,
       label AS class, p_blast, touches_border, seen_field_id AS seen_field, seen_cell_id AS seen_cell,
       thumbnail_sha256{{types}}
FROM field LEFT JOIN sample ON sample.id = {_SAMPLE} LEFT JOIN cell ON cell.field_id = field.id
WHERE :sample IS NULL OR sample.id = :sample
ORDER BY field.id, cell.id
"""
_TYPES = ", type, p_type, type_model_name, type_model_sha256"
_HAS_TYPES = f"""
SELECT EXISTS (SELECT 1 FROM field LEFT JOIN sample ON sample.id = {_SAMPLE}
               WHERE (:sample IS NULL OR sample.id = :sample) AND type_model_name IS NOT NULL)
"""

#: Whether a text that people chose has more than ASCII; without a byte order mark Excel takes it for Latin-1.
_BEYOND_ASCII = f"""
SELECT EXISTS (SELECT 1 FROM field LEFT JOIN sample ON sample.id = {_SAMPLE}
               WHERE (:sample IS NULL OR sample.id = :sample)
                 AND (source || ' ' || ifnull(name, '') || ' ' || model_name) GLOB '*[^' || char(1) || '-~]*')
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
        for number, kind, row_id, sha256 in links(connection, None if sample is None else sample.id):
            content = read_content(connection, cast(Kind, kind), row_id) or {"kind": kind, "row": None}
            file.write(
                json.dumps({"schema": SCHEMA, "link": number, "sha256": sha256, **content}, default=repr)
                + "\n"
            )
            rows += 1
    return rows


def export_csv(
    log: BloodLog, file: TextIO, sample: Sample | None = None, *, for_spreadsheet: bool = False
) -> int:
    """Write one line a cell, and one a field without cells.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Parameters
    ----------
    log, file : from and to
    sample : whose fields; None for all
    for_spreadsheet : begin with a byte order mark where a text has more than ASCII

    Returns
    -------
    number of lines without the one of titles
    """
    number = 0
    lines = csv.writer(_Lines(file))
    of = {"sample": None if sample is None else sample.id}
    with log.reading() as connection, snapshot(connection):
        if for_spreadsheet and connection.execute(_BEYOND_ASCII, of).fetchone()[0]:
            file.write("\ufeff")
        has_types = connection.execute(_HAS_TYPES, of).fetchone()[0]
        rows = connection.execute(_CELLS.format(types=_TYPES if has_types else ""), of)
        lines.writerow(column[0] for column in rows.description)
        for row in rows:
            lines.writerow(map(harmless, row))
            number += 1
    return number


class _Lines:
    """Ends lines by LF alone; a writer told to do so would leave a CR inside a text without its quotes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """Write one line, as :func:`csv.writer` gives it."""
        self._file.write(line.removesuffix("\r\n") + "\n")


def harmless(value: object) -> object:
    """Put an apostrophe in front of a text that a spreadsheet would run as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
