"""Where the data leaks: one cell, one field or one camera on both sides of a split."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from edge.counting.tally import share_json
from edge.errors import DataSetError
from training.data import allidb
from training.data.collection import Collection, same_cell
from training.data.records import LABS, FieldRecord, SourceField

SCHEMA = "blastcount.audit/1"
_SIDES = ("train", "test")
_WHOSE = {1: "patients", 0: "without leukaemia", None: "of unknown persons"}
Json = dict[str, Any]


def audit(collection: Collection) -> Json:
    """Look through the laboratories of a data folder.

    Returns
    -------
    dict
        JSON, schema ``blastcount.audit/1``.
    """
    by_lab = {lab: [field for field in collection.fields.values() if field.lab == lab] for lab in LABS}
    return {
        "schema": SCHEMA,
        "laboratories": {lab: _laboratory(collection, fields) for lab, fields in by_lab.items() if fields},
        "all_idb2": _crops(collection) if by_lab[allidb.LAB] else None,
    }


def _laboratory(collection: Collection, fields: Sequence[FieldRecord]) -> Json:
    keys = {field.key for field in fields}
    cameras: dict[str, Counter[str]] = defaultdict(Counter)
    for field in fields:
        cameras[field.camera][_WHOSE[field.weak_label]] += 1
    duplicates = [pair for pair in collection.duplicates if pair.first in keys]
    marked = [(field.camera, mark.label) for field in fields for mark in field.marks]
    return {
        "fields": len(fields),
        "groups": len({field.group for field in fields}),
        "sessions": _sessions(fields),
        "cameras": {camera: dict(sorted(count.items())) for camera, count in sorted(cameras.items())},
        "exact_copies": [[pair.first, pair.second] for pair in duplicates if pair.exact],
        "near_copies": [
            [pair.first, pair.second, round(pair.correlation, 3)] for pair in duplicates if not pair.exact
        ],
        "overlapping": [
            [shift.first, shift.second, shift.dx, shift.dy, round(shift.correlation, 3)]
            for shift in collection.shifts
            if shift.first in keys
        ],
        "camera_alone": {
            "fields": camera_alone((field.camera, field.weak_label) for field in fields),
            "marked_cells": camera_alone(pair for pair in marked if pair[1] is not None),
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
            "patients": sum(field.weak_label == 1 for field in members),
        }
        for name, members in by_session.items()
    ]
    return {"n": len(listed), "listed": listed if len(listed) < len(fields) else []}


def camera_alone(pairs: Iterable[tuple[str, int | None]]) -> Json:
    """Say how many are right when each camera's all get that camera's commoner label.

    Parameters
    ----------
    pairs : (camera, label) of each

    Returns
    -------
    dict
        JSON: ``value``, ``k``, ``n`` and the exact 95 % interval ``ci95``.
    """
    by_camera: dict[str, Counter[int | None]] = defaultdict(Counter)
    for camera, label in pairs:
        by_camera[camera][label] += 1
    n = sum(sum(count.values()) for count in by_camera.values())
    return share_json(sum(max(count.values()) for count in by_camera.values()), n)


def _crops(collection: Collection) -> Json:
    """Say where ALL-IDB2 was cut, and which of its crops show one cell."""
    rows: list[Json] = [
        {
            "crop": crop.name,
            "label": crop.label,
            "field": crop.place.field,
            "left": crop.place.left,
            "top": crop.place.top,
            "difference": round(crop.place.difference, 3),
            "camera": crop.record.camera,
            "marked": crop.marked,
        }
        for crop in collection.crops
    ]
    n = len(rows) + len(collection.unlocated_crops)
    return {
        "crops": rows + [{"crop": name, "field": None} for name in collection.unlocated_crops],
        "located": share_json(len(rows), n),
        "pixel_exact": share_json(sum(row["difference"] == 0 for row in rows), n),
        "also_a_point": share_json(sum(row["marked"] is not None for row in rows), n),
        "same_cell": [
            [a.name, b.name]
            for a, b in combinations(collection.crops, 2)
            if a.record.identity == b.record.identity
        ],
        "camera_alone": camera_alone((row["camera"], row["label"]) for row in rows),
    }


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


def leaks(collection: Collection, rows: Sequence[Mapping[str, str]]) -> Json:
    """Find what a split puts on both sides.

    Parameters
    ----------
    collection : the data
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
    by_path = {field.path.resolve(): field for field in collection.fields.values()}
    crops = {f"{crop.name}.tif".lower(): crop for crop in collection.crops}
    trained: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    tested = []
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        path = (collection.root / row["source"]).resolve()
        crop = crops.get(path.name.lower()) if path not in by_path else None
        field = by_path.get(path) if crop is None else collection.fields[crop.record.field]
        if field is None and path.stem in collection.unlocated_crops:
            continue
        if field is None:
            raise DataSetError(
                f"the split names {row['source']}, which is no image of the data sets in {collection.root} "
                "name images from that folder"
            )
        sides[field.group].add(row["side"])
        if row.get("x") and row.get("y"):
            here = field.in_scene(float(row["x"]), float(row["y"]))
        elif crop is not None:
            here = field.in_scene(crop.record.cell.x, crop.record.cell.y)
        else:
            continue  # a whole field
        if row["side"] == "train":
            trained[field.place.scene][row["source"]] = here
        else:
            tested.append((row["source"], field, here))
    twins = [
        (name, same_cell(here, trained[field.place.scene], field.um_per_px)) for name, field, here in tested
    ]
    n_test = sum(row["side"] == "test" for row in rows)
    return {
        "rows": {"train": len(rows) - n_test, "test": n_test},
        "cells": [[name, twin] for name, twin in twins if twin is not None],
        "groups": sorted(group for group, found in sides.items() if len(found) == 2),
    }
