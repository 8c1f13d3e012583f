"""The JSON object of one field, schema ``blastcount.field/1``."""

from __future__ import annotations

import json

from edge.structures import ClassifiedCell, FieldResult

SCHEMA = "blastcount.field/1"


def field_json(result: FieldResult) -> str:
    """Write a field as one line of ASCII JSON.

    Control characters and undecodable bytes of file names come out as JSON escapes, so that a line is
    always a line and valid in every encoding.

    Parameters
    ----------
    result : the field

    Returns
    -------
    one line without its line end
    """
    um_per_px = result.scale.reported_um_per_px
    record = {
        "schema": SCHEMA,
        "source": result.source,
        "width": result.width,
        "height": result.height,
        "um_per_px": None if um_per_px is None else round(um_per_px, 5),
        "scale_source": result.scale.source,
        "status": result.status,
        "reasons": list(result.reasons),
        "wbc": result.wbc,
        "blasts": result.blasts,
        "cells": [_cell(classified) for classified in result.cells],
        "frame_sha256": result.frame_sha256,
        "model": {"name": result.model.name, "sha256": result.model.sha256},
    }
    return json.dumps(record, allow_nan=False)


def _cell(classified: ClassifiedCell) -> dict[str, object]:
    cell = classified.cell
    record: dict[str, object] = {
        "id": cell.id,
        "x": round(cell.x, 1),
        "y": round(cell.y, 1),
        "bbox": list(cell.bbox),
        "area_px": cell.area_px,
        "nucleus_area_px": cell.nucleus_area_px,
        "kind": cell.kind,
        "class": classified.label,
        "p_blast": None if classified.p_blast is None else round(classified.p_blast, 4),
        "touches_border": cell.touches_border,
    }
    if classified.seen_before is not None:
        record["seen_before"] = {
            "field": classified.seen_before.field_id,
            "cell": classified.seen_before.cell_id,
        }
    return record
