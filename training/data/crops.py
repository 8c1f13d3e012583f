"""From an ALL-IDB folder to labelled crops, each cut by ``edge.classification.crop`` as the device does.

Scale and blank background of a crop come from the field that it lies in, found there by the
product's own segmentation; an ALL-IDB2 crop is therefore cut anew out of its ALL-IDB1 field.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.camera.files import read_image
from edge.classification.crop import to_input
from edge.device.hashing import pixels_sha256
from edge.errors import DataSetError
from edge.light.field import Field as LitField
from edge.segmentation import segment
from edge.structures import Background, Cell, Frame, InputSpec, Scale, UInt8Image
from training.data.allidb import AllIdb, CropFile, Field, Point, camera_model
from training.data.locate import Candidate, Place, best_place, find_candidates, reduce, refine
from training.data.scenes import ScenePlace, Shift, coarse_overlaps, join, verify

#: Two places nearer than this are one cell: half the diameter of the smallest white cells (8 µm), so that
#: two cells that touch stay two.
SAME_CELL_UM = 4.0
#: Official ALL-IDB2 crops are squares of 257 px, less what the field's edge cut off.
IDB2_SIDE_PX = 257

Origin = Literal["xyc", "other_xyc", "segmentation", "idb2", "idb2_unlocated"]


@dataclass(frozen=True, slots=True)
class SurveyedField:
    """What the product's segmentation says of a field, without its pixels.

    Attributes
    ----------
    field : names, points and label
    camera : EXIF camera model
    scale, background, cells : of the segmentation
    width, height : px
    place : where the field lies among those that overlap it
    """

    field: Field
    camera: str | None
    scale: Scale
    background: Background
    cells: tuple[Cell, ...]
    width: int
    height: int
    place: ScenePlace


@dataclass(frozen=True, slots=True)
class Survey:
    """All fields of a data set, and the overlaps found among them."""

    fields: Mapping[str, SurveyedField]
    reduced: Mapping[str, NDArray[np.float32]]
    shifts: tuple[Shift, ...]


@dataclass(frozen=True, slots=True)
class LabelledCrop:
    """A cell as the network sees it, with where it comes from.

    Attributes
    ----------
    pixels : (s, s, 3) uint8 RGB, from ``to_input``
    label : 1 blast, 0 normal
    origin : which list named the cell; ``idb2`` for an ALL-IDB2 crop found in its field,
        ``idb2_unlocated`` for one whose field is not there
    source : image file of the data set that names the cell, from the data folder
    field : name of the field it was cut from; None where that is not there
    field_label : 1 where that field is a patient's, 0 a healthy person's; None without field
    x, y : centre in px of that field (of the crop's own image where there is no field)
    um_per_px : scale used
    scene, scene_x, scene_y : the same place in the scene of overlapping fields; equal for one cell
        photographed twice
    camera : EXIF camera model
    difference : mean absolute difference between an ALL-IDB2 crop and its field, in grey levels; else None
    """

    pixels: UInt8Image
    label: int
    origin: Origin
    source: str
    field: str | None
    field_label: int | None
    x: float
    y: float
    um_per_px: float
    scene: str
    scene_x: float
    scene_y: float
    camera: str | None
    difference: float | None = None

    @property
    def sha256(self) -> str:
        """Hash of the crop's bytes in row order."""
        return pixels_sha256(self.pixels)

    def shows_same_cell(self, other: LabelledCrop) -> bool:
        """Whether both crops show one cell, be it from two fields that overlap or two marks."""
        distance_px = np.hypot(self.scene_x - other.scene_x, self.scene_y - other.scene_y)
        return self.scene == other.scene and bool(distance_px * self.um_per_px < SAME_CELL_UM)


@dataclass(frozen=True, slots=True)
class CropSet:
    """Every crop that the data set offers.

    Attributes
    ----------
    idb1 : whole white cells of the fields, by field and then place
    idb2 : all ALL-IDB2 crops, by file name
    dropped : how many ALL-IDB1 points were left out, by list and reason
    """

    idb1: tuple[LabelledCrop, ...]
    idb2: tuple[LabelledCrop, ...]
    dropped: Mapping[str, int]


def survey(data: AllIdb, tick: Callable[[], None] = lambda: None) -> Survey:
    """Segment every field and find the fields that overlap.

    Parameters
    ----------
    data : which fields there are
    tick : called after each field

    Returns
    -------
    Survey

    Raises
    ------
    ImageError
        A field cannot be read.
    """
    seen, reduced = {}, {}
    for field in data.fields:
        frame = read_image(field.path)
        seen[field.name] = field, segment(LitField(frame))
        reduced[field.name] = reduce(frame.image)
        tick()
    paths = {field.name: field.path for field in data.fields}
    shifts = [
        shift
        for pair in coarse_overlaps(reduced)
        if (shift := verify(pair, read_image(paths[pair.first]).image, read_image(paths[pair.second]).image))
    ]
    places = join(seen, shifts)
    fields = {
        name: SurveyedField(
            field,
            camera_model(field.path),
            found.scale,
            found.background,
            found.cells,
            found.width,
            found.height,
            places[name],
        )
        for name, (field, found) in seen.items()
    }
    return Survey(fields, reduced, tuple(shifts))


def whole_cells(surveyed: SurveyedField) -> tuple[list[tuple[Point, int, Origin]], Counter[str]]:
    """Choose the points of a field that stand for a whole white cell.

    A point is kept where the segmentation finds a white cell within ``SAME_CELL_UM`` of it that does
    not touch the border. This leaves out the platelets of ``other_xyc``, blasts cut by the edge, which
    that list calls non-blasts, and cells that the device would not show to the network either. The
    same rule holds for both classes. Of several points for one cell the first is kept, blasts first.
    Where there is no ``other_xyc``, every white cell of a healthy person's field is a normal one.

    Parameters
    ----------
    surveyed : the field

    Returns
    -------
    kept : (point, label, origin) of each cell
    dropped : how many points were left out, by ``"list: reason"``

    Raises
    ------
    DataSetError
        A point lies outside its field.
    """
    field = surveyed.field
    marked: list[tuple[Point, int, Origin]] = [(point, 1, "xyc") for point in field.blasts]
    if field.others is not None:
        marked += [(point, 0, "other_xyc") for point in field.others]
    elif field.label == 0:
        marked += [(Point(cell.x, cell.y), 0, "segmentation") for cell in surveyed.cells]
    kept, dropped, taken = [], Counter[str](), set()
    for point, label, origin in marked:
        if point.x >= surveyed.width or point.y >= surveyed.height:
            raise DataSetError(
                f"{field.name}: {origin} marks ({point.x:g}, {point.y:g}), outside of the "
                f"{surveyed.width}x{surveyed.height} px image; the file belongs to another image"
            )
        cell = _nearest(surveyed, point)
        if cell is None or cell.kind != "wbc":
            dropped[f"{origin}: no white cell found there"] += 1
        elif cell.touches_border:
            dropped[f"{origin}: cell touches the border"] += 1
        elif cell.id in taken:
            dropped[f"{origin}: cell already marked"] += 1
        else:
            taken.add(cell.id)
            kept.append((point, label, origin))
    return kept, dropped


def cut(data: AllIdb, surveyed: Survey, spec: InputSpec, tick: Callable[[], None] = lambda: None) -> CropSet:
    """Cut every crop that the data set offers.

    Parameters
    ----------
    data : fields and crops
    surveyed : from :func:`survey`
    spec : what a crop is made of
    tick : called after each field

    Returns
    -------
    CropSet

    Raises
    ------
    ImageError
        An image cannot be read.
    DataSetError
        A point lies outside its field.
    """
    idb2_images = {crop.name: read_image(crop.path).image for crop in data.crops}
    wanted: dict[str, list[tuple[str, Candidate]]] = defaultdict(list)
    for name, image in idb2_images.items():
        for candidate in find_candidates(image, surveyed.reduced):
            wanted[candidate.field].append((name, candidate))
    places: dict[str, list[tuple[Place, LabelledCrop]]] = defaultdict(list)
    by_name = {crop.name: crop for crop in data.crops}
    idb1, dropped = [], Counter[str]()
    for name, field in surveyed.fields.items():
        image = read_image(field.field.path).image
        for crop_name, candidate in wanted[name]:
            place = refine(idb2_images[crop_name], image, candidate)
            x, y = _centre(place, idb2_images[crop_name], field)
            crop = by_name[crop_name]
            cropped = _cut_one(
                image, x, y, spec, field, crop.label, "idb2", data.relative(crop.path), place.difference
            )
            places[crop_name].append((place, cropped))
        kept, left_out = whole_cells(field)
        dropped.update(left_out)
        source = data.relative(field.field.path)
        idb1 += [_cut_one(image, p.x, p.y, spec, field, label, origin, source) for p, label, origin in kept]
        tick()
    idb2 = []
    for crop in data.crops:
        best = best_place(place for place, _ in places[crop.name])
        if best is None:
            idb2.append(_cut_alone(data, surveyed, crop, idb2_images[crop.name], spec))
        else:
            idb2.append(next(cropped for place, cropped in places[crop.name] if place == best))
    return CropSet(tuple(idb1), tuple(idb2), dict(sorted(dropped.items())))


def same_cells(crops: Iterable[LabelledCrop], among: Iterable[LabelledCrop]) -> Iterator[LabelledCrop]:
    """Find the crops whose cell is also shown by another set of crops.

    Parameters
    ----------
    crops : for example the test side of a split
    among : for example its training side

    Yields
    ------
    those of ``crops`` that show a cell of ``among``, or are equal to one of its crops byte by byte
    """
    by_scene = defaultdict(list)
    hashes = set()
    for crop in among:
        by_scene[crop.scene].append(crop)
        hashes.add(crop.sha256)
    for crop in crops:
        if crop.sha256 in hashes or any(crop.shows_same_cell(other) for other in by_scene[crop.scene]):
            yield crop


def _nearest(surveyed: SurveyedField, point: Point) -> Cell | None:
    reach_px = SAME_CELL_UM / surveyed.scale.um_per_px
    near = [(np.hypot(cell.x - point.x, cell.y - point.y), cell.id, cell) for cell in surveyed.cells]
    return min((entry for entry in near if entry[0] < reach_px), default=(0.0, 0, None))[2]


def _centre(place: Place, image: UInt8Image, field: SurveyedField) -> tuple[float, float]:
    """Find the middle of the whole 257 px square, part of which the field's edge may have cut off."""
    height, width = image.shape[:2]
    middle = (IDB2_SIDE_PX - 1) / 2
    x = place.left + (width - 1) / 2
    y = place.top + (height - 1) / 2
    if width < IDB2_SIDE_PX and place.left == 0:
        x = width - 1 - middle
    elif width < IDB2_SIDE_PX and place.left + width == field.width:
        x = place.left + middle
    if height < IDB2_SIDE_PX and place.top == 0:
        y = height - 1 - middle
    elif height < IDB2_SIDE_PX and place.top + height == field.height:
        y = place.top + middle
    return x, y


def _cut_one(
    image: UInt8Image,
    x: float,
    y: float,
    spec: InputSpec,
    field: SurveyedField,
    label: int,
    origin: Origin,
    source: str,
    difference: float | None = None,
) -> LabelledCrop:
    um_per_px = field.scale.um_per_px
    pixels = to_input(image, x, y, spec, um_per_px=um_per_px, background=field.background)
    place = field.place
    return LabelledCrop(
        pixels,
        label,
        origin,
        source,
        field.field.name,
        field.field.label,
        x,
        y,
        um_per_px,
        place.scene,
        x + place.dx,
        y + place.dy,
        field.camera,
        difference,
    )


def _cut_alone(
    data: AllIdb, surveyed: Survey, crop: CropFile, image: UInt8Image, spec: InputSpec
) -> LabelledCrop:
    """Cut an ALL-IDB2 crop whose field is not there out of its own image.

    A crop of 257 px holds too few red cells to measure a scale, so the median of the fields with the
    same label is assumed: in ALL-IDB the magnifications differ by 1.3 between most fields. The blank
    background is the crop's own. Beyond the crop's edge its border pixels are repeated.
    """
    alike = [field for field in surveyed.fields.values() if field.field.label == crop.label]
    um_per_px = median(field.scale.um_per_px for field in alike or surveyed.fields.values())
    own = segment(LitField(Frame(image, str(crop.path), um_per_px=um_per_px)))
    x, y = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    pixels = to_input(image, x, y, spec, um_per_px=um_per_px, background=own.background)
    source = data.relative(crop.path)
    return LabelledCrop(
        pixels,
        crop.label,
        "idb2_unlocated",
        source,
        None,
        None,
        x,
        y,
        um_per_px,
        source,
        x,
        y,
        camera_model(crop.path),
    )
