"""What ``blastcount sample export`` writes for each field of a sample, one file a field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from edge.bloodlog import LoggedField
from edge.bloodlog.pictures import ThumbnailStore
from edge.commands.outputs import field_stem, prepare_folder, write_atomically
from edge.device.printable import printable
from edge.errors import OutputError
from edge.results.coco import coco_annotations
from edge.results.dataset import NO_PICTURE
from edge.results.geojson import counted_again, encode_field
from edge.results.polygons import logged_polygons
from edge.results.sheet.record import json_text
from edge.results.summary import SampleSummary


def export_geojson(summary: SampleSummary, folder: Path) -> None:
    """Write the cells of each field as QuPath's objects; a field without contours is left out, and said."""
    repeated = counted_again(summary.reading.fields)

    def content(logged: LoggedField) -> bytes | None:
        if not _has_contours(logged):
            return None
        again = logged.id if logged.id in repeated else None
        return encode_field(logged.result, logged_polygons(logged), again)

    _export(summary, folder, ".geojson", content, "no contours are kept of the field")


def export_ome(summary: SampleSummary, store: ThumbnailStore, folder: Path) -> None:
    """Write the kept picture of each field as OME-TIFF."""
    from edge.results.ome import ome_tiff  # tifffile, which no other form needs

    _export(
        summary,
        folder,
        ".ome.tif",
        lambda logged: ome_tiff(logged, summary.sample, store),
        NO_PICTURE,
    )


def export_coco(summary: SampleSummary, store: ThumbnailStore, folder: Path) -> None:
    """Write the kept picture of each field, and ``annotations.json`` of all their cells."""

    def content(logged: LoggedField) -> bytes | None:
        if logged.image_sha256 is None or not _has_contours(logged):
            return None
        return store.read(logged.image_sha256)

    why = f"no contours are kept of the field, or {NO_PICTURE}"
    pictures = _export(summary, folder, ".jpg", content, why)
    annotations = json_text(coco_annotations(summary.reading, pictures)).encode("ascii")
    write_atomically(folder / "annotations.json", annotations)


def _has_contours(logged: LoggedField) -> bool:
    """Whether contours were logged, which rows of earlier versions do not have; a blank field needs none."""
    return bool(logged.contours) or not logged.result.cells


def _export(
    summary: SampleSummary,
    folder: Path,
    suffix: str,
    content_of: Callable[[LoggedField], bytes | None],
    why_left_out: str,
) -> dict[int, str]:
    """Write a file for each counted field that has a content; give its name by the field's number.

    Raises
    ------
    OutputError
        A file cannot be written, or none of the counted fields has a content.
    """
    prepare_folder(folder)
    fields = [logged for logged in summary.reading.fields if logged.result.status == "counted"]
    written = {}
    for logged in fields:
        content = content_of(logged)
        if content is not None:
            written[logged.id] = f"{field_stem(logged)}{suffix}"
            write_atomically(folder / written[logged.id], content)
    click.echo(f"{printable(folder)}: {len(written)} of {len(fields)} counted fields written", err=True)
    if len(written) < len(fields):
        click.echo(f"left out, {why_left_out}: {len(fields) - len(written)}", err=True)
        if not written:
            raise OutputError(f"{folder}: nothing was written, see above")
    return written
