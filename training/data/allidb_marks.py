"""ALL-IDB as fields with marks: points of ALL-IDB1, and ALL-IDB2 crops as labels of cells in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from edge.camera.files import read_image
from edge.device.hashing import file_sha256
from edge.errors import DataSetError
from training.data.allidb import AllIdb, Field, camera_model
from training.data.cache import Cache
from training.data.locate import Place, best_place, find_candidates, reduce, refine
from training.data.records import Mark, SourceField
from training.data.scenes import Shift, coarse_overlaps, verify

LAB = "all-idb"
#: A longer pause than this between two fields of one camera begins a new session: another slide, often
#: another patient. Within the sittings of ALL-IDB1 fields follow each other in up to 2.5 minutes.
SESSION_GAP = timedelta(minutes=4)
_EXIF_TIME = 0x0132
_EXIF_IFD = 0x8769
_EXIF_TIME_ORIGINAL = 0x9003


def source_fields(data: AllIdb, places: Mapping[str, Place | None]) -> list[SourceField]:
    """Put points and located crops together.

    A point of ``other_xyc`` in a patient's field is a normal cell by the word of that list's authors; blasts
    are among them, and so reports show these cells apart (origin ``other_xyc``, ``weak_label`` 1).

    Parameters
    ----------
    data : the data set
    places : where each ALL-IDB2 crop lies, by crop name; None where its field is not there
    """
    cameras = {field.name: camera_model(field.path) or "unknown" for field in data.fields}
    by_session = sessions({field.name: (cameras[field.name], exif_time(field.path)) for field in data.fields})
    crops: dict[str, list[Mark]] = defaultdict(list)
    for crop in data.crops:
        place = places[crop.name]
        if place is None:
            continue
        with Image.open(crop.path) as image:
            width, height = image.size
        point = (place.left + (width - 1) / 2, place.top + (height - 1) / 2)
        crops[place.field].append(Mark("idb2", crop.label, point=point))
    return [
        SourceField(
            LAB,
            field.name,
            field.path,
            cameras[field.name],
            by_session[field.name],
            field.label,
            (*_points(field), *crops[field.name]),
        )
        for field in data.fields
    ]


def sessions(taken: Mapping[str, tuple[str, datetime | None]]) -> dict[str, str]:
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
    timed = sorted((camera, time, name) for name, (camera, time) in taken.items() if time is not None)
    previous: tuple[str, datetime] | None = None
    session = ""
    for camera, time, name in timed:
        if previous is None or previous[0] != camera or time - previous[1] > SESSION_GAP:
            session = f"{camera} {time:%Y-%m-%d %H:%M:%S}"
        found[name] = session
        previous = camera, time
    return found


def exif_time(path: Path) -> datetime | None:
    """When a field was taken, by its camera's clock; None where the file does not say."""
    with Image.open(path) as image:
        exif = image.getexif()
        text = exif.get_ifd(_EXIF_IFD).get(_EXIF_TIME_ORIGINAL) or exif.get(_EXIF_TIME)
    try:
        # A camera's clock has no zone; only differences are used.
        return datetime.strptime(str(text), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        return None


def locate_crops(data: AllIdb, cache: Cache) -> dict[str, Place | None]:
    """Find where each ALL-IDB2 crop lies in the fields, by its pixels."""
    rows = cache.json("places", _key(data, "places"), lambda: _locate(data))
    return {name: None if row is None else Place(*row) for name, row in rows.items()}


def overlaps(data: AllIdb, cache: Cache) -> list[Shift]:
    """Find the fields that overlap or were taken twice."""
    return [Shift(*row) for row in cache.json("overlaps", _key(data, "overlaps"), lambda: _overlaps(data))]


def _points(field: Field) -> list[Mark]:
    marks = [Mark("xyc", 1, point=(point.x, point.y)) for point in field.blasts]
    return marks + [Mark("other_xyc", 0, point=(point.x, point.y)) for point in field.others or ()]


def _locate(data: AllIdb) -> dict[str, Any]:
    paths = {field.name: field.path for field in data.fields}
    reduced = {name: reduce(read_image(path).image) for name, path in paths.items()}
    images = {crop.name: read_image(crop.path).image for crop in data.crops}
    wanted = defaultdict(list)
    for name, image in images.items():
        for candidate in find_candidates(image, reduced):
            wanted[candidate.field].append((name, candidate))
    places: dict[str, list[Place]] = {name: [] for name in images}
    for field, candidates in sorted(wanted.items()):
        field_image = read_image(paths[field]).image
        for name, candidate in candidates:
            places[name].append(refine(images[name], field_image, candidate))
    best = {name: best_place(found) for name, found in places.items()}
    return {
        name: None if place is None else [place.field, place.left, place.top, place.difference]
        for name, place in best.items()
    }


def _overlaps(data: AllIdb) -> list[list[Any]]:
    paths = {field.name: field.path for field in data.fields}
    reduced = {name: reduce(read_image(path).image) for name, path in paths.items()}
    shifts = [
        verify(pair, read_image(paths[pair.first]).image, read_image(paths[pair.second]).image)
        for pair in coarse_overlaps(reduced)
    ]
    return [[s.first, s.second, s.dx, s.dy, s.correlation] for s in shifts if s is not None]


def _key(data: AllIdb, what: str) -> str:
    files: Sequence[Path] = [field.path for field in data.fields]
    if what == "places":
        files = [*files, *(crop.path for crop in data.crops)]
    if not files:
        raise DataSetError(f"{data.root}: no fields")
    return "\n".join([what, "1", *(f"{path.name} {file_sha256(path)}" for path in files)])
