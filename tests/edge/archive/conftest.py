"""A small archive of rendered fields: three folders, one damaged file, a mask and a drawn truth."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from edge.config import Config
from edge.rendered import RenderSettings, render_field
from edge.structures import UInt8Image

#: Folder, number of fields and their scale; a folder's scale is no other's.
FOLDERS = (("S-1", 2, 0.20), ("S-2", 4, 0.25), ("S-3", 2, 0.16))


@cache
def drawn(seed: int, um_per_px: float) -> UInt8Image:
    return render_field(seed, RenderSettings(width=320, height=240, um_per_px=um_per_px)).image


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    """Read a table of an archive's results, in the order of its fields and cells."""
    read = ds.dataset(out / table, partitioning="hive").to_table().to_pylist()
    return sorted(read, key=lambda row: (row["source"], row.get("id")))


def write_archive(root: Path) -> None:
    seed = 0
    for folder, number, um_per_px in FOLDERS:
        (root / folder).mkdir(parents=True)
        for n in range(number):
            seed += 1
            Image.fromarray(drawn(seed, um_per_px)).save(root / folder / f"f{n}.png")
    (root / "S-1" / "f0.truth.json").write_text(json.dumps({"counts": {"wbc": 1, "blasts_whole": 0}}))
    (root / "S-2" / "bad.png").write_bytes((root / "S-2" / "f0.png").read_bytes()[:2000])
    mask = np.zeros((240, 320), np.uint8)
    mask[50:90, 60:120] = 255
    Image.fromarray(mask).save(root / "S-3" / "mask.png")
    (root / "notes.txt").write_text("not a field")


@pytest.fixture
def archive(tmp_path: Path, no_system_config: None) -> Path:
    write_archive(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def config(tiny_model: Path) -> Config:
    return Config().changed(model={"path": tiny_model, "threads": 1})
