"""All laboratories of a data folder as fields and cells, with what must stay together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.camera.files import read_image
from edge.camera.folders import find
from edge.classification.crop import Cutter
from edge.classification.stains import red_cell_colour
from edge.commands.progress import Progress
from edge.counting.folder import FolderScales
from edge.device.hashing import file_sha256
from edge.light.field import Field
from edge.segmentation import Segmentation
from edge.structures import Cell, Frame, InputSpec, PooledScale, UInt8Image
from training.data import allidb, sources
from training.data.cache import Cache, source_hash
from training.data.duplicates import Duplicate, find_duplicates, fingerprint
from training.data.overlaps import Place, Shift, connected, join, locate, overlaps
from training.data.records import CellRecord, FieldRecord, Mark, SourceField
from training.evaluation.metrics import centre_distance
from training.evaluation.truth import Point

#: Two places nearer than this are one cell: half the diameter of the smallest white cells (8 µm), so that
#: two cells that touch stay two, and more than a person's click or a crop's rounding is off.
SAME_CELL_UM = 4.0


@dataclass(frozen=True, slots=True)
class Crop:
    """An ALL-IDB2 crop, found in its field.

    Attributes
    ----------
    name, label : of its file
    place : where it was cut
    record : the cell in its middle: the segmentation's own where that is a whole white cell, else (a
        platelet, a cell that the edge cuts) one of the crop's size, with 0 for its number
    marked : list of ALL-IDB1 that marks the same cell, else None
    """

    name: str
    label: int
    place: Place
    record: CellRecord
    marked: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A laboratory's fields and what ties them together, before any segmentation.

    Attributes
    ----------
    fields : in the order of their names
    sha256 : of each image file, by key
    pooled : scale that each has in common with the pictures beside it, by key
    shifts, duplicates : what overlaps and what shows the same, by key
    crops : where each ALL-IDB2 crop lies, by its name; empty for other laboratories
    """

    fields: tuple[SourceField, ...]
    sha256: Mapping[str, str]
    pooled: Mapping[str, PooledScale | None]
    shifts: tuple[Shift, ...]
    duplicates: tuple[Duplicate, ...]
    crops: Mapping[str, Place | None]


@dataclass(frozen=True, slots=True)
class Collection:
    """Fields and cells of all laboratories that a data folder holds.

    Attributes
    ----------
    root : the data folder
    fields : by key, in the order of laboratories and names; fields that are exact duplicates of an
        earlier one are there, without cells
    cells : in the order of their fields
    crops : of ALL-IDB2 those whose field is there, by name
    unlocated_crops : names of the others
    shifts, duplicates : what ties fields of one laboratory together
    cache : where the segmentations are
    """

    root: Path
    fields: Mapping[str, FieldRecord]
    cells: tuple[CellRecord, ...]
    crops: tuple[Crop, ...]
    unlocated_crops: tuple[str, ...]
    shifts: tuple[Shift, ...]
    duplicates: tuple[Duplicate, ...]
    cache: Cache

    def segmentation(self, field: str) -> Segmentation:
        """Return what the product's segmentation found in a field, label images included."""
        record = self.fields[field]
        return self.cache.segmentation(record.path, record.sha256, record.known_um_per_px, record.pooled)

    def image(self, field: str) -> UInt8Image:
        """Pixels of a field, (H, W, 3) uint8 RGB."""
        return read_image(self.fields[field].path).image

    def source(self, field: str) -> str:
        """Name a field's file as a reader of the data set does: from the data folder, with ``/``.

        Of corrections that lie elsewhere, from beside their folder.
        """
        path = self.fields[field].path
        root = self.root if path.is_relative_to(self.root) else path.parents[2]
        return path.relative_to(root).as_posix()


def collect(
    root: Path,
    cache: Cache,
    labs: Sequence[str] | None = None,
    also: Sequence[Path] = (),
) -> Collection:
    """Read, segment and match all fields; minutes the first time, seconds after that.

    Parameters
    ----------
    root : the data folder
    cache : keeps segmentations and overlaps
    labs : which laboratories; None takes all that are there
    also : further folders of the laboratory ``own``

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
    records: dict[str, FieldRecord] = {}
    cells: list[CellRecord] = []
    crops: list[Crop] = []
    named = sources.present(root) if labs is None else labs
    listings = [_list_lab(root, lab, cache, also) for lab in named]
    progress = Progress("Segmenting")
    with progress.over(sum(len(listing.fields) for listing in listings)):
        for listing in listings:
            groups = _groups(listing)
            places = join((field.key for field in listing.fields), listing.shifts)
            copy_of = {pair.second: pair.first for pair in listing.duplicates if pair.exact}
            seen: dict[str, dict[str, Point]] = defaultdict(dict)
            for field in listing.fields:
                sha256 = listing.sha256[field.key]
                pooled = listing.pooled.get(field.key)
                segmentation = cache.segmentation(field.path, sha256, field.known_um_per_px, pooled)
                cell_of = match_marks(segmentation, field.marks)
                unmatched = [mark for mark, cell in zip(field.marks, cell_of, strict=True) if cell is None]
                record = records[field.key] = FieldRecord(
                    **{entry.name: getattr(field, entry.name) for entry in fields(SourceField)},
                    sha256=sha256,
                    group=groups[field.key],
                    place=places[field.key],
                    duplicate_of=copy_of.get(field.key),
                    pooled=pooled,
                    um_per_px=segmentation.scale.um_per_px,
                    unmatched_marks=sum(mark.label is not None for mark in unmatched),
                    blasts=sum(mark.origin == "xyc" for mark in field.marks),
                    unmatched_blasts=sum(mark.origin == "xyc" for mark in unmatched),
                )
                if record.duplicate_of is None:
                    scene = seen[record.place.scene]
                    found = _cells(record, segmentation, cell_of, scene)
                    cells += found
                    crops += _crops(record, found, cell_of, listing.crops, scene)
                progress.step()
    return Collection(
        root,
        records,
        tuple(cells),
        tuple(sorted(crops, key=lambda crop: crop.name)),
        tuple(name for listing in listings for name, place in listing.crops.items() if place is None),
        tuple(shift for listing in listings for shift in listing.shifts),
        tuple(pair for listing in listings for pair in listing.duplicates),
        cache,
    )


def match_marks(segmentation: Segmentation, marks: Iterable[Mark]) -> list[int | None]:
    """Give each mark the segmented cell that it stands for.

    A point belongs to the nearest cell whose centroid is within ``SAME_CELL_UM``, a box to the cell nearest
    to its centre whose centroid lies in it.

    Returns
    -------
    id of each mark's cell, None where no cell was found
    """
    found = []
    for mark in marks:
        near = (
            (distance, cell.id)
            for cell in segmentation.cells
            if (distance := _distance(mark, cell, segmentation.scale.um_per_px)) is not None
        )
        found.append(min(near, default=(0.0, None))[1])
    return found


def agreed(marks: Sequence[Mark], cell_of: Sequence[int | None]) -> dict[int, Mark]:
    """Give each cell its mark: the earliest (points before crops), unlabelled where others contradict it."""
    found: dict[int, Mark] = {}
    for mark, cell in zip(marks, cell_of, strict=True):
        if cell is not None and found.setdefault(cell, mark).label != mark.label:
            found[cell] = replace(found[cell], label=None)
    return found


def cut(collection: Collection, cells: Sequence[CellRecord], spec: InputSpec) -> NDArray[np.uint8]:
    """Cut cells out of their fields as the device's pipeline does; every field is read and halved once.

    Parameters
    ----------
    collection : where they are from
    cells : any of its cells, in any order
    spec : what a crop is made of

    Returns
    -------
    (n, size_px, size_px, 3) uint8 RGB
    """
    # A run of the protocol cuts the same cells for each of its trainings, which took longer than to train.
    known = collection.cache.crops.setdefault(spec, {})
    keys = [(collection.fields[cell.field].sha256, cell.cell) for cell in cells]
    by_field: dict[str, list[int]] = defaultdict(list)
    for index, (cell, key) in enumerate(zip(cells, keys, strict=True)):
        if key not in known:
            by_field[cell.field].append(index)
    for field, members in by_field.items():
        segmentation = collection.segmentation(field)
        whole = Field(Frame(collection.image(field), field), segmentation.background)
        red_cells = red_cell_colour(whole, segmentation.cells) if spec.shows_red_cells else None
        cutter = Cutter(whole, spec, um_per_px=segmentation.scale.um_per_px, red_cells=red_cells)
        own = [cells[index].cell for index in members]
        outlines = [segmentation.outline(cell) for cell in own] if spec.needs_outline else None
        crops = cutter.cut([(cell.x, cell.y) for cell in own], outlines)
        known.update({keys[index]: crop for index, crop in zip(members, crops, strict=True)})
    return (
        np.stack([known[key] for key in keys])
        if keys
        else np.zeros((0, spec.size_px, spec.size_px, 3), np.uint8)
    )


def red_cells_of(collection: Collection, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
    """Give the colour of the red cells of each cell's field, (n, 3) float32; NaN where it shows none."""

    def colour(field: str) -> NDArray[np.float32]:
        segmentation = collection.segmentation(field)
        whole = Field(Frame(collection.image(field), field), segmentation.background)
        found = red_cell_colour(whole, segmentation.cells)
        return np.full(3, np.nan, np.float32) if found is None else found

    by_field = {}
    for name in dict.fromkeys(cell.field for cell in cells):
        field = collection.fields[name]
        key = f"{field.sha256} {field.known_um_per_px} {field.pooled}"
        by_field[name] = collection.cache.kept("red_cells", key, partial(colour, name), source_hash("edge"))
    return np.stack([by_field[cell.field] for cell in cells]) if cells else np.zeros((0, 3), np.float32)


def _list_lab(root: Path, lab: str, cache: Cache, also: Sequence[Path]) -> Listing:
    """List a laboratory's fields, find what overlaps and what shows the same."""
    shifts: list[Shift] = []
    places: dict[str, Place | None] = {}
    if lab == allidb.LAB:
        data = allidb.load(root)
        paths = {field.name: field.path for field in data.fields}
        crops = {crop.name: crop.path for crop in data.crops}
        places = cache.kept("places", _files(paths, crops), lambda: locate(crops, paths))
        found = allidb.source_fields(data, places)
        by_key = {field.key: field.path for field in found}
        shifts = cache.kept("overlaps", _files(by_key), lambda: overlaps(by_key))
    else:
        found = sources.read(root, lab, also)
        by_key = {field.key: field.path for field in found}
    prints = cache.kept(
        "fingerprints",
        _files(by_key),
        lambda: {key: fingerprint(read_image(path).image) for key, path in by_key.items()},
    )
    hashes = {key: file_sha256(path) for key, path in by_key.items()}
    pooled = pooled_scales([field for field in found if field.known_um_per_px is None], cache)
    return Listing(tuple(found), hashes, pooled, tuple(shifts), tuple(find_duplicates(prints)), places)


def pooled_scales(wanted: Sequence[SourceField], cache: Cache) -> dict[str, PooledScale | None]:
    """Give fields the scale that ``blastcount count FOLDER`` gives them: pooled over the folder they lie in.

    Parameters
    ----------
    wanted : fields of unknown scale
    cache : keeps the scales of a folder as long as no picture in it changes

    Returns
    -------
    dict of str to PooledScale or None
        By key.

    Notes
    -----
    No label is looked at, but a folder of one class has a scale of its own, as it has for ``count``.
    """
    by_folder: dict[Path, list[SourceField]] = defaultdict(list)
    for field in wanted:
        by_folder[field.path.parent].append(field)
    found: dict[str, PooledScale | None] = {}
    for folder, members in by_folder.items():
        files = find(folder, recursive=False).files
        found |= cache.kept(
            "scales",
            _files({path.name: path for path in files}, {field.key: field.path for field in members}),
            partial(_scales_of_folder, files, members),
            source_hash("edge"),
        )
    return found


def _scales_of_folder(files: Sequence[Path], members: Sequence[SourceField]) -> dict[str, PooledScale | None]:
    scales = FolderScales(files, lambda frame: frame)  # the data sets come without a calibration
    found = {}
    for field in members:
        scales.look(field.path)
        found[field.key] = scales.pooled(field.path, read_image(field.path))
    return found


def _files(*named: Mapping[str, Path]) -> str:
    return "\n".join(f"{name} {file_sha256(path)}" for paths in named for name, path in paths.items())


def _distance(mark: Mark, cell: Cell, um_per_px: float) -> float | None:
    if mark.point is not None:
        distance_px = math.hypot(cell.x - mark.point[0], cell.y - mark.point[1])
        return distance_px if distance_px * um_per_px < SAME_CELL_UM else None
    assert mark.box is not None  # a mark has a point or a box
    return centre_distance(mark.box, cell)


def _cells(
    field: FieldRecord,
    segmentation: Segmentation,
    cell_of: Sequence[int | None],
    scene: dict[str, Point],
) -> list[CellRecord]:
    """Put what is known of a field's cells together; ``scene`` has whole cells of earlier fields there."""
    marks, earlier = agreed(field.marks, cell_of), dict(scene)
    found = []
    for cell in segmentation.cells:
        here = field.in_scene(cell.x, cell.y)
        record = _record(field, cell, marks.get(cell.id), same_cell(here, earlier, field.um_per_px))
        if record.usable:
            scene[record.key] = here
        found.append(record)
    return found


def _record(field: FieldRecord, cell: Cell, mark: Mark | None, same_as: str | None) -> CellRecord:
    return CellRecord(
        field.key,
        cell,
        field.lab,
        field.camera,
        f"{field.lab}/{field.session}",
        field.group,
        field.weak_label,
        None if mark is None else mark.label,
        None if mark is None else mark.cell_type,
        "unmarked" if mark is None else mark.origin,
        same_as,
    )


def _crops(
    field: FieldRecord,
    cells: Sequence[CellRecord],
    cell_of: Sequence[int | None],
    places: Mapping[str, Place | None],
    scene: dict[str, Point],
) -> list[Crop]:
    """Give each ALL-IDB2 crop of a field the cell in its middle."""
    by_id = {record.cell.id: record for record in cells}
    points = [mark for mark in field.marks if mark.origin in ("xyc", "other_xyc")]
    found = []
    for mark, cell_id in zip(field.marks, cell_of, strict=True):
        if mark.name is None or mark.point is None:
            continue
        record = None if cell_id is None else by_id[cell_id]
        if record is None or not record.whole:
            record = _unsegmented(field, mark, mark.point, scene)
        place = places[mark.name]
        assert place is not None  # a crop that was not found is no mark
        assert mark.label is not None  # every crop has one
        marked = min(
            (
                (distance, point.origin)
                for point in points
                if point.point
                and (distance := math.dist(point.point, mark.point)) * field.um_per_px < SAME_CELL_UM
            ),
            default=(0.0, None),
        )[1]
        record = replace(record, label=mark.label, origin="idb2")
        found.append(Crop(mark.name, mark.label, place, record, marked))
    return found


def _unsegmented(field: FieldRecord, mark: Mark, point: Point, scene: dict[str, Point]) -> CellRecord:
    """Stand in for what a crop shows where the segmentation has no whole white cell."""
    side = allidb.CROP_SIDE_PX
    box = (int(point[0]) - side // 2, int(point[1]) - side // 2, side, side)
    cell = Cell(0, *point, box, side * side, 0, "wbc", touches_border=False)
    here = field.in_scene(*point)
    earlier = same_cell(here, scene, field.um_per_px)
    if earlier is None:
        earlier = f"{field.key}#{mark.name}"
        scene[earlier] = here
    return _record(field, cell, mark, earlier)


def same_cell(here: Point, others: Mapping[str, Point], um_per_px: float) -> str | None:
    """Name the nearest of other places of a scene that is the same cell's, None where none is.

    Parameters
    ----------
    here : (x, y) in the scene, px
    others : likewise, by name
    um_per_px : scale
    """
    name = min(others, key=lambda name: math.dist(here, others[name]), default=None)
    return name if name is not None and math.dist(here, others[name]) * um_per_px < SAME_CELL_UM else None


def _groups(listing: Listing) -> dict[str, str]:
    """Name each field's group after its first field: what overlaps, looks alike or is of one block.

    The sessions of ALL-IDB are not joined here: they are folds of their own (``session``).
    """
    ties = [(shift.first, shift.second) for shift in listing.shifts]
    ties += [(pair.first, pair.second) for pair in listing.duplicates]
    by_session: dict[str, str] = {}
    for field in listing.fields:
        if field.lab != allidb.LAB:
            ties.append((by_session.setdefault(field.session, field.key), field.key))
    return connected((field.key for field in listing.fields), ties)
