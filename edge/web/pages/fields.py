"""The fields of a sample, each with its cells outlined, and the stored pictures."""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template, request

from edge.bloodlog import ReviewLabel
from edge.bloodlog.pictures import ThumbnailStore, reduced
from edge.results.reading import ReadCell
from edge.results.texts import TYPE_LETTERS
from edge.structures import CellRef
from edge.web import preferences, slidemap, store
from edge.web.kinds import GROUPS, group_of, has_types, in_groups
from edge.web.paging import list_page
from edge.web.setup import setup

blueprint = Blueprint("fields", __name__)

#: Rows of the list of fields on a page.
_PER_PAGE = 100
#: Rejected fields on a page, with their pictures: 2 MB.
_REJECTED_PER_PAGE = 48
#: Least sides of a field on the map: four abreast fill a page.
_SMALL_PX = 240


@blueprint.get("/samples/<int(max=1000000000):sample_id>/fields")
def page(sample_id: int) -> str:
    """List the fields, newest first: all, or those with a warning."""
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        fields = setup().counted.of(log, sample).reading.fields[::-1]
    warned = [logged for logged in fields if logged.result.warnings]
    shows_warned = request.args.get("show") == "warned"
    return render_template(
        "fields.html",
        sample=sample,
        listed=list_page(warned if shows_warned else fields, _PER_PAGE),
        show="warned" if shows_warned else None,
        numbers={
            "all": len(fields),
            "warned": len(warned),
            "rejected": sum(logged.result.status == "rejected" for logged in fields),
        },
        hidden=preferences.hides_program(),
    )


@blueprint.get("/samples/<int(max=1000000000):sample_id>/fields/rejected")
def rejected(sample_id: int) -> str:
    """Show why fields were rejected, newest first."""
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        fields = setup().counted.of(log, sample).reading.fields[::-1]
    refused = [logged for logged in fields if logged.result.status == "rejected"]
    return render_template(
        "rejected.html",
        sample=sample,
        listed=list_page(refused, _REJECTED_PER_PAGE),
    )


@blueprint.get("/samples/<int(max=1000000000):sample_id>/fields/<int(max=1000000000):field_id>")
def field(sample_id: int, field_id: int) -> str:
    """Show one field with its cells outlined."""
    observer = preferences.observer()
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        reading = setup().counted.of(log, sample).reading
    numbers = [logged.id for logged in reading.fields]
    if field_id not in numbers:
        abort(404)
    at = numbers.index(field_id)
    cells = [cell for cell in reading.cells if cell.ref.field_id == field_id]

    def said_of(cell: ReadCell) -> ReviewLabel | None:
        return reading.said(observer, cell.ref)

    return render_template(
        "field.html",
        sample=sample,
        logged=reading.fields[at],
        cells=cells,
        said_of=said_of,
        kinds=[kind for kind in in_groups(cells, said_of) if kind in TYPE_LETTERS],
        before=numbers[at - 1] if at else None,
        after=numbers[at + 1] if at + 1 < len(numbers) else None,
        hidden=preferences.hides_program(),
    )


@blueprint.get("/samples/<int(max=1000000000):sample_id>/map")
def slide_map(sample_id: int) -> str:
    """Show where the counted fields lie beside each other, with a dot for each cell."""
    observer, hidden = preferences.observer(), preferences.hides_program()
    only = request.args.get("kind")
    if only is not None and (hidden or only not in GROUPS):
        abort(400)
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        reading = setup().counted.of(log, sample).reading

    def said_of(cell: ReadCell) -> ReviewLabel | None:
        return reading.said(observer, cell.ref)

    def word_of(cell: ReadCell) -> str:
        return (reading.word(observer, cell.ref) or cell.program) if not hidden else "none"

    def is_shown(cell: ReadCell) -> bool:
        return only is None or group_of(cell, said_of(cell)) == only

    islands, alone = slidemap.slide_map(reading.fields, reading.cells, word_of, is_shown)
    has_kinds = not hidden and has_types(reading, observer)
    counted = [cell for cell in reading.cells if cell.counts]
    return render_template(
        "map.html",
        sample=sample,
        islands=islands,
        alone=alone,
        kinds=in_groups(counted, said_of) if has_kinds else {},
        kind=only,
        rejected=sum(logged.result.status == "rejected" for logged in reading.fields),
        hidden=hidden,
    )


@blueprint.get("/pictures/<int(max=1000000000):field_id>")
def image(field_id: int) -> Response:
    """Send the stored picture of a field."""
    with store.reading() as log:
        return _stored(log.image(field_id))


@blueprint.get("/pictures/<int(max=1000000000):field_id>/small")
def small(field_id: int) -> Response:
    """Send the stored picture of a field as small as the map shows it."""
    with store.reading() as log:
        picture = _stored(log.image(field_id))
    picture.data = reduced(picture.data, _SMALL_PX)
    return picture


@blueprint.get("/pictures/<int(max=1000000000):field_id>/<int(max=1000000):cell_id>")
def thumbnail(field_id: int, cell_id: int) -> Response:
    """Send the stored picture of a cell."""
    with store.reading() as log:
        return _stored(log.thumbnail(CellRef(field_id, cell_id)))


def _stored(sha256: str | None) -> Response:
    """Send a picture by the hash that the log has for it; nothing that a browser sent becomes a path."""
    if sha256 is None:
        abort(404)
    # Kept for a while only; the log outlives the pictures.
    jpeg = ThumbnailStore.beside(setup().log_path).read(sha256)
    if jpeg is None:
        abort(404)
    return Response(jpeg, mimetype="image/jpeg")
