"""``blastcount compare``: two models on the pictures that samples have kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.classification.card import Decision, load_bundle
from edge.errors import LogError
from edge.structures import CellRef
from tests.edge.commands.invoking import CountCommand, blastcount

SCALE = ("--um-per-px", "0.2")


@pytest.fixture
def own(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny network with a card that calls nothing a blast below 0.9."""
    folder = tmp_path / "stick"
    folder.mkdir()
    for suffix in (".tflite", ".golden.npz", ".field.npz"):
        shutil.copy(f"{tiny_model}{suffix}", folder / f"own{suffix}")
    card = replace(load_bundle(tiny_model).card, name="own", decision=Decision(0.95, 0.9, 0.96, 1.5))
    (folder / "own.json").write_text(card.to_json())
    return folder / "own"


@pytest.fixture
def log_path(count: CountCommand, tmp_path: Path) -> Path:
    count.configure(f'[model]\npath = "{count.model}"\n[log]\npath = "blood.db"\n')
    path = tmp_path / "blood.db"
    with BloodLog.open(path) as log:
        log.open_sample("S-1", "blood", 200)
    assert count("--log", path, "--sample", "S-1", *SCALE, count.folder).exit_code == 0
    with BloodLog.open(path) as log:
        (row,) = log.fields()
        blasts = [found.cell.id for found in row.result.cells if found.label == "blast"]
        assert blasts
        log.add_reviews({CellRef(row.id, number): "normal" for number in blasts}, "AK")
    return path


def test_a_model_beside_itself_changes_nothing(log_path: Path, tiny_model: Path) -> None:
    found = json.loads(blastcount("compare", tiny_model, tiny_model, "--json").stdout)
    assert found["changed"] == []
    with BloodLog.open(log_path, read_only=True) as log:
        (row,) = log.fields()
    whole = [c for c in row.result.cells if c.cell.kind == "wbc" and not c.cell.touches_border]
    (sample,) = found["samples"].values()
    # The picture is counted as it was kept, so that cells and calls are those of the row.
    assert sample["cells"] == len(whole)
    assert sample["blasts"] == [sum(c.label == "blast" for c in whole)] * 2
    assert sample["agreeing"] == [0, 0]


def test_what_changes_is_listed_with_pictures(
    log_path: Path, own: Path, tiny_model: Path, tmp_path: Path
) -> None:
    before = log_path.read_bytes()
    page = tmp_path / "compare.html"
    said = blastcount("compare", tiny_model, own, "--html", page)
    assert said.exit_code == 0, said.output
    found = json.loads(blastcount("compare", tiny_model, own, "--json").stdout)
    changed = found["changed"]
    assert changed
    assert {one["words"][0] for one in changed} <= {"blast", "uncertain"}
    assert all(one["person"] == "normal" for one in changed if one["words"][0] == "blast")
    (sample,) = found["samples"].values()
    assert sample["agreeing"][1] >= sample["agreeing"][0]
    assert f"{len(changed)} calls change" in said.stdout
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == len(changed)
    assert "http" not in html
    assert "research use only" in html
    assert log_path.read_bytes() == before


def test_what_cannot_be_compared_is_named(
    log_path: Path, own: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with BloodLog.open(log_path) as log:
        (row,) = log.fields()
    (log_path.parent / "pictures" / (row.image_sha256 or "")[:2] / f"{row.image_sha256}.jpg").unlink()
    assert "no stored picture: 1" in blastcount("compare", tiny_model, own).stdout
    golden = own.with_suffix(".golden.npz")
    golden.write_bytes(golden.read_bytes()[:-1] + b"x")
    result = blastcount("compare", tiny_model, own)
    assert (result.exit_code, "golden" in result.stderr) == (3, True)
    with BloodLog.open(tmp_path / "new.db"), pytest.raises(LogError, match="no sample has been counted"):
        blastcount("--debug", "compare", tiny_model, tiny_model, "--log", tmp_path / "new.db")
