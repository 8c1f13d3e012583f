"""Drawn slides with no, one, two and five blasts among 2,000 white cells, searched from files on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, combinations, count
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bloodlog import BloodLog, ReviewLabel
from edge.commands.outputs import write_atomically
from edge.rendered import Population, RenderSettings, render_field
from edge.results.reading import Reading
from edge.results.search import is_candidate
from edge.structures import CellRef
from tests.edge.commands.invoking import blastcount

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

QUOTA = 2000
WIDTH, HEIGHT, UM_PER_PX = 1600, 1200, 0.2
#: In a field of 0.077 mm²: more than a blast, so that one or two are usual.
BLASTS_PER_MM2 = 18.0


@dataclass(frozen=True)
class Drawn:
    """What is true of a drawn field: a label a cell, which of them are blasts, how many cells are whole."""

    labels: NDArray[np.uint16]
    blasts: frozenset[int]
    whole: int
    is_cut: bool

    @classmethod
    def to_file(cls, seed: int, blasts_per_mm2: float, file: Path) -> Drawn:
        """Draw a field that is crowded with mature cells."""
        population = Population(
            blast=blasts_per_mm2, lymphocyte=700.0, neutrophil=900.0, monocyte=150.0, eosinophil=60.0,
            smudge=20.0, platelet=200.0, red_cell=3500.0, precipitate=40.0,
        )  # fmt: skip
        settings = RenderSettings(width=WIDTH, height=HEIGHT, um_per_px=UM_PER_PX, population=population)
        field = render_field(seed, settings)
        done, data = cv2.imencode(".jpg", field.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert done
        write_atomically(file, data.tobytes())
        blasts = [cell for cell in field.cells if cell.kind == "blast"]
        return cls(
            field.cell_labels,
            frozenset(cell.id for cell in blasts),
            field.truth_counts()["wbc_whole"],
            any(cell.touches_border for cell in blasts),
        )


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Path, Drawn]:
    """Fields by their files: healthy ones for the quota, and some with blasts that no edge cuts."""
    folder, made = tmp_path_factory.mktemp("fields"), dict[Path, Drawn]()
    for seed in count(1):
        file = folder / f"healthy_{seed:03}.jpg"
        made[file] = Drawn.to_file(seed, 0.0, file)
        if sum(field.whole for field in made.values()) > 1.06 * QUOTA:  # some are not found
            break
    for seed in count(1000):
        file = folder / f"blasts_{seed}.jpg"
        field = Drawn.to_file(seed, BLASTS_PER_MM2, file)
        if field.blasts and not field.is_cut:
            made[file] = field
        if all(with_blasts(made, number) is not None for number in (1, 2, 5)):
            return made
    raise AssertionError


def with_blasts(made: Mapping[Path, Drawn], number: int) -> tuple[Path, ...] | None:
    """The fewest of the fields that have so many blasts together."""
    files = [file for file, field in made.items() if field.blasts]
    chosen = chain.from_iterable(combinations(files, size) for size in range(len(files) + 1))
    return next((some for some in chosen if sum(len(made[file].blasts) for file in some) == number), None)


@pytest.mark.parametrize("blasts", [0, 1, 2, 5])
def test_few_blasts_are_found_or_bounded(
    blasts: int, fields: Mapping[Path, Drawn], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who knows the truth answers every candidate."""
    files = sorted(file for file, field in fields.items() if not field.blasts)
    some = with_blasts(fields, blasts)
    assert some is not None
    for number, file in enumerate(some, start=1):  # spread over the slide
        files.insert(number * len(files) // (len(some) + 1), file)
    slide, log = tmp_path / "slide", tmp_path / "log.db"
    slide.mkdir()
    names = {f"{number:03}.jpg": file for number, file in enumerate(files)}
    for name, file in names.items():
        os.link(file, slide / name)
    assert blastcount("sample", "open", "--id", "S-1", "--search", QUOTA, "--log", log).exit_code == 0
    assert blastcount("count", "--sample", "S-1", "--log", log, slide).exit_code == 0

    with BloodLog.open(log) as opened:
        reading = Reading.of(opened, opened.sample("S-1").id)
        sources = {logged.id: names[Path(logged.result.source).name] for logged in reading.fields}
        words: dict[CellRef, ReviewLabel] = {}
        seen = set()
        for cell in filter(is_candidate, reading.cells):
            truth, (x, y) = fields[sources[cell.ref.field_id]], (cell.found.cell.x, cell.found.cell.y)
            label = int(truth.labels[round(y), round(x)])
            words[cell.ref] = "blast" if label in truth.blasts else "normal"
            if label in truth.blasts:
                seen.add((cell.ref.field_id, label))
        opened.add_reviews(words, "Ani")

    said = json.loads(blastcount("sample", "show", "S-1", "--json", "--log", log).stdout)["search"]
    low, high = said["ci95"]
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{blasts} of {said['cells']} cells, listed {said['listed']}: confirmed {said['confirmed']}, "
            f"{100 * low:.2f} to {100 * high:.2f} %, {said['verdict']} at {said['decided_at']}"
        )
    assert said["cells"] >= QUOTA
    assert said["waiting"] == 0
    assert said["confirmed"] == len(seen) <= blasts
    assert low <= blasts / said["cells"] < high
    if blasts == 0:
        assert said["verdict"] == "bounded"
    if blasts == 5:
        assert said["verdict"] == "found"
