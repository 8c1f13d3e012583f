"""ALL-IDB in its official layout, read-only: which fields, points and crops a folder holds.

The layout (Labati, Piuri, Scotti 2011 [1]_)::

    ALL_IDB1/im/Im001_1.jpg          fields; _1 from a patient with ALL, _0 from a healthy person
    ALL_IDB1/xyc/Im001_1.xyc         centroids of the blasts, one "x y" a line
    ALL_IDB1/other_xyc/Im001_1.xyc   optional: centroids of what else is stained (white cells, platelets)
    ALL_IDB2/img/Im001_1.tif         crops of single cells; _1 blast, _0 normal

Folder names are matched without regard to case, ``-`` or ``_``. Nothing but names and points is
read here; pixels are read where they are needed.

References
----------
.. [1] R. Donida Labati, V. Piuri, F. Scotti, "ALL-IDB: the acute lymphoblastic leukemia image
   database for image processing", IEEE ICIP 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import DataSetError

#: What the labels mean, by their number: class 1 is the blast, as in the files' names.
LABELS = ("normal", "blast")

_FIELD_NAME = re.compile(r"im\d+_([01])\.jpe?g", re.IGNORECASE)
_CROP_NAME = re.compile(r"im\d+_([01])\.tiff?", re.IGNORECASE)
#: Between two coordinates: tabs in the official files, blanks or commas in copies of them.
_SEPARATOR = re.compile(r"[\s,;]+")
#: EXIF tag of the camera's model name.
_EXIF_MODEL = 0x0110


@dataclass(frozen=True, slots=True)
class Point:
    """A marked cell: px of its field, x to the right, y down."""

    x: float
    y: float


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

    def relative(self, path: Path) -> str:
        """Return ``path`` as a reader of the data set names it: from the data folder, with ``/``."""
        return path.relative_to(self.root).as_posix()


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


def read_points(path: Path) -> tuple[Point, ...]:
    """Read a point file: one ``x y`` a line, blank lines skipped.

    Parameters
    ----------
    path : ``.xyc`` file; tabs, blanks, commas or semicolons between the numbers, any line ends

    Returns
    -------
    tuple of Point
        In the file's order; px of the field.

    Raises
    ------
    DataSetError
        The file cannot be read, or a line is neither blank nor two numbers from 0 up.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path}: cannot be read as text ({error}); expected lines of 'x y'") from error
    points = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word for word in _SEPARATOR.split(line) if word]
        if not words:
            continue
        if len(words) != 2 or not all(re.fullmatch(r"\d+(\.\d*)?", word) for word in words):
            raise DataSetError(
                f"{path}, line {number}: expected two numbers 'x y' in px, got {line.strip()!r}"
            )
        points.append(Point(float(words[0]), float(words[1])))
    return tuple(points)


def camera_model(path: Path) -> str | None:
    """Name the camera that took an image.

    Parameters
    ----------
    path : image file

    Returns
    -------
    str or None
        EXIF camera model without padding, None where the file does not say.

    Raises
    ------
    DataSetError
        The file is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            model = image.getexif().get(_EXIF_MODEL)
    except (OSError, UnidentifiedImageError) as error:
        raise DataSetError(f"{path}: not a readable image ({error}); fetch the file anew") from error
    return str(model).strip() or None if model is not None else None


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
