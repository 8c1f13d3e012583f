"""Fields of real laboratories and drawn ones, as they are and with something changed about them."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.decode import decode_picture
from edge.classification.card import default_bundle_path
from edge.counting.golden import load_checked
from edge.counting.pipeline import Pipeline
from edge.light.field import Field
from edge.light.pyramid import shrunk
from edge.rendered import RenderSettings, Slide
from edge.results.control_charts import chart_values
from edge.segmentation import first_look
from edge.structures import Frame, UInt8Image
from tests.tools.altered_fields import altered
from training.data.allidb import read_exif, sessions

#: What is changed: by how much at the end, and whether it comes little by little over 30 days.
LAMP, STAIN = 0.2, 0.3
DEGRADATIONS = {"lamp": True, "stain": True, "focus": False, "dirt": False, "objective": False}
#: Of what comes little by little half is there on day 15, and no more is looked at.
DOSES = {True: (0.5,), False: (1.0,)}
#: Defocus in µm, and as the standard deviation of a blur in µm that a picture is blurred by; from a 100x to a
#: 63x objective.
DEFOCUS_UM, BLUR_UM, OBJECTIVE = 0.8, 0.45, 0.63
#: Longer side of a photograph that is taken as it is.
_MOST_PX = 2000
#: A drawn field of the usual 0.0234 mm² with larger pixels, which is drawn in half the time.
DRAWN = RenderSettings(width=1284, height=1026, um_per_px=0.1333)


@dataclass(frozen=True)
class Seen:
    """A field to be read: its day, and a maker of its picture for an alteration and its dose."""

    lab: str
    day: str
    name: str
    make: Callable[[str | None, float], UInt8Image]
    alters: bool


def drawn_fields(days: int = 20, fields: int = 2) -> Iterator[Seen]:
    """Draw days: lamp, stain and focus differ from day to day, stain and focus from field to field."""
    rng = np.random.default_rng(20260503)
    for number in range(days):
        lamp = replace(
            DRAWN.lamp,
            brightness=DRAWN.lamp.brightness * rng.normal(1, 0.02),
            colour_temperature_k=rng.normal(5300, 60),
        )
        strength, focus_um = rng.normal(1, 0.04), rng.normal(0, 0.15)
        for k in range(fields):
            settings = replace(
                DRAWN,
                lamp=lamp,
                stain=replace(DRAWN.stain, strength=strength * rng.normal(1, 0.02)),
                defocus_um=focus_um + rng.normal(0, 0.15),
            )
            seed = 3 * number + k
            yield Seen(
                "rendered", f"{number:02d}", f"{seed}", _drawer(settings, seed), k == 0 and number < 12
            )


def _drawer(settings: RenderSettings, seed: int) -> Callable[[str | None, float], UInt8Image]:
    def draw(kind: str | None, dose: float) -> UInt8Image:
        changed = settings
        if kind == "lamp":
            lamp = replace(settings.lamp, brightness=settings.lamp.brightness * (1 - LAMP * dose))
            changed = replace(settings, lamp=lamp)
        elif kind == "stain":
            stain = replace(settings.stain, strength=settings.stain.strength * (1 - STAIN * dose))
            changed = replace(settings, stain=stain)
        elif kind == "focus":
            changed = replace(settings, defocus_um=abs(settings.defocus_um) + DEFOCUS_UM)
        elif kind == "objective":
            changed = replace(settings, um_per_px=settings.um_per_px / OBJECTIVE)
        image = Slide(seed, changed).view(0.0).image
        return altered(image, "oil or a bubble over a part", 1) if kind == "dirt" else image

    return draw


def _photograph(path: Path) -> Callable[[str | None, float], UInt8Image]:
    def change(kind: str | None, dose: float) -> UInt8Image:
        image = decode_picture(path).pixels
        if max(image.shape) > _MOST_PX:  # half the size has all that is read here, in a quarter of the time
            image = np.asarray(shrunk(image, 2.0), np.uint8)
        if kind == "lamp":
            return _levels(image * (1 - LAMP * dose))
        if kind == "stain":  # Beer and Lambert: density over the blank slide grows with the dye
            rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
            blank = Field(Frame(image, path.name)).background.at(columns, rows)
            return _levels(blank * (np.maximum(image, 1) / blank) ** (1 - STAIN * dose))
        if kind == "focus":
            sigma = BLUR_UM / first_look(Field(Frame(image, path.name))).survey.scale.um_per_px
            return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
        if kind == "objective":
            return np.asarray(shrunk(image, 1 / OBJECTIVE), np.uint8)
        return altered(image, "oil or a bubble over a part", 1) if kind == "dirt" else image

    return change


def _levels(light: NDArray[Any]) -> UInt8Image:
    return np.asarray(np.clip(np.rint(light), 0, 255), np.uint8)


def real_fields(data: Path) -> Iterator[Seen]:
    """Whole fields of ALL-IDB1's second camera by session, and cells' pictures of jhu-aml by patient."""
    paths = {path.name: path for path in sorted((data / "all-idb1" / "im").glob("*.jpg"))}
    taken = {name: read_exif(path) for name, path in paths.items()}
    taken = {name: one for name, one in taken.items() if one[1] is not None and "G5" in (one[0] or "")}
    for number, (name, session) in enumerate(sorted(sessions(taken).items())):
        yield Seen("all-idb1", session, name, _photograph(paths[name]), alters=number % 4 == 0)
    with (data / "jhu-aml" / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_patient: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_patient[row["patient"]].append(row["file"])
    for patient, files in sorted(by_patient.items()):
        for name in files[:: max(1, len(files) // 12)][:12]:
            yield Seen("jhu-aml", patient, name, _photograph(data / "jhu-aml" / name), alters=False)


def read_all(fields: Sequence[Seen], cache: Path) -> list[dict[str, Any]]:
    """Send every field down the line, clean and altered; what a run that was stopped has read stays."""
    lines = cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []
    done = {_key(row): row for row in map(json.loads, lines)}
    pipeline = Pipeline(load_checked(default_bundle_path(), 1))
    rows = []
    with cache.open("a", encoding="utf-8") as file:
        for seen in fields:
            cases: list[tuple[str | None, float]] = [(None, 0.0)]
            if seen.alters:
                cases += [(kind, dose) for kind, slow in DEGRADATIONS.items() for dose in DOSES[slow]]
            for kind, dose in cases:
                row = done.get((seen.lab, seen.name, kind, dose))
                if row is None:
                    row = _read(pipeline, seen, kind, dose)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                rows.append(row)
    return rows


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["lab"], row["name"], row["kind"], row["dose"]


def _read(pipeline: Pipeline, seen: Seen, kind: str | None, dose: float) -> dict[str, Any]:
    result = pipeline.process(Frame(seen.make(kind, dose), seen.name)).result
    readings, red_cells = result.readings, result.scale.red_cells
    um_per_px = None if red_cells is None else red_cells.um_per_px
    return {
        "lab": seen.lab,
        "day": seen.day,
        "name": seen.name,
        "kind": kind,
        "dose": dose,
        "status": result.status,
        "reasons": result.reasons,
        "warnings": result.warnings,
        "values": {} if readings is None else chart_values(readings, um_per_px),
    }
