"""Drawn slides with no, one, two and five blasts among 2,000 white cells, searched from files on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import pytest

from edge.bloodlog import BloodLog
from edge.commands.outputs import write_atomically
from edge.rendered import Population, RenderedField, RenderSettings, render_field
from edge.results.reading import Reading
from edge.results.search import is_candidate
from edge.structures import CellRef
from tests.edge.commands.invoking import blastcount

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

QUOTA = 2000
#: Some 75 whole white cells in a field without blasts.
HEALTHY = Population(
    blast=0.0, lymphocyte=700.0, neutrophil=900.0, monocyte=150.0, eosinophil=60.0, smudge=20.0,
    platelet=200.0, red_cell=3500.0, precipitate=40.0,
)  # fmt: skip
#: Area of a field is 0.049 mm²: so many blasts per mm² are likeliest to give a field the number wanted.
BLASTS_PER_MM2 = 20.0
SIDES, UM_PER_PX = (1600, 1200), 0.16


def drawn(seed: int, blasts_per_mm2: float) -> RenderedField:
    per_mm2 = {name: getattr(HEALTHY, name) for name in HEALTHY.__slots__ if name != "blast"}
    width, height = SIDES
    return render_field(
        seed,
        RenderSettings(
            width=width, height=height, um_per_px=UM_PER_PX,
            population=Population(blast=blasts_per_mm2, **per_mm2),
        ),
    )  # fmt: skip


def blasts_of(field: RenderedField) -> tuple[int, int]:
    """Blasts in a field, and those that lie wholly in it."""
    counts = field.truth_counts()
    return counts["blasts"], counts["blasts_whole"]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, RenderedField]]:
    """Fields as files, by name: healthy ones for the quota, and one each with 1, 2 and 5 whole blasts."""
    folder, made = tmp_path_factory.mktemp("fields"), {}
    seed = whole = 0
    while whole < 1.05 * QUOTA:  # some are not found, some counted once are seen in none
        seed += 1
        field = drawn(seed, 0.0)
        whole += field.truth_counts()["wbc_whole"]
        made[f"healthy_{seed:03}.jpg"] = field
    for blasts in (1, 2, 5):
        tries = (drawn(seed, BLASTS_PER_MM2 * blasts) for seed in range(1000 * blasts, 1000 * blasts + 60))
        made[f"blasts_{blasts}.jpg"] = next(one for one in tries if blasts_of(one) == (blasts, blasts))
    for name, field in made.items():
        done, data = cv2.imencode(".jpg", field.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert done
        write_atomically(folder / name, data.tobytes())
    return folder, made


@pytest.mark.parametrize("blasts", [0, 1, 2, 5])
def test_few_blasts_are_found_or_bounded(
    blasts: int, fields: tuple[Path, Mapping[str, RenderedField]], tmp_path: Path
) -> None:
    """A person who knows the truth answers every candidate."""
    folder, made = fields
    names = sorted(name for name in made if name.startswith("healthy"))
    if blasts:
        names.insert(len(names) // 2, f"blasts_{blasts}.jpg")
    slide, log = tmp_path / "slide", tmp_path / "log.db"
    slide.mkdir()
    for number, name in enumerate(names):
        os.link(folder / name, slide / f"{number:03}_{name}")
    assert blastcount("sample", "open", "--id", "S-1", "--search", QUOTA, "--log", log).exit_code == 0
    assert blastcount("count", "--sample", "S-1", "--log", log, slide).exit_code == 0
    with BloodLog.open(log) as opened:
        reading = Reading.of(opened, opened.sample("S-1").id)
        opened.add_reviews(
            {cell.ref: answer(reading, cell.ref, made) for cell in reading.cells if is_candidate(cell)}, "Ani"
        )
    said = json.loads(blastcount("sample", "show", "S-1", "--json", "--log", log).stdout)["search"]
    print(blasts, said)  # noqa: T201
    low, high = said["ci95"]
    assert said["cells"] >= QUOTA
    assert said["waiting"] == 0
    assert low <= blasts / said["cells"] < high
    assert said["confirmed"] <= blasts
    if blasts == 0:
        assert said["verdict"] == "bounded"
    if blasts == 5:
        assert said["verdict"] == "found"


def answer(reading: Reading, ref: CellRef, made: Mapping[str, RenderedField]) -> str:
    """What a cell is by the truth of its field."""
    (logged,) = (one for one in reading.fields if one.id == ref.field_id)
    (cell,) = (one.cell for one in logged.result.cells if one.cell.id == ref.cell_id)
    truth = made[Path(logged.result.source).name.split("_", 1)[1]]
    label = int(truth.cell_labels[round(cell.y), round(cell.x)])
    kinds = {one.id: one.kind for one in truth.cells}
    return "blast" if kinds.get(label) == "blast" else "normal"
