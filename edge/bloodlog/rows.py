"""A field and its cells as rows of the log, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge.structures import Cell, CellRef, ClassifiedCell, FieldResult, ModelIdentity, Scale

FIELD_COLUMNS = (
    "logged_at, monotonic_s, boot_id, captured_at, source_kind, source, width, height, um_per_px, "
    "scale_source, scale_confidence, status, reasons, frame_sha256, model_name, model_sha256, config_sha256, "
    "software_version, runtime, stage_ms, sample_id, clock_trusted, stage_x_um, stage_y_um, image_sha256, "
    "provenance, context"
)
CELL_COLUMNS = (
    "id, x, y, bbox_x, bbox_y, bbox_width, bbox_height, area_px, nucleus_area_px, kind, label, p_blast, "
    "touches_border, seen_field_id, seen_cell_id, thumbnail_sha256"
)


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


INSERT_FIELD = _insert("field", FIELD_COLUMNS)
INSERT_CELL = _insert("cell", f"field_id, {CELL_COLUMNS}")


@dataclass(frozen=True, slots=True)
class LoggedField:
    """One field as the log holds it, with everything that produced it.

    Attributes
    ----------
    id : number of the row, 1, 2, ..., never reused
    logged_at : aware UTC wall time when the row was written
    monotonic_s : seconds of the monotonic clock at that moment; comparable within one ``boot_id``
    boot_id : the kernel's id of that boot, or None where it has none
    source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``
    config_sha256, software_version, runtime : what counted it
    result : the field's result, as it was appended
    sample_id : row of the sample that it was counted into, or None
    clock_trusted : whether ``logged_at`` can be believed; None where nobody looked
    thumbnails : SHA-256 of the stored picture of a cell, by the cell's id
    image_sha256 : SHA-256 of the stored picture of the whole field, or None
    provenance : everything that produced the row, as JSON; None in rows of earlier versions
    context : what the field took from those of its sample before it, as JSON; None without a sample
    """

    id: int
    logged_at: datetime
    monotonic_s: float
    boot_id: str | None
    source_kind: str
    config_sha256: str
    software_version: str
    runtime: str
    result: FieldResult
    sample_id: int | None = None
    clock_trusted: bool | None = None
    thumbnails: Mapping[int, str] = field(default_factory=dict)
    image_sha256: str | None = None
    provenance: str | None = None
    context: str | None = None


def cell_row(field_id: int, classified: ClassifiedCell, thumbnail_sha256: str | None) -> tuple[object, ...]:
    """Give the values of ``INSERT_CELL``."""
    cell, seen = classified.cell, classified.seen_before
    return (
        field_id,
        int(cell.id),
        float(cell.x),
        float(cell.y),
        *(int(side) for side in cell.bbox),
        int(cell.area_px),
        int(cell.nucleus_area_px),
        cell.kind,
        classified.label,
        None if classified.p_blast is None else float(classified.p_blast),
        int(cell.touches_border),
        None if seen is None else seen.field_id,
        None if seen is None else seen.cell_id,
        thumbnail_sha256,
    )


# Rows are taken apart by position; what the CHECKs of the schema guarantee is not checked again here.
def logged_field(row: tuple[Any, ...], cell_rows: list[tuple[Any, ...]]) -> LoggedField:
    """Make the record from a row of ``id`` and ``FIELD_COLUMNS`` and rows of ``CELL_COLUMNS``."""
    (field_id, logged_at, monotonic_s, boot_id, captured_at, source_kind, source, width, height) = row[:9]
    (um_per_px, scale_source, confidence, status, reasons, frame_sha256) = row[9:15]
    (model_name, model_sha256, config_sha256, software_version, runtime, stage_ms) = row[15:21]
    (sample_id, clock_trusted, stage_x_um, stage_y_um, image_sha256, provenance, context) = row[21:]
    result = FieldResult(
        source=source,
        width=width,
        height=height,
        captured_at=None if captured_at is None else datetime.fromisoformat(captured_at),
        frame_sha256=frame_sha256,
        scale=Scale(um_per_px, scale_source, confidence),
        status=status,
        reasons=tuple(json.loads(reasons)),
        cells=tuple(_classified_cell(cell_row) for cell_row in cell_rows),
        model=ModelIdentity(model_name, model_sha256),
        stage_ms=json.loads(stage_ms),
        stage_um=None if stage_x_um is None else (stage_x_um, stage_y_um),
    )
    return LoggedField(
        id=field_id,
        logged_at=datetime.fromisoformat(logged_at),
        monotonic_s=monotonic_s,
        boot_id=boot_id,
        source_kind=source_kind,
        config_sha256=config_sha256,
        software_version=software_version,
        runtime=runtime,
        result=result,
        sample_id=sample_id,
        clock_trusted=None if clock_trusted is None else bool(clock_trusted),
        thumbnails={cell_row[0]: cell_row[-1] for cell_row in cell_rows if cell_row[-1] is not None},
        image_sha256=image_sha256,
        provenance=provenance,
        context=context,
    )


def _classified_cell(row: tuple[Any, ...]) -> ClassifiedCell:
    cell_id, x, y, left, top, width, height, area_px, nucleus_area_px, kind, label, p_blast, border = row[:13]
    seen_field_id, seen_cell_id, _thumbnail = row[13:]
    return ClassifiedCell(
        cell=Cell(
            id=cell_id,
            x=x,
            y=y,
            bbox=(left, top, width, height),
            area_px=area_px,
            nucleus_area_px=nucleus_area_px,
            kind=kind,
            touches_border=bool(border),
        ),
        label=label,
        p_blast=p_blast,
        seen_before=None if seen_field_id is None else CellRef(seen_field_id, seen_cell_id),
    )
