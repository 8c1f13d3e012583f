"""The cells of a field as QuPath's objects in GeoJSON, and what people have called them there.

QuPath [1]_ keeps the id, the class and the measurements of an object when it reads and writes this form, so
that a cell whose class a person has changed in it is known again.

References
----------
.. [1] P. Bankhead et al., "QuPath: Open source software for digital pathology image analysis", Scientific
   Reports 7 (2017) 16878; https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args
from uuid import UUID, uuid5

import msgspec

from edge.bloodlog import LoggedField, ReviewLabel
from edge.device.decoding import decode_json
from edge.device.reading import read_bounded
from edge.errors import DataSetError
from edge.results.annotate import class_colour
from edge.results.polygons import CellPolygons, Polygon
from edge.structures import CellRef, ClassifiedCell, FieldResult
from edge.version import software_version

SCHEMA = "blastcount.geojson/1"
#: What ids are made in; drawn once.
NAMESPACE = UUID("6f1d7f0e-3b0c-4c57-9a0e-0b8f2d1c5a42")
_WORDS: tuple[ReviewLabel, ...] = get_args(ReviewLabel)
#: QuPath writes about 20 kB for a cell that was outlined by hand to the pixel.
_MOST_BYTES = 200_000_000


def cell_uuid(frame_sha256: str, classified: ClassifiedCell, again: int | None = None) -> UUID:
    """Name a cell by the pixels that it was found in, its id there and its place.

    The place, because another version of the program may give the same id to another cell of the same frame.

    Parameters
    ----------
    frame_sha256 : of the field's pixels
    classified : the cell
    again : the field's number in the log, where its frame was counted into the sample before, see
        :func:`counted_again`
    """
    cell = classified.cell
    named = (frame_sha256, cell.id, *cell.bbox, *(() if again is None else (again,)))
    return uuid5(NAMESPACE, " ".join(map(str, named)))


def counted_again(fields: Iterable[LoggedField]) -> frozenset[int]:
    """Give the numbers of a sample's fields whose very frame was counted into it before.

    Their cells have ids of their own: the class may be another one, as when the scale was pooled anew. Those
    of the first have the ids that ``count --geojson`` gives.
    """
    seen: set[str] = set()
    again = set()
    for logged in fields:
        if logged.result.frame_sha256 in seen:
            again.add(logged.id)
        seen.add(logged.result.frame_sha256)
    return frozenset(again)


def feature_collection(
    result: FieldResult, outlines: Mapping[int, CellPolygons], again: int | None = None
) -> dict[str, Any]:
    """Give a field's cells as a GeoJSON FeatureCollection [1]_ of QuPath's objects.

    Coordinates are px of the image from its upper left corner, as QuPath has them. A field that was refused
    has no features. Classes are the program's, never a person's: two readings are independent only while
    neither reader knows the other's.

    Parameters
    ----------
    result : of the field
    outlines : of its cells by id; a cell that has none there is left out
    again : see :func:`cell_uuid`

    References
    ----------
    .. [1] H. Butler et al., RFC 7946, "The GeoJSON Format", 2016.
    """
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(result, classified, outlines[classified.cell.id], again)
            for classified in result.cells
            if classified.cell.id in outlines
        ],
        # A member that is not GeoJSON's own, which readers pass over (section 6.1).
        "blastcount": {
            "schema": SCHEMA,
            "frame_sha256": result.frame_sha256,
            "width": result.width,
            "height": result.height,
            "um_per_px": result.scale.reported_um_per_px,
            "status": result.status,
            "reasons": result.reasons,
            "warnings": result.warnings,
            "model": result.model.to_json(),
            "software": software_version(),
            "note": "For research use only; not for diagnosis.",
        },
    }


def encode_field(
    result: FieldResult, outlines: Mapping[int, CellPolygons], again: int | None = None
) -> bytes:
    """Give :func:`feature_collection` as the content of a file."""
    return msgspec.json.encode(feature_collection(result, outlines, again)) + b"\n"


def _feature(
    result: FieldResult, classified: ClassifiedCell, outline: CellPolygons, again: int | None
) -> dict[str, Any]:
    cell, name = classified.cell, classified.word
    measurements: dict[str, float] = {"area_px": cell.area_px, "nucleus_area_px": cell.nucleus_area_px}
    um_per_px = result.scale.reported_um_per_px
    if um_per_px is not None:
        measurements["area_um2"] = cell.area_px * um_per_px**2
        measurements["nucleus_area_um2"] = cell.nucleus_area_px * um_per_px**2
    if classified.p_blast is not None:
        measurements["p_blast"] = classified.p_blast
    if classified.p_type is not None:
        measurements["p_type"] = classified.p_type
    nucleus = {"nucleusGeometry": geometry(outline.nucleus)} if outline.nucleus else {}
    return {
        "type": "Feature",
        "id": str(cell_uuid(result.frame_sha256, classified, again)),
        "geometry": geometry(outline.cell),
        **nucleus,
        "properties": {
            "objectType": "cell",
            "name": str(cell.id),
            "classification": {"name": name, "color": class_colour(name)},
            "measurements": measurements,
            "metadata": {
                **({} if classified.type is None else {"type": classified.type}),
                "touches_border": str(cell.touches_border).lower(),
                "seen_before": str(classified.seen_before is not None).lower(),
            },
        },
    }


def geometry(parts: Sequence[Polygon]) -> dict[str, Any]:
    """Give polygons as a geometry of GeoJSON, whose rings end where they begin."""
    closed = [[[*ring, ring[0]] for ring in polygon] for polygon in parts]
    if len(closed) == 1:
        return {"type": "Polygon", "coordinates": closed[0]}
    return {"type": "MultiPolygon", "coordinates": closed}


class Classification(msgspec.Struct, frozen=True):
    """The class of an object in a file."""

    name: str | None = None
    names: tuple[str, ...] = ()  # of a class within a class, as "blast: seen"

    @property
    def shown(self) -> str | None:
        """The class as QuPath shows it."""
        return self.name or ": ".join(self.names) or None


class _Properties(msgspec.Struct, frozen=True):
    classification: Classification | None = None


class _Feature(msgspec.Struct, frozen=True):
    id: str | int | None = None
    properties: _Properties | None = None

    @property
    def class_name(self) -> str | None:
        classified = None if self.properties is None else self.properties.classification
        return None if classified is None else classified.shown


class _Collection(msgspec.Struct, frozen=True):
    features: tuple[_Feature, ...]


#: Of a file: what this program writes, and what QuPath does.
_CONTENT: Any = _Collection | tuple[_Feature, ...]


@dataclass(frozen=True, slots=True)
class ReadWords:
    """What a person has called the cells of a sample in another program.

    Attributes
    ----------
    words : by cell, where the class is another one than the program's
    same : number of cells whose class is the program's, on which nobody has said anything therefore
    left_out : number of objects that say nothing of a cell of the sample, by reason
    """

    words: Mapping[CellRef, ReviewLabel]
    same: int
    left_out: Mapping[str, int]


def read_words(files: Iterable[Path], fields: Iterable[LoggedField]) -> ReadWords:
    """Read the classes of a sample's cells from files of GeoJSON, of this program and as QuPath writes them.

    A cell whose class was not changed was perhaps not looked at: only a class that is not the program's is a
    person's word. Outlines that were changed are not looked at; :mod:`edge.results.outlines` reads them.

    Parameters
    ----------
    files : FeatureCollections, or lists of features
    fields : of the sample

    Raises
    ------
    DataSetError
        A file cannot be read or is no such thing, or two of them call a cell differently.
    """
    known: dict[str, tuple[CellRef, str]] = {}
    fields = tuple(fields)
    repeated = counted_again(fields)
    for logged in fields:
        again = logged.id if logged.id in repeated else None
        for found in logged.result.cells:
            uuid = str(cell_uuid(logged.result.frame_sha256, found, again))
            known.setdefault(uuid, (CellRef(logged.id, found.cell.id), found.word))
    said: dict[CellRef, str] = {}
    left_out: Counter[str] = Counter()
    for file in files:
        for feature in _features(file):
            cell, program = known.get(str(feature.id).lower(), (None, ""))
            name = feature.class_name
            if cell is None:
                left_out["no cell of this sample"] += 1
            elif name is None:
                left_out["without a class"] += 1
            elif name not in (program, *_WORDS):
                left_out[f"class {name!r} is none of {', '.join(_WORDS)}"] += 1
            elif said.setdefault(cell, name) != name:
                raise DataSetError(f"{file}: calls cell {feature.id} {name}, another object {said[cell]}")
    programs = dict(known.values())
    words = {cell: cast(ReviewLabel, name) for cell, name in said.items() if name != programs[cell]}
    return ReadWords(words, len(said) - len(words), dict(left_out))


def _features(file: Path) -> tuple[_Feature, ...]:
    found = read_document(file, _CONTENT)
    return found.features if isinstance(found, _Collection) else found


def read_document(file: Path, kind: Any) -> Any:  # noqa: ANN401  # a union of structs has no type of its own
    """Read a file of GeoJSON as it is declared.

    Raises
    ------
    DataSetError
        It cannot be read, or is not as declared.
    """
    try:
        content = read_bounded(file, _MOST_BYTES)
    except OSError as error:
        raise DataSetError(f"{file}: cannot be read: {error.strerror or error}") from error
    return decode_json(
        content,
        kind,
        source=f"{file}: no GeoJSON of cells",
        advice="QuPath writes it by File, Export objects as GeoJSON",
        error=DataSetError,
    )
