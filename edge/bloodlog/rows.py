"""A field and its cells as rows of the log, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from edge.bloodlog.assignments import ASSIGNED
from edge.bloodlog.control import decode_readings
from edge.structures import (
    Cell,
    CellClass,
    CellKind,
    CellRef,
    CellType,
    ClassifiedCell,
    FieldResult,
    ModelIdentity,
    RedCellScale,
    Scale,
)

#: What a field's row and its record have alike.
_FIELD_AS_STORED = (
    "id", "monotonic_s", "boot_id", "source_kind", "config_sha256", "software_version", "runtime",
    "image_sha256", "provenance", "context",
)  # fmt: skip
_RESULT_AS_STORED = ("source", "width", "height", "frame_sha256", "status")
_CELL_AS_STORED = ("id", "x", "y", "area_px", "nucleus_area_px")
#: The words that a cell's row may hold, each once in memory: a sample of 5,000 cells has them 15,000 times.
_WORDS = {word: word for words in (CellKind, CellClass, CellType) for word in get_args(words)}


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
    sample_id : row of the sample that it was counted or put into, or None
    clock_trusted : whether ``logged_at`` can be believed; None where nobody looked
    thumbnails : SHA-256 of the stored picture of a cell, by the cell's id
    image_sha256 : SHA-256 of the stored picture of the whole field (a small one of a rejected field), or None
    provenance : everything that produced the row, as JSON; None in rows of earlier versions
    context : what the field took from those of its sample before it or of its folder, as JSON; None where
        it took nothing
    contours : where a cell and its nucleus end, by the cell's id, see :mod:`edge.bloodlog.contours`
    overlaps : fields of its sample that it overlaps, and where its upper left corner lies from theirs, µm
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
    contours: Mapping[int, str] = field(default_factory=dict)
    overlaps: tuple[tuple[int, float, float], ...] = ()


def as_text(source: str) -> str:
    r"""Give a source as it is stored: file names on Linux are bytes; undecodable ones are shown as \xNN."""
    return source.encode("utf-8", "backslashreplace").decode("utf-8")


def cell_row(
    field_id: int, classified: ClassifiedCell, thumbnail_sha256: str | None, contours: str | None
) -> dict[str, object]:
    """Give the values of a cell's row, by column."""
    cell, seen = classified.cell, classified.seen_before
    left, top, width, height = cell.bbox
    return {
        "field_id": field_id,
        "id": int(cell.id),
        "x": float(cell.x),
        "y": float(cell.y),
        "bbox_x": int(left),
        "bbox_y": int(top),
        "bbox_width": int(width),
        "bbox_height": int(height),
        "area_px": int(cell.area_px),
        "nucleus_area_px": int(cell.nucleus_area_px),
        "kind": cell.kind,
        "label": classified.label,
        "p_blast": None if classified.p_blast is None else float(classified.p_blast),
        "touches_border": int(cell.touches_border),
        "seen_field_id": None if seen is None else seen.field_id,
        "seen_cell_id": None if seen is None else seen.cell_id,
        "thumbnail_sha256": thumbnail_sha256,
        "type": classified.type,
        "p_type": None if classified.p_type is None else float(classified.p_type),
        "contours": contours,
    }


# What the CHECKs of the schema guarantee is not checked again here.
def logged_field(row: sqlite3.Row, cell_rows: Sequence[sqlite3.Row]) -> LoggedField:
    """Make the record from the row of a field and those of its cells."""
    captured_at, trusted, stage_x_um = row["captured_at"], row["clock_trusted"], row["stage_x_um"]
    warnings = () if row["warnings"] is None else tuple(json.loads(row["warnings"]))
    if row["assigned_to"] is not None and row["status"] == "counted":
        warnings = (*warnings, ASSIGNED)
    result = FieldResult(
        captured_at=None if captured_at is None else datetime.fromisoformat(captured_at),
        scale=_scale(row),
        reasons=tuple(json.loads(row["reasons"])),
        cells=tuple(map(_classified_cell, cell_rows)),
        model=ModelIdentity(row["model_name"], row["model_sha256"], _recalibration(row["provenance"])),
        stage_ms=json.loads(row["stage_ms"]),
        stage_um=None if stage_x_um is None else (stage_x_um, row["stage_y_um"]),
        warnings=warnings,
        type_model=_type_model(row),
        readings=None if row["readings"] is None else decode_readings(row["readings"]),
        **{name: row[name] for name in _RESULT_AS_STORED},
    )
    return LoggedField(
        logged_at=datetime.fromisoformat(row["logged_at"]),
        result=result,
        sample_id=row["sample_id"] or row["assigned_to"],
        clock_trusted=None if trusted is None else bool(trusted),
        thumbnails={
            cell["id"]: cell["thumbnail_sha256"] for cell in cell_rows if cell["thumbnail_sha256"] is not None
        },
        contours={cell["id"]: cell["contours"] for cell in cell_rows if cell["contours"] is not None},
        overlaps=()
        if row["overlaps"] is None
        else tuple((other, x_um, y_um) for other, x_um, y_um in json.loads(row["overlaps"])),
        **{name: row[name] for name in _FIELD_AS_STORED},
    )


def _recalibration(provenance: str | None) -> str | None:
    """Read by which recalibration a row was counted, from what produced it."""
    if provenance is None or '"recalibration_sha256"' not in provenance:  # nearly all rows: not parsed
        return None
    sha256 = json.loads(provenance).get("recalibration_sha256")
    return None if sha256 is None else str(sha256)


def _type_model(row: sqlite3.Row) -> ModelIdentity | None:
    name = row["type_model_name"]
    return None if name is None else ModelIdentity(name, row["type_model_sha256"])


def _scale(row: sqlite3.Row) -> Scale:
    low, red_cells = row["um_per_px_low"], row["red_cells_um_per_px"]
    return Scale(
        row["um_per_px"],
        row["scale_source"],
        row["scale_confidence"],
        None if low is None else (low, row["um_per_px_high"]),
        None if red_cells is None else RedCellScale(red_cells, row["red_cells_confidence"]),
    )


def _once(word: Any) -> Any:  # noqa: ANN401  # a column of a row
    return _WORDS.get(word, word)


def _classified_cell(row: sqlite3.Row) -> ClassifiedCell:
    seen_field_id = row["seen_field_id"]
    return ClassifiedCell(
        cell=Cell(
            bbox=(row["bbox_x"], row["bbox_y"], row["bbox_width"], row["bbox_height"]),
            touches_border=bool(row["touches_border"]),
            kind=_once(row["kind"]),
            **{name: row[name] for name in _CELL_AS_STORED},
        ),
        label=_once(row["label"]),
        p_blast=row["p_blast"],
        seen_before=None if seen_field_id is None else CellRef(seen_field_id, row["seen_cell_id"]),
        type=_once(row["type"]),
        p_type=row["p_type"],
    )
