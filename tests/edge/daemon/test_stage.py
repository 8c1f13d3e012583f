"""Auto mode from stage to log: a hand moves the slide, places are counted at rest, cells once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.counting.pipeline import Pipeline
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import Frame
from tests.waiting import PATIENCE_S

SETTINGS = RenderSettings(
    width=856, height=684, um_per_px=0.2, population=Population(blast=300.0, clustered_blasts=0.0)
)
#: Places in µm where the stage rests: a scan with overlaps, and back over the second place.
RESTS = ((0.0, 0.0), (110.0, 4.0), (215.0, -3.0), (120.0, 2.0))
STEPS = 5
Place = tuple[float, float]
SAME_UM = 3.0


def path(start: Place, end: Place) -> list[Place]:
    """Places on the way, the end among them."""
    (x0, y0), (x1, y1) = start, end
    return [(x0 + (x1 - x0) * s / STEPS, y0 + (y1 - y0) * s / STEPS) for s in range(1, STEPS)] + [end]


class Stage:
    """A camera over a stage that somebody moves: what it shows depends on where the stage is now."""

    name = "stage"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)
        self.place = RESTS[0]
        self.looks = 0
        self._looked = threading.Condition()
        # The whole scan, drawn once: the field's width and height with the 215 µm and 8 µm that it moves.
        whole = replace(SETTINGS, width=SETTINGS.width + 1080, height=SETTINGS.height + 40)
        self._slide = Slide(13, whole).view(0.0, -4.0).image

    def look(self, times: int) -> None:
        """Wait until the camera was looked at so often again."""
        with self._looked:
            last = self.looks + times
            assert self._looked.wait_for(lambda: self.looks >= last, PATIENCE_S), "nobody looks"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, timeout_s: float) -> Frame:
        left, top = (round(um / SETTINGS.um_per_px) for um in (self.place[0], self.place[1] + 4.0))
        view = self._slide[top : top + SETTINGS.height, left : left + SETTINGS.width]
        with self._looked:
            self.looks += 1
            self._looked.notify_all()
        noisy = cv2.add(view, self.rng.integers(0, 5, view.shape, np.uint8))
        return Frame(noisy, self.name, um_per_px=SETTINGS.um_per_px)


def test_places_are_counted_at_rest_and_cells_once(
    make_bench: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon.trigger.REST_LOOK_S", 0.1)
    bench = make_bench(live="auto")
    stage = Stage()
    bench.source = stage
    bench.counter = Pipeline(Classifier(load_bundle(tiny_model)))
    with BloodLog.open(bench.folder / "blood.db") as log:
        log.open_sample("S-1", "blood", 200)
    with bench.running():
        for number, place in enumerate(RESTS, start=1):
            for stop in path(stage.place, place):
                stage.place = stop
                stage.look(1)
            bench.wait(lambda n=number: bench.ask("status")["fields"]["logged"] == n, f"place {number}")
            stage.look(1)
        stage.look(4)  # it rests where it was counted: nothing more
        status = bench.ask("status")
    assert status["fields"]["logged"] == len(RESTS)
    assert status["fields"]["rejected"] == 0
    assert status["sample"]["name"] == "S-1"

    def on_slide(place: Place, cell: Any) -> Place:
        return place[0] + cell.x * 0.2, place[1] + cell.y * 0.2

    fields = bench.fields()
    counted: dict[tuple[int, int], Place] = {}
    again = 0
    for place, field in zip(RESTS, fields, strict=True):
        assert math.dist(field.result.stage_um, place) < 2.0
        for classified in field.result.cells:
            cell = classified.cell
            if cell.touches_border or cell.kind != "wbc":
                continue
            if classified.seen_before is None:
                counted[field.id, cell.id] = on_slide(place, cell)
            else:
                again += 1
                seen = classified.seen_before
                first = counted[seen.field_id, seen.cell_id]
                assert math.dist(first, on_slide(place, cell)) < SAME_UM
    assert again > 10
    assert status["sample"]["wbc"] == len(counted)
    assert status["fields"]["seen_before"] >= again
    closest = min(math.dist(a, b) for a, b in combinations(counted.values(), 2))
    assert closest > SAME_UM, "a cell was counted twice"
