"""Corrections as one more laboratory: what nobody called normal is not learnt as normal."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from edge.errors import DataSetError
from edge.light.field import Field
from edge.results.dataset import CellReview, DatasetCell, DatasetField, add_fields, agreed_label, agreed_type
from edge.segmentation import segment
from edge.structures import Frame
from training import cli
from training.audit_cli import read_collection
from training.data import sources
from training.data.cache import Cache
from training.data.collection import Collection, collect, cut
from training.protocol.also import before_and_after, shipped_tests
from training.protocol.plan import plan
from training.protocol.recipe import check_enough
from training.recipes.akbar2024 import Akbar2024
from training.recipes.coloured import Coloured
from training.report import evaluation
from training.report.page import Table

Draw = Callable[..., Any]


def add(folder: Path, drawn: Any, sample: str, words: list[str | None]) -> None:
    """Add a drawn field whose whole white cells, in order, were called so."""
    found = segment(Field(Frame(drawn.image, "drawn", um_per_px=0.2)))
    whole = [cell.id for cell in found.cells if cell.kind == "wbc" and not cell.touches_border]
    said = dict(zip(whole, words, strict=True))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    cells = []
    for cell in found.cells:
        word: Any = said.get(cell.id)
        reviews = () if word is None else (CellReview("AK", word, at),)
        cells.append(
            DatasetCell(
                cell.id, cell.x, cell.y, cell.bbox, cell.area_px, cell.kind, cell.touches_border, False, None,
                None, agreed_label(reviews), reviews, agreed_type(reviews),
            )
        )  # fmt: skip
    buffer = io.BytesIO()
    Image.fromarray(drawn.image).save(buffer, "JPEG", quality=95)
    jpeg = buffer.getvalue()
    digest = hashlib.sha256(jpeg).hexdigest()
    height, width = drawn.image.shape[:2]
    add_fields(
        folder,
        [
            (
                DatasetField(
                    "blastcount.dataset/1", digest, digest, width, height, 0.2, "configured", sample, "blood",
                    "pi", {}, tuple(cells),
                ),
                jpeg,
            )
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def corrected(draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Two folders: a sample of nine drawn blasts, one of them called normal, and two looked at as a whole."""
    root = tmp_path_factory.mktemp("own")
    for seed in (61, 62, 63):
        words: list[str | None] = ["lymphocyte", None, None] if seed == 61 else [None, None, None]
        add(root / "a", draw(seed, blasts=True), "S-1", words)
    for sample, seed in (("S-2", 70), ("S-3", 80)):
        for i in range(2):
            add(root / "b", draw(seed + i, blasts=True), sample, ["blast"] * 3)
            add(root / "b", draw(seed + 5 + i, blasts=False), sample, ["normal", "normal", "not_a_cell"])
    return collect(root, Cache(tmp_path_factory.mktemp("cache")))


def test_what_nobody_called_normal_is_not_learnt_as_normal(corrected: Collection) -> None:
    """Of one cell that was called normal the eight blasts around it were once made normal, too."""
    cells = [cell for cell in corrected.cells if cell.usable and cell.session == "own/S-1"]
    assert len(cells) == 9
    assert Counter(Coloured().targets(cells)) == {0.0: 1, None: 8}
    assert Counter(Akbar2024().targets(cells))[None] == 9  # the paper's data alone
    assert {cell.weak_label for cell in cells} == {None}
    assert Counter(cell.cell_type for cell in cells) == {"lymphocyte": 1, None: 8}  # a type says normal, too


def test_all_folders_are_read_and_a_sample_stays_together(corrected: Collection) -> None:
    assert [path.name for path in sources.own_folders(corrected.root)] == ["a", "b"]
    assert [path.name for path in sources.own_folders(corrected.root / "b")] == ["b"]
    assert sources.present(corrected.root) == ("own",)
    usable = [cell for cell in corrected.cells if cell.usable]
    assert Counter((cell.session, cell.label) for cell in usable) == {
        ("own/S-1", 0): 1, ("own/S-1", None): 8, ("own/S-2", 1): 6, ("own/S-2", 0): 4, ("own/S-2", None): 2,
        ("own/S-3", 1): 6, ("own/S-3", 0): 4, ("own/S-3", None): 2,
    }  # fmt: skip
    assert len({cell.group for cell in usable}) == 3
    assert {field.um_per_px for field in corrected.fields.values()} == {0.2}
    assert {split.test for split in plan(corrected, ("own",))} == {"scene", "session"}


def test_too_few_cells_are_refused_by_name(corrected: Collection, tmp_path: Path) -> None:
    cells = [cell for cell in corrected.cells if cell.usable]
    message = r"coloured .* 9 normal cells found \(own: 9\), 10 needed; nothing is known of 12 \(own: 12\)"
    with pytest.raises(DataSetError, match=message):
        check_enough(Coloured(), cells)
    check_enough(Coloured(), [*cells, *(cell for cell in cells if cell.label == 0)])
    options = ["--cache", str(corrected.cache.folder), "--out", str(tmp_path / "out")]
    for recipe, root, wanted in (
        ("coloured", corrected.root / "a", "0 blasts found (none in any data set), 10 needed"),
        ("akbar2024", corrected.root, "holds own, but the recipe learns from all-idb"),
    ):
        result = CliRunner().invoke(cli.train, ["--recipe", recipe, "--data", str(root), *options])
        assert isinstance(result.exception, DataSetError)
        assert wanted in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_corrections_beside_the_data_folder_are_learnt_from_too(
    corrected: Collection, draw: Draw, tmp_path: Path
) -> None:
    add(tmp_path / "stick", draw(90, blasts=True), "S-9", ["blast"] * 3)
    found = read_collection(
        corrected.root, corrected.cache, ("own",), (tmp_path / "stick", corrected.root / "b")
    )
    assert len(found.fields) == len(corrected.fields) + 1  # what is in two folders is there once
    (new,) = set(found.fields) - set(corrected.fields)
    assert found.source(new) == f"stick/fields/{found.fields[new].path.name}"
    assert len(cut(found, [cell for cell in found.cells if cell.field == new], Coloured().spec)) >= 3
    with pytest.raises(DataSetError, match="holds no corrections"):
        read_collection(corrected.root, corrected.cache, ("own",), (tmp_path / "no",))
    for recipe, said in (
        ("akbar2024", "learns from all-idb alone"),
        ("types", "--also: of recipes of blasts"),
    ):
        options = [
            "--data",
            str(corrected.root),
            "--out",
            str(tmp_path / "out"),
            "--also",
            str(tmp_path / "stick"),
        ]
        result = CliRunner().invoke(cli.train, ["--recipe", recipe, *options])
        assert (result.exit_code, said in result.output) == (2, True), result.output


def test_before_is_what_was_counted_and_after_what_networks_say_that_had_not_seen_the_sample(
    corrected: Collection, tmp_path: Path
) -> None:
    figures = {"blasts_called_blast": {"value": 0.9}, "normal_called_blast": {"value": 0.1}}
    mature = {"pbc": {"figures": {"called_blast": {"value": 0.05}}}}
    now = {"tests": [{"test": "session", "own": {"figures": figures}, "mature": mature}, {"test": "lab:pbc"}]}
    shipped = shipped_tests("coloured")
    assert {"session", "lab:pbc"} <= {test["test"] for test in shipped}
    pairs = list(before_and_after(now, shipped, sources.own_folders(corrected.root)))
    assert [(pair["test"], pair["laboratory"], pair["figure"]) for pair in pairs] == [
        ("session", "own", "blasts called blast"),
        ("session", "own", "others called blast"),
        ("session", "pbc", "mature cells called blast"),
    ]
    # No program had counted these fields: nothing is said of before, rather than 0.
    assert pairs[0]["before"]["value"] is None
    assert [pair["after"]["value"] for pair in pairs] == [0.9, 0.1, 0.05]
    recorded = next(test for test in shipped if test["test"] == "session")["mature"]["pbc"]
    assert pairs[2]["before"] == recorded["figures"]["called_blast"]


def test_the_page_of_an_evaluation_has_before_and_after() -> None:
    """Whoever has only the folder of a training sees it, too."""
    document = json.loads(
        (Path(__file__).parents[2] / "docs" / "evaluation-coloured.json").read_text("utf-8")
    )
    figure = document["goals"][0]["figure"]
    pair = {"test": "session", "laboratory": "own", "figure": "blasts called blast"}
    with_own = document | {"before_and_after": [pair | {"before": figure, "after": figure}]}
    (table,) = [
        block
        for block in evaluation.blocks(with_own)
        if isinstance(block, Table) and "before" in block.header and block.rows
    ]
    assert table.rows[0][:3] == ("session", "own", "blasts called blast")
