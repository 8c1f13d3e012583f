"""A laboratory in a log: closed samples with pictures, counted alike, and readers who know the truth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.bloodlog import BloodLog, ReviewLabel
from edge.bloodlog.pictures import ThumbnailStore
from edge.structures import Cell, CellClass, CellRef, ClassifiedCell, ModelIdentity, Scale
from tests.edge.bloodlog.fields import make_result
from tests.edge.made_by import PROVENANCE

SAMPLES, FIELDS, CELLS = 6, 2, 40
MADE = {"config_sha256": "c" * 64, "software_version": "0.1.0", "runtime": "ai_edge_litert 2.3.0"}
SIDE = 400


def truth(ref: CellRef) -> ReviewLabel:
    """What a cell is: blasts at every third place of even samples' fields, else kinds of normal cells."""
    if ref.cell_id % 3 == 0 and ref.field_id % 4 < 2:
        return "blast"
    return "lymphocyte" if ref.cell_id % 2 else "neutrophil"


def said(ref: CellRef, chance: float) -> tuple[CellClass, float]:
    """What the program says: wrong on one cell in ten, and then in doubt."""
    wrong = chance < 0.1
    is_blast = (truth(ref) == "blast") != wrong
    sure = 0.95 if not wrong else 0.7
    return ("blast", sure) if is_blast else ("normal", 1.0 - sure)


def append_field(log: BloodLog, sample_id: int, provenance: str, rng: np.random.Generator) -> int:
    store, number = ThumbnailStore.beside(log.path), log.count() + 1
    cells = []
    for cell in range(1, CELLS + 1):
        label, p = said(CellRef(number, cell), float(rng.random()))
        x, y = 10 + 55 * (cell % 7), 10 + 55 * (cell // 7)
        found = Cell(cell, x + 20.0, y + 20.0, (x, y, 40, 40), 1250, 700, "wbc", touches_border=False)
        cells.append(ClassifiedCell(found, label, p))
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[10:30, 10:30] = (90, number * 9 % 250, 130)
    sha256 = store.put(picture)
    result = replace(
        make_result(f"f{number}.jpg"),
        width=SIDE,
        height=SIDE,
        frame_sha256=f"{number:064x}",
        scale=Scale(0.1, "red_cells", 0.9),
        cells=tuple(cells),
        model=ModelIdentity("m", "a" * 64),
    )
    return log.append(
        result,
        **MADE,
        sample_id=sample_id,
        provenance=provenance,
        thumbnails=dict.fromkeys(range(1, CELLS + 1), sha256),
        image_sha256=sha256,
    )


def fill(log: BloodLog, names: list[str], provenance: str, seed: int = 5) -> None:
    rng = np.random.default_rng(seed)
    for name in names:
        sample = log.open_sample(name, "blood", 200)
        for _ in range(FIELDS):
            append_field(log, sample.id, provenance, rng)
        log.change_sample(name, "closed")


@pytest.fixture(scope="session")
def laboratory_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laboratory") / "blood.db"
    with BloodLog.open(path) as log:
        fill(log, [f"S-{number}" for number in range(1, SAMPLES + 1)], PROVENANCE.to_json())
    return path.parent


@pytest.fixture
def laboratory(laboratory_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of its log, which is the configured one."""
    shutil.copytree(laboratory_once, tmp_path / "state")
    config = tmp_path / "blastcount.toml"
    config.write_text(f'[log]\npath = "{tmp_path / "state" / "blood.db"}"\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    return tmp_path / "state" / "blood.db"


def read(path: Path, *, twice: bool = True) -> None:
    """Two readers say what every drawn cell is; the second, of his share, one cell otherwise."""
    with BloodLog.open(path) as log:
        current = log.current_verification()
        assert current is not None
        drawn = log.drawn_cells(current.id)
        log.say_verified(current.id, {one.cell: truth(one.cell) for one in drawn}, "Ani")
        second = {one.cell: truth(one.cell) for one in drawn if one.twice}
        if twice and second:
            cell = next(cell for cell, word in second.items() if word != "blast")
            log.say_verified(current.id, second | {cell: "blast"}, "Budi")


def named(**changes: str) -> str:
    """A provenance with other conditions."""
    return msgspec.structs.replace(PROVENANCE, **changes).to_json()
