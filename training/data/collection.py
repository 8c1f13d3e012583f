"""All laboratories of a data folder as fields and cells, with what must stay together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.camera.files import read_image
from edge.classification.crop import Cutter
from edge.device.hashing import file_sha256
from edge.light.field import Field
from edge.segmentation import Segmentation
from edge.structures import Cell, Frame, InputSpec, UInt8Image
from training.data import allidb, allidb_marks, sources
from training.data.cache import Cache
from training.data.crops import SAME_CELL_UM
from training.data.duplicates import Duplicate, Fingerprint, find_duplicates, fingerprint
from training.data.records import CellRecord, FieldRecord, Mark, SourceField
from training.data.scenes import ScenePlace, Shift, join
from training.evaluation.metrics import centre_distance


@dataclass(frozen=True, slots=True)
class Listing:
    """A laboratory's fields and what ties them together, before any segmentation.

    Attributes
    ----------
    fields : in the order of their names
    sha256 : of each image file, by key
    shifts, duplicates : what overlaps and what shows the same, by key
    groups : group of each field, by key
    places : where each field lies among those that overlap it, by key
    """

    fields: tuple[SourceField, ...]
    sha256: Mapping[str, str]
    shifts: tuple[Shift, ...]
    duplicates: tuple[Duplicate, ...]
    groups: Mapping[str, str]
    places: Mapping[str, ScenePlace]


@dataclass(frozen=True, slots=True)
class Collection:
    """Fields and cells of all laboratories that a data folder holds.

    Attributes
    ----------
    root : the data folder
    fields : by key, in the order of laboratories and names; fields that are exact duplicates of an
        earlier one are there, without cells
    cells : in the order of their fields
    shifts, duplicates : what ties fields of one laboratory together
    cache : where the segmentations are
    """

    root: Path
    fields: Mapping[str, FieldRecord]
    cells: tuple[CellRecord, ...]
    shifts: tuple[Shift, ...]
    duplicates: tuple[Duplicate, ...]
    cache: Cache

    def segmentation(self, field: str) -> Segmentation:
        """Return what the product's segmentation found in a field, label images included."""
        record = self.fields[field]
        return self.cache.segmentation(record.path, record.sha256)

    def image(self, field: str) -> UInt8Image:
        """Pixels of a field, (H, W, 3) uint8 RGB."""
        return read_image(self.fields[field].path).image


def collect(
    root: Path,
    cache: Cache,
    labs: Sequence[str] | None = None,
    tick: Callable[[str], None] = lambda _lab: None,
) -> Collection:
    """Read, segment and match all fields; minutes the first time, seconds after that.

    Parameters
    ----------
    root : the data folder
    cache : keeps segmentations and overlaps
    labs : which laboratories; None takes all that are there
    tick : called with the laboratory's name after each field

    Returns
    -------
    Collection

    Raises
    ------
    DataSetError
        A data set has another layout than expected.
    ImageError
        An image cannot be read.
    """
    fields: dict[str, FieldRecord] = {}
    cells: list[CellRecord] = []
    all_shifts: list[Shift] = []
    all_duplicates: list[Duplicate] = []
    for lab in labs or sources.present(root):
        listing = list_lab(root, lab, cache)
        all_shifts += listing.shifts
        all_duplicates += listing.duplicates
        copy_of = {pair.second: pair.first for pair in listing.duplicates if pair.exact}
        seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for field in listing.fields:
            place, sha256 = listing.places[field.key], listing.sha256[field.key]
            segmentation = cache.segmentation(field.path, sha256)
            marks, unmatched = match_marks(segmentation, field.marks)
            record = _record(
                field,
                sha256,
                listing.groups[field.key],
                place,
                copy_of,
                segmentation,
                unmatched,
            )
            fields[field.key] = record
            if record.duplicate_of is None:
                found = _cells(record, place, segmentation, marks, seen)
                cells += found
            tick(lab)
    return Collection(root, fields, tuple(cells), tuple(all_shifts), tuple(all_duplicates), cache)


def list_lab(root: Path, lab: str, cache: Cache) -> Listing:
    """List a laboratory's fields, find what overlaps and what shows the same.

    Parameters
    ----------
    root : the data folder
    lab : of ``LABS``
    cache : keeps what was found

    Raises
    ------
    DataSetError
        The data set has another layout than expected.
    """
    shifts: list[Shift] = []
    if lab == allidb_marks.LAB:
        data = allidb.load(root)
        fields = allidb_marks.source_fields(data, allidb_marks.locate_crops(data, cache))
        shifts = [_keyed(shift, lab) for shift in allidb_marks.overlaps(data, cache)]
    else:
        fields = sources.read(root, lab)
    hashes = {field.key: file_sha256(field.path) for field in fields}
    duplicates = find_duplicates(_fingerprints(fields, hashes, cache))
    groups = _groups(fields, shifts, duplicates)
    places = join((field.key for field in fields), shifts)
    return Listing(tuple(fields), hashes, tuple(shifts), tuple(duplicates), groups, places)


def match_marks(
    segmentation: Segmentation, marks: Iterable[Mark]
) -> tuple[dict[int, Mark], tuple[Mark, ...]]:
    """Give each segmented cell the mark that stands for it.

    A point belongs to the nearest cell whose centroid is within ``SAME_CELL_UM``, a box to the cell nearest
    to its centre whose centroid lies in it. Earlier marks win (points before crops), and where two marks of
    a cell contradict each other its label is None.

    Returns
    -------
    marks : mark by cell id
    unmatched : the marks at which no cell was found
    """
    matched: dict[int, Mark] = {}
    unmatched = []
    for mark in marks:
        near = [
            (distance, cell.id)
            for cell in segmentation.cells
            if (distance := _distance(mark, cell, segmentation.scale.um_per_px)) is not None
        ]
        if not near:
            unmatched.append(mark)
            continue
        cell_id = min(near)[1]
        earlier = matched.setdefault(cell_id, mark)
        if earlier.label != mark.label:
            matched[cell_id] = Mark(earlier.origin, None, earlier.cell_type, earlier.point, earlier.box)
    return matched, tuple(unmatched)


def cut(
    collection: Collection,
    cells: Sequence[CellRecord],
    spec: InputSpec,
    tick: Callable[[], None] = lambda: None,
) -> NDArray[np.uint8]:
    """Cut cells out of their fields as the device's pipeline does; every field is read and halved once.

    Parameters
    ----------
    collection : where they are from
    cells : any of its cells, in any order
    spec : what a crop is made of
    tick : called after each field

    Returns
    -------
    (n, size_px, size_px, 3) uint8 RGB
    """
    crops = np.zeros((len(cells), spec.size_px, spec.size_px, 3), np.uint8)
    by_field: dict[str, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        by_field[cell.field].append(index)
    for field, members in by_field.items():
        segmentation = collection.segmentation(field)
        whole = Field(Frame(collection.image(field), field), segmentation.background)
        cutter = Cutter(whole, spec, um_per_px=segmentation.scale.um_per_px)
        own = [cells[index].cell for index in members]
        crops[members] = cutter.cut(
            [(cell.x, cell.y) for cell in own], [segmentation.outline(cell) for cell in own]
        )
        tick()
    return crops


def _distance(mark: Mark, cell: Cell, um_per_px: float) -> float | None:
    if mark.point is not None:
        distance_px = math.hypot(cell.x - mark.point[0], cell.y - mark.point[1])
        return distance_px if distance_px * um_per_px < SAME_CELL_UM else None
    assert mark.box is not None  # a mark has a point or a box
    return centre_distance(mark.box, cell)


def _cells(
    field: FieldRecord,
    place: ScenePlace,
    segmentation: Segmentation,
    marks: Mapping[int, Mark],
    seen: dict[str, list[tuple[float, float]]],
) -> list[CellRecord]:
    reach_px = SAME_CELL_UM / segmentation.scale.um_per_px
    earlier = list(seen[place.scene])
    found = []
    for cell in segmentation.cells:
        x, y = cell.x + place.dx, cell.y + place.dy
        again = any(math.hypot(x - a, y - b) < reach_px for a, b in earlier)
        if not again and cell.kind == "wbc" and not cell.touches_border:
            seen[place.scene].append((x, y))
        mark = marks.get(cell.id)
        found.append(
            CellRecord(
                field.key,
                cell,
                field.lab,
                field.camera,
                field.session,
                field.group,
                field.weak_label,
                None if mark is None else mark.label,
                None if mark is None else mark.cell_type,
                "unmarked" if mark is None else mark.origin,
                again,
            )
        )
    return found


def _record(
    field: SourceField,
    sha256: str,
    group: str,
    place: ScenePlace,
    copy_of: Mapping[str, str],
    segmentation: Segmentation,
    unmatched: Sequence[Mark],
) -> FieldRecord:
    blasts = sum(mark.origin == "xyc" for mark in field.marks)
    return FieldRecord(
        field.lab,
        field.name,
        field.path,
        field.camera,
        f"{field.lab}/{field.session}",
        field.weak_label,
        sha256,
        group,
        place.dx,
        place.dy,
        copy_of.get(field.key),
        segmentation.width,
        segmentation.height,
        segmentation.scale,
        sum(mark.label is not None for mark in unmatched),
        blasts,
        sum(mark.origin == "xyc" for mark in unmatched),
    )


def _keyed(shift: Shift, lab: str) -> Shift:
    return Shift(f"{lab}/{shift.first}", f"{lab}/{shift.second}", shift.dx, shift.dy, shift.correlation)


def _groups(
    fields: Sequence[SourceField], shifts: Iterable[Shift], duplicates: Iterable[Duplicate]
) -> dict[str, str]:
    """Name each field's group after its first field: what overlaps, looks alike or is of one block.

    The sessions of ALL-IDB are not joined here: they are folds of their own (``session``).
    """
    parent = {field.key: field.key for field in fields}

    def root(key: str) -> str:
        while parent[key] != key:
            key = parent[key]
        return key

    ties = [(shift.first, shift.second) for shift in shifts]
    ties += [(pair.first, pair.second) for pair in duplicates]
    by_session: dict[str, str] = {}
    for field in fields:
        if field.lab != allidb_marks.LAB:
            ties.append((by_session.setdefault(field.session, field.key), field.key))
    for first, second in ties:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {field.key: root(field.key) for field in fields}


def _fingerprints(
    fields: Sequence[SourceField], hashes: Mapping[str, str], cache: Cache
) -> dict[str, Fingerprint]:
    rows = cache.json(
        "fingerprints",
        "\n".join(["1", *(f"{field.key} {hashes[field.key]}" for field in fields)]),
        lambda: {
            field.key: [(found := fingerprint(read_image(field.path).image)).sha256, found.phash,
                        found.thumbnail.ravel().tolist()]
            for field in fields
        },
    )  # fmt: skip
    return {
        key: Fingerprint(sha256, phash, np.array(thumbnail, np.uint8).reshape(64, 64))
        for key, (sha256, phash, thumbnail) in rows.items()
    }
