"""The cells of a closed verification, counted again with the code that is installed here."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edge.bloodlog import BloodLog, LoggedField
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration.site import SiteCheck, SiteCode
from edge.counting.pipeline import Pipeline
from edge.counting.provenance import Context
from edge.structures import Cell, ClassifiedCell, Frame
from edge.verification.measured import Words


def count_again(log: BloodLog, words: Words, pipeline: Pipeline, code: SiteCode) -> SiteCheck:
    """Count the fields of the drawn cells again from their kept pictures.

    A kept picture is what was counted, with the light evened out; what its field took from others of its
    sample stands in its row. So the whole line runs again, but for the camera and the flat field.

    Parameters
    ----------
    log : beside which the pictures are
    words : of the verification
    pipeline : with the model that the verification is of
    code : that is installed here
    """
    store = ThumbnailStore.beside(log.path)
    same = other = missing = 0
    drawn: dict[int, list[ClassifiedCell]] = {}
    for one in words.drawn:
        drawn.setdefault(one.cell.field_id, []).append(words.found[one.cell])
    for field_id, cells in drawn.items():
        logged = words.fields[field_id]
        context = Context(None) if logged.context is None else Context.from_json(logged.context)
        frame = _frame(logged, context, store)
        if frame is None:
            missing += len(cells)
            continue
        result = pipeline.process(frame, context.reference).result
        alike = sum(_word_at(cell.cell, result.cells) == cell.word for cell in cells)
        same, other = same + alike, other + len(cells) - alike
    return SiteCheck(code, same, other, missing)


def _frame(logged: LoggedField, context: Context, store: ThumbnailStore) -> Frame | None:
    """Give the field as it was counted; None where its picture is not there any more."""
    image = None if logged.image_sha256 is None else store.get(logged.image_sha256)
    if image is None:
        return None
    scale = logged.result.scale
    known = scale.source == "configured"
    return Frame(
        image,
        logged.result.source,
        um_per_px=scale.um_per_px if known else None,
        um_per_px_interval=scale.interval if known else None,
        pooled=context.pooled,
    )


def _word_at(cell: Cell, found: Iterable[ClassifiedCell]) -> str | None:
    """Give the word on the cell that lies where a cell was; None where none does."""
    radius = 0.25 * min(cell.bbox[2:])
    near = [(math.dist((one.cell.x, one.cell.y), (cell.x, cell.y)), one.word) for one in found]
    distance, word = min(near, default=(math.inf, ""))
    return word if distance <= radius else None
