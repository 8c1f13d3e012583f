"""ALL-IDB in its official layout, read-only: fields with marks, where ALL-IDB2 crops are marks, too.

The layout (Labati, Piuri, Scotti 2011 [1]_)::

    ALL_IDB1/im/Im001_1.jpg          fields; _1 from a patient with ALL, _0 from a healthy person
    ALL_IDB1/xyc/Im001_1.xyc         centroids of the blasts, one "x y" a line
    ALL_IDB1/other_xyc/Im001_1.xyc   optional: centroids of what else is stained (white cells, platelets)
    ALL_IDB2/img/Im001_1.tif         crops of single cells; _1 blast, _0 normal

Folder names are matched without regard to case, ``-`` or ``_``. Nothing but names, points and EXIF is
read here; pixels are read where they are needed.

References
----------
.. [1] R. Donida Labati, V. Piuri, F. Scotti, "ALL-IDB: the acute lymphoblastic leukemia image
   database for image processing", IEEE ICIP 2011.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from edge.errors import DataSetError
from training.data.overlaps import Place
from training.data.records import Mark, SourceField
from training.evaluation.truth import Point, read_points

LAB = "all-idb"

#: What the labels mean, by their number: class 1 is the blast, as in the files' names.
LABELS = ("normal", "blast")

_FIELD_NAME = re.compile(r"im\d+_([01])\.jpe?g", re.IGNORECASE)
_CROP_NAME = re.compile(r"im\d+_([01])\.tiff?", re.IGNORECASE)
#: A longer pause than this between two fields of one camera begins a new session: another slide, often
#: another patient. Within the sessions of ALL-IDB1 fields follow each other in up to 2.5 minutes.
SESSION_GAP = timedelta(minutes=4)
#: Official ALL-IDB2 crops are squares of 257 px, less what the field's edge cut off.
CROP_SIDE_PX = 257
_EXIF_MODEL, _EXIF_TIME, _EXIF_IFD, _EXIF_TIME_ORIGINAL = 0x0110, 0x0132, 0x8769, 0x9003


@dataclass(frozen=True, slots=True)
class Field:
    """One ALL-IDB1 field and what is marked in it.

    Attributes
    ----------
    name : file name without its ending, ``Im001_1``
    path : the image file
    label : 1 from a patient with ALL, 0 from a healthy person
    blasts : centroids of blasts (``xyc``)
    others : centroids of what else is stained, platelets among it (``other_xyc``); None where the
        data set has no such folder
    """

    name: str
    path: Path
    label: int
    blasts: tuple[Point, ...]
    others: tuple[Point, ...] | None


@dataclass(frozen=True, slots=True)
class CropFile:
    """One ALL-IDB2 crop: a single cell; label 1 blast, 0 normal."""

    name: str
    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class AllIdb:
    """All that a data folder holds of ALL-IDB, in the order of the files' names.

    Attributes
    ----------
    root : the data folder
    fields : ALL-IDB1
    crops : ALL-IDB2
    """

    root: Path
    fields: tuple[Field, ...]
    crops: tuple[CropFile, ...]


def load(root: Path) -> AllIdb:
    """List the fields, points and crops under a data folder.

    Parameters
    ----------
    root : folder that holds ``ALL_IDB1`` and ``ALL_IDB2``

    Returns
    -------
    AllIdb

    Raises
    ------
    DataSetError
        A folder or file of the layout is missing or twice there, or a point file cannot be understood.
    """
    if not root.is_dir():
        raise DataSetError(
            f"{root}: no such folder; --data names the folder that holds ALL_IDB1 and ALL_IDB2"
        )
    idb1 = _subfolder(root, "ALL_IDB1")
    images = _subfolder(idb1, "im")
    blast_points = _subfolder(idb1, "xyc")
    other_points = _find_subfolder(idb1, "other_xyc")
    idb2 = _subfolder(_subfolder(root, "ALL_IDB2"), "img")

    fields = []
    for path, label in _matching(images, _FIELD_NAME, "Im*_[01].jpg"):
        name = path.stem
        blasts = _points_of(name, blast_points, required=label == 1)
        if label == 0 and blasts:
            raise DataSetError(
                f"{blast_points / name}.xyc marks {len(blasts)} blasts in a field of a healthy person (_0); "
                "expected none; compare the file with the official one"
            )
        others = None if other_points is None else _points_of(name, other_points, required=False)
        fields.append(Field(name, path, label, blasts, others))
    crops = tuple(
        CropFile(path.stem, path, label) for path, label in _matching(idb2, _CROP_NAME, "Im*_[01].tif")
    )
    return AllIdb(root, tuple(fields), crops)


def source_fields(data: AllIdb, places: Mapping[str, Place | None]) -> list[SourceField]:
    """Put points and located crops together.

    A point of ``other_xyc`` in a patient's field is a normal cell by the word of that list's authors; blasts
    are among them, and so reports show these cells apart (origin ``other_xyc``, ``weak_label`` 1).

    Parameters
    ----------
    data : the data set
    places : where each ALL-IDB2 crop lies, by crop name; None where its field is not there
    """
    taken = {field.name: read_exif(field.path) for field in data.fields}
    sizes = {field.name: image_size(field.path) for field in data.fields}
    by_session = sessions(taken)
    crops: dict[str, list[Mark]] = defaultdict(list)
    for crop in data.crops:
        if (place := places[crop.name]) is not None:
            centre = crop_centre(place, image_size(crop.path), sizes[place.field])
            crops[place.field].append(Mark("idb2", crop.label, point=centre, name=crop.name))
    found = []
    for field in data.fields:
        marks = [Mark("xyc", 1, point=point) for point in field.blasts]
        marks += [Mark("other_xyc", 0, point=point) for point in field.others or ()]
        for mark in marks:
            _check_inside(field.name, mark, sizes[field.name])
        found.append(
            SourceField(
                LAB,
                field.name,
                field.path,
                taken[field.name][0] or "unknown",
                by_session[field.name],
                field.label,
                (*marks, *crops[field.name]),
            )
        )
    return found


def crop_centre(place: Place, size: tuple[int, int], field_size: tuple[int, int]) -> Point:
    """Find the middle of the whole square of a crop, part of which the field's edge may have cut off.

    Parameters
    ----------
    place : of the crop in its field
    size, field_size : width and height of both, px
    """

    def middle(start: int, length: int, whole: int) -> float:
        if length < CROP_SIDE_PX and start == 0:
            return length - (CROP_SIDE_PX + 1) / 2
        if length < CROP_SIDE_PX and start + length == whole:
            return start + (CROP_SIDE_PX - 1) / 2
        return start + (length - 1) / 2

    return middle(place.left, size[0], field_size[0]), middle(place.top, size[1], field_size[1])


def sessions(taken: Mapping[str, tuple[str | None, datetime | None]]) -> dict[str, str]:
    """Cut the fields of each camera into sessions where it paused longer than ``SESSION_GAP``.

    Parameters
    ----------
    taken : (camera, time) by field name

    Returns
    -------
    dict of str to str
        Camera and time of the session's first field; a field without a time is a session of its own.

    Examples
    --------
    >>> noon = datetime(2005, 9, 6, 12)
    >>> found = sessions({"a": ("G5", noon), "b": ("G5", noon + timedelta(minutes=3)), "c": ("G5", None)})
    >>> found["a"] == found["b"], found["c"]
    (True, 'c')
    """
    found = {name: name for name, (_, time) in taken.items() if time is None}
    timed = sorted((camera or "", time, name) for name, (camera, time) in taken.items() if time is not None)
    previous: tuple[str, datetime] | None = None
    session = ""
    for camera, time, name in timed:
        if previous is None or previous[0] != camera or time - previous[1] > SESSION_GAP:
            session = f"{camera} {time:%Y-%m-%d %H:%M:%S}"
        found[name] = session
        previous = camera, time
    return found


def read_exif(path: Path) -> tuple[str | None, datetime | None]:
    """Name the camera that took an image, and the time by its clock; None each where the file does not say.

    Raises
    ------
    DataSetError
        The file is not an image.
    """
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            model = exif.get(_EXIF_MODEL)
            time = exif.get_ifd(_EXIF_IFD).get(_EXIF_TIME_ORIGINAL) or exif.get(_EXIF_TIME)
    except (OSError, UnidentifiedImageError) as error:
        raise DataSetError(f"{path}: not a readable image ({error}); fetch the file anew") from error
    camera = str(model).strip() or None if model is not None else None
    try:
        # A camera's clock has no zone; only differences are used.
        return camera, datetime.strptime(str(time), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        return camera, None


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, px."""
    with Image.open(path) as image:
        return image.size


def _check_inside(field: str, mark: Mark, size: tuple[int, int]) -> None:
    assert mark.point is not None  # all of ALL-IDB's marks are points
    if mark.point[0] >= size[0] or mark.point[1] >= size[1]:
        raise DataSetError(
            f"{field}: {mark.origin} marks ({mark.point[0]:g}, {mark.point[1]:g}), outside of the "
            f"{size[0]}x{size[1]} px image; the file belongs to another image"
        )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _subfolder(parent: Path, name: str) -> Path:
    found = _find_subfolder(parent, name)
    if found is None:
        there = ", ".join(sorted(path.name for path in parent.iterdir() if path.is_dir())) or "none"
        raise DataSetError(
            f"{parent}: no folder {name} (case, '-' and '_' do not matter); folders there: {there}; "
            "expected the official ALL-IDB layout"
        )
    return found


def _find_subfolder(parent: Path, name: str) -> Path | None:
    found = sorted(path for path in parent.iterdir() if path.is_dir() and _plain(path.name) == _plain(name))
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataSetError(f"{parent}: {names} both match {name}; keep one of them")
    return found[0] if found else None


def _matching(folder: Path, pattern: re.Pattern[str], shown: str) -> Iterable[tuple[Path, int]]:
    found = [
        (path, int(match.group(1)))
        for path in sorted(folder.iterdir())
        if (match := pattern.fullmatch(path.name)) is not None
    ]
    if not found:
        raise DataSetError(f"{folder}: no file named {shown}; expected the official ALL-IDB images")
    return found


def _points_of(name: str, folder: Path, *, required: bool) -> tuple[Point, ...]:
    path = folder / f"{name}.xyc"
    if path.is_file():
        return read_points(path)
    if required:
        raise DataSetError(f"{path}: missing; every field of a patient (_1) has its blasts' centroids there")
    return ()
