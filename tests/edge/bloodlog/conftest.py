"""Logs with everything in them, made once and copied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.picture_files import FOLDER
from edge.bloodlog.pictures import ThumbnailStore
from edge.structures import CellRef
from tests.edge.bloodlog.fields import PROVENANCE, make_result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blood.db"


@pytest.fixture
def log(path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(path) as opened:
        yield opened


@pytest.fixture(scope="session")
def full_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full") / "blood.db"
    store = ThumbnailStore.beside(path)
    level = iter(range(0, 250, 7))

    def picture() -> str:
        return store.put(np.full((32, 32, 3), next(level), np.uint8))

    with BloodLog.open(path) as log:
        log.append(make_result("loose.jpg"), **PROVENANCE, image_sha256=picture())
        for name in ("S-1", "S-2"):
            sample = log.open_sample(name, "blood", 200, who="Ani")
            for number in range(3):
                log.append(
                    make_result(f"{name}/{number}"),
                    **PROVENANCE,
                    sample_id=sample.id,
                    clock_trusted=True,
                    image_sha256=picture(),
                    thumbnails={1: picture(), 2: picture()},
                )
            log.change_sample(name, "closed")
        log.add_reviews({CellRef(2, 1): "normal"}, "Ani")
        log.add_reviews({CellRef(3, 2): "blast"}, "Budi")
        log.undo_review("Ani", 1)
    return path


@pytest.fixture
def full(full_once: Path, tmp_path: Path) -> Path:
    """A closed log: a loose field, two closed samples of three fields each, reviews, 19 pictures."""
    shutil.copytree(full_once.parent / FOLDER, tmp_path / FOLDER)
    return Path(shutil.copy(full_once, tmp_path / "blood.db"))
