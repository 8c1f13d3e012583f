"""A sample in a log with pictures, rejected fields and the words of two people."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import cv2
import numpy as np
import pytest
from click.testing import Result

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.signatures import Meaning
from edge.bloodlog.users import Role
from edge.results.corrected import KnownErrors
from edge.results.summary import SampleSummary, summarise
from edge.structures import (
    Cell,
    CellClass,
    CellRef,
    CellType,
    ClassifiedCell,
    FieldResult,
    ModelIdentity,
    Scale,
    UInt8Image,
)
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.edge.commands.invoking import blastcount

NAME = "S-0142"
#: Warnings by field.
WARNED = {2: ("background_clipped",), 3: ("background_clipped", "scale_changed")}
#: Types by cell, and what named them.
TYPES: dict[int, CellType] = {4: "neutrophil", 5: "lymphocyte", 6: "other"}
TYPE_MODEL = ModelIdentity("types", "b" * 64)
#: Size of a field and distance of its cells, in px.
SIDE, STEP = 400, 70


def field_image(seed: int) -> UInt8Image:
    """A blank slide with dark discs where the cells are said to be."""
    image = np.full((SIDE, SIDE, 3), (230, 230, 190 + 8 * (seed % 5)), np.uint8)
    for number in range(1, 10):
        cv2.circle(image, place(number), 20, (90, 40, 130), -1)
    return image


def place(number: int) -> tuple[int, int]:
    """Centre of a cell, in px."""
    return 60 + (number - 1) % 3 * 2 * STEP, 60 + (number - 1) // 3 * 2 * STEP


def cell(number: int, label: CellClass | None, p: float | None, *, border: bool = False) -> ClassifiedCell:
    x, y = place(number)
    found = Cell(
        number, x, y, (x - 20, y - 20, 40, 40), 1250, 700, "wbc" if label else "smudge", touches_border=border
    )
    return ClassifiedCell(found, label, p)


def result(number: int, cells: tuple[ClassifiedCell, ...], reasons: tuple[str, ...] = ()) -> FieldResult:
    return replace(
        make_result(f"field_{number}.jpg"),
        width=SIDE,
        height=SIDE,
        frame_sha256=f"{number:064x}",
        scale=Scale(0.2, "configured", 1.0),
        status="rejected" if reasons else "counted",
        reasons=reasons,
        cells=cells,
    )


def fill(log: BloodLog, sample_id: int, fields: int = 4, *, typed: bool = False) -> None:
    """Count fields of 3 blasts, 4 normal cells, an uncertain one and a smudge; one field more is rejected.

    The second and the third have a warning, the third another one besides. With types, the whole normal cells
    of a field are a neutrophil, a lymphocyte and another one.
    """
    store = ThumbnailStore.beside(log.path)
    made = {**PROVENANCE, "source_kind": "file"}
    for number in range(1, fields + 1):
        labels: list[tuple[CellClass, float]] = [("blast", 0.9)] * 3 + [("normal", 0.1)] * 4
        cells = (
            *(cell(n, label, p, border=n == 7) for n, (label, p) in enumerate(labels, start=1)),
            cell(8, "uncertain", 0.5),
            cell(9, None, None),
        )
        if typed:
            cells = tuple(
                replace(c, type=TYPES.get(c.cell.id, "monocyte"), p_type=0.75) if c.label else c
                for c in cells
            )
        image = field_image(number)
        thumbnails = {
            c.cell.id: store.put(
                image[c.cell.bbox[1] : c.cell.bbox[1] + 40, c.cell.bbox[0] : c.cell.bbox[0] + 40]
            )
            for c in cells
        }
        log.append(
            replace(
                result(number, cells),
                warnings=WARNED.get(number, ()),
                type_model=TYPE_MODEL if typed else None,
            ),
            **made,
            sample_id=sample_id,
            thumbnails=thumbnails,
            image_sha256=store.put(image),
        )
    rejected = replace(result(99, (), ("out_of_focus",)), type_model=TYPE_MODEL if typed else None)
    log.append(rejected, **made, sample_id=sample_id)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the log and its pictures: to be copied, never changed."""
    path = tmp_path_factory.mktemp("sample") / "blastcount.db"
    with BloodLog.open(path) as log:
        fill(log, log.open_sample(NAME, "blood", 200).id)
    return path.parent


@pytest.fixture(scope="session")
def filled_with_types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the same log with types: to be copied, never changed."""
    path = tmp_path_factory.mktemp("typed") / "blastcount.db"
    with BloodLog.open(path) as log:
        fill(log, log.open_sample(NAME, "blood", 200).id, typed=True)
    return path


@pytest.fixture
def typed_log(filled_with_types: Path, tmp_path: Path) -> Path:
    """Path of such a log that may be changed."""
    return shutil.copytree(filled_with_types.parent, tmp_path / "state") / "blastcount.db"


@pytest.fixture
def sample_log(filled: Path, tmp_path: Path) -> Path:
    """Path of a log whose only sample, open, has 28 whole white cells, 12 of them called blasts."""
    return shutil.copytree(filled, tmp_path / "state") / "blastcount.db"


def sign(path: Path, who: str, meaning: Meaning, *, clock_trusted: bool = True) -> None:
    """Let a user sign the closed sample as it is now."""
    with BloodLog.open(path) as log:
        seen = log.content_sha256(log.sample(NAME).id)
        role: Role = "reader" if meaning == "counted" else "supervisor"
        log.sign(NAME, meaning, who, role, seen_sha256=seen, nonce=token_hex(16), clock_trusted=clock_trusted)


def summary_of(path: Path, errors: KnownErrors | None = None) -> SampleSummary:
    with BloodLog.open(path, read_only=True) as log:
        return summarise(log, log.sample(NAME), lambda _model: errors)


def export(log: Path, form: str, folder: Path) -> Result:
    """Hand the sample on in one form, given by its option."""
    return blastcount("sample", "export", NAME, form, folder, "--log", log)


def read_all(path: Path, observer: str, changed: dict[CellRef, str] | None = None) -> None:
    """Let a person have a word on every cell that counts, the program's where nothing else is said."""
    with BloodLog.open(path) as log:
        words = {}
        for logged in log.fields(log.sample(NAME).id):
            for found in logged.result.cells:
                if found.cell.kind == "wbc" and not found.cell.touches_border:
                    ref = CellRef(logged.id, found.cell.id)
                    words[ref] = (changed or {}).get(ref, "blast" if (found.p_blast or 0) > 0.5 else "normal")
        log.add_reviews(words, observer)
