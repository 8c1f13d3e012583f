"""Where the data leaks: one cell, one field or one camera on both sides of a split."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image

from edge.errors import DataSetError
from training.data import allidb, allidb_marks, sources
from training.data.cache import Cache
from training.data.collection import Listing, list_lab
from training.data.records import Mark, SourceField
from training.protocol.accuracy import Proportion

SCHEMA = "blastcount.audit/1"
#: Two places of a scene nearer than this are one cell. ALL-IDB1 has 0.12 to 0.19 µm/px, where 25 px are 3 to
#: 4.7 µm: half the smallest white cell, and more than a person's click or a crop's rounding is off.
SAME_CELL_PX = 25.0
_SIDES = ("train", "test")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a split, where it lies.

    Attributes
    ----------
    name : of the row, for a reader
    side : ``train`` or ``test``
    group : what must stay on one side
    scene, x, y : place in the scene of overlapping fields; x and y None where the row is a whole field
    """

    name: str
    side: str
    group: str
    scene: str
    x: float | None
    y: float | None


def audit(
    root: Path,
    cache: Cache,
    labs: Sequence[str] | None = None,
    tick: Callable[[str], None] = lambda _lab: None,
) -> Json:
    """Look through the laboratories of a data folder.

    Parameters
    ----------
    root : the data folder
    cache : keeps what was found
    labs : which laboratories; None takes all that are there
    tick : called with each laboratory's name before it is read

    Returns
    -------
    dict
        JSON, schema ``blastcount.audit/1``.

    Raises
    ------
    DataSetError
        A data set has another layout than expected.
    """
    laboratories: Json = {}
    crops: Json | None = None
    for lab in sources.present(root):
        if labs is not None and lab not in labs:
            continue
        tick(lab)
        listing = list_lab(root, lab, cache)
        laboratories[lab] = _laboratory(listing)
        if lab == allidb_marks.LAB:
            crops = _crops(root, cache, listing)
    return {"schema": SCHEMA, "laboratories": laboratories, "all_idb2": crops}


def _laboratory(listing: Listing) -> Json:
    cameras: dict[str, Counter[str]] = defaultdict(Counter)
    for field in listing.fields:
        cameras[field.camera]["patients" if field.weak_label else "without leukaemia"] += 1
    exact = [pair for pair in listing.duplicates if pair.exact]
    near = [pair for pair in listing.duplicates if not pair.exact]
    marked = [(field.camera, mark.label) for field in listing.fields for mark in field.marks]
    return {
        "fields": len(listing.fields),
        "groups": len(set(listing.groups.values())),
        "sessions": _sessions(listing.fields),
        "cameras": {camera: dict(sorted(count.items())) for camera, count in sorted(cameras.items())},
        "exact_copies": [[pair.first, pair.second] for pair in exact],
        "near_copies": [[pair.first, pair.second, round(pair.correlation, 3)] for pair in near],
        "overlapping": [
            [shift.first, shift.second, shift.dx, shift.dy, round(shift.correlation, 3)]
            for shift in listing.shifts
        ],
        "camera_alone": {
            "fields": _commoner((field.camera, field.weak_label) for field in listing.fields).to_json(),
            "marked_cells": _commoner(pair for pair in marked if pair[1] is not None).to_json(),
        },
    }


def _sessions(fields: Sequence[SourceField]) -> Json:
    """Count sessions; list them where some hold more than one field."""
    by_session: dict[str, list[SourceField]] = defaultdict(list)
    for field in fields:
        by_session[field.session].append(field)
    listed = [
        {
            "session": name,
            "camera": members[0].camera,
            "fields": len(members),
            "patients": sum(field.weak_label for field in members),
        }
        for name, members in by_session.items()
    ]
    return {"n": len(listed), "listed": listed if len(listed) < len(fields) else []}


def _commoner(pairs: Iterable[tuple[str, int | None]]) -> Proportion:
    """Say how many are right when each camera's all get that camera's commoner label."""
    by_camera: dict[str, Counter[int | None]] = defaultdict(Counter)
    for camera, label in pairs:
        by_camera[camera][label] += 1
    n = sum(sum(count.values()) for count in by_camera.values())
    return Proportion(sum(max(count.values()) for count in by_camera.values()), n)


def _crops(root: Path, cache: Cache, listing: Listing) -> Json:
    """Find out where ALL-IDB2 was cut, and which of its crops show one cell."""
    data = allidb.load(root)
    found = allidb_marks.locate_crops(data, cache)
    cameras = {field.name: field.camera for field in listing.fields}
    points = {
        field.name: [mark for mark in field.marks if mark.origin in ("xyc", "other_xyc")]
        for field in listing.fields
    }
    rows: list[Json] = []
    places: list[Place] = []
    for crop in data.crops:
        place = found[crop.name]
        if place is None:
            rows.append({"crop": crop.name, "label": crop.label, "field": None})
            continue
        x, y = _middle(crop.path, place.left, place.top)
        scene = listing.places[f"{allidb_marks.LAB}/{place.field}"]
        places.append(Place(crop.name, "", "", scene.scene, x + scene.dx, y + scene.dy))
        rows.append(
            {
                "crop": crop.name,
                "label": crop.label,
                "field": place.field,
                "left": place.left,
                "top": place.top,
                "difference": round(place.difference, 3),
                "camera": cameras[place.field],
                "marked": _marked(points[place.field], x, y),
            }
        )
    located = [row for row in rows if row["field"] is not None]
    return {
        "crops": rows,
        "located": Proportion(len(located), len(rows)).to_json(),
        "pixel_exact": Proportion(sum(row["difference"] == 0 for row in located), len(rows)).to_json(),
        "also_a_point": Proportion(sum(row["marked"] is not None for row in located), len(rows)).to_json(),
        "same_cell": [[a.name, b.name] for a, b in combinations(places, 2) if _one_cell(a, b)],
        "camera_alone": _commoner((row["camera"], row["label"]) for row in located).to_json(),
    }


def _middle(path: Path, left: int, top: int) -> tuple[float, float]:
    with Image.open(path) as image:
        width, height = image.size
    return left + (width - 1) / 2, top + (height - 1) / 2


def _marked(marks: Sequence[Mark], x: float, y: float) -> str | None:
    """Name the list that marks the cell at a place, None where none does."""
    near = [(math.hypot(mark.point[0] - x, mark.point[1] - y), mark.origin) for mark in marks if mark.point]
    distance, origin = min(near, default=(math.inf, None))
    return origin if distance < SAME_CELL_PX else None


def _one_cell(a: Place, b: Place) -> bool:
    if a.x is None or a.y is None or b.x is None or b.y is None:
        return False
    return a.scene == b.scene and math.hypot(a.x - b.x, a.y - b.y) < SAME_CELL_PX


def read_split(path: Path) -> list[Mapping[str, str]]:
    """Read a split: a CSV with a header, or the manifest that ``blastcount train`` writes.

    Parameters
    ----------
    path : rows with ``source`` (an image, named from the data folder) and ``side`` (train or test); with x
        and y of a cell, px of the field named in ``field`` or ``source``, a row is that cell, else the image

    Raises
    ------
    DataSetError
        The file cannot be read, lacks a column, or names another side.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            rows = json.loads(text)["crops"]
        else:
            rows = list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataSetError(
            f"{path}: cannot be read as a split ({error}); expected split.csv or manifest.json of "
            "`blastcount train`, or a CSV with the columns source and side"
        ) from error
    for number, row in enumerate(rows, start=1):
        for column in ("source", "side"):
            if not row.get(column):
                raise DataSetError(f"{path}, row {number}: no {column}; expected the columns source and side")
        if row["side"] not in _SIDES:
            raise DataSetError(f"{path}, row {number}: side {row['side']!r}; expected train or test")
    return [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def leaks(root: Path, cache: Cache, rows: Sequence[Mapping[str, str]]) -> Json:
    """Find what a split puts on both sides.

    Parameters
    ----------
    root : the data folder
    cache : keeps what was found
    rows : from :func:`read_split`

    Returns
    -------
    dict
        ``cells``: rows of the test side that show a cell of the training side, with the row that does;
        ``groups``: groups (fields with those that overlap or copy them) on both sides; numbers of rows.

    Raises
    ------
    DataSetError
        A row names an image that is not in the data folder.
    """
    places = _places(root, cache, rows)
    by_scene: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        if place.side == "train":
            by_scene[place.scene].append(place)
    cells = []
    for place in places:
        if place.side == "test":
            twin = next((other for other in by_scene[place.scene] if _one_cell(place, other)), None)
            if twin is not None:
                cells.append([place.name, twin.name])
    sides: dict[str, set[str]] = defaultdict(set)
    for place in places:
        sides[place.group].add(place.side)
    n_test = sum(place.side == "test" for place in places)
    return {
        "rows": {"train": len(places) - n_test, "test": n_test},
        "cells": cells,
        "groups": sorted(group for group, found in sides.items() if len(found) == 2),
    }


def _places(root: Path, cache: Cache, rows: Sequence[Mapping[str, str]]) -> list[Place]:
    listings = {lab: list_lab(root, lab, cache) for lab in sources.present(root)}
    by_path = {
        field.path.resolve(): (lab, field.key)
        for lab, listing in listings.items()
        for field in listing.fields
    }
    data = allidb.load(root) if allidb_marks.LAB in listings else None
    found = allidb_marks.locate_crops(data, cache) if data else {}
    crops = {crop.path.resolve(): crop for crop in data.crops} if data else {}
    names = {field.name: field.key for field in listings[allidb_marks.LAB].fields} if data else {}
    places = []
    for row in rows:
        path = (root / row["source"]).resolve()
        crop = crops.get(path)
        x = float(row["x"]) if row.get("x") else None
        y = float(row["y"]) if row.get("y") else None
        if crop is not None and (place := found[crop.name]) is not None:
            lab, key = allidb_marks.LAB, names[place.field]
            if x is None or y is None or not row.get("field"):
                x, y = _middle(crop.path, place.left, place.top)
        elif path in by_path:
            lab, key = by_path[path]
        elif crop is not None:
            places.append(Place(row["source"], row["side"], row["source"], row["source"], x, y))
            continue
        else:
            raise DataSetError(
                f"the split names {row['source']}, which is no image of the data sets in {root}; "
                "name images from that folder"
            )
        scene = listings[lab].places[key]
        here = (None, None) if x is None or y is None else (x + scene.dx, y + scene.dy)
        places.append(Place(row["source"], row["side"], listings[lab].groups[key], scene.scene, *here))
    return places
