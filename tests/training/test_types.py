"""The network of types: what is named, what chooses a threshold, and what may be offered."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import OutputError
from edge.structures import Cell
from training.data.cell_types import CLASSES, MATURE, NO_CLASS, classes_of
from training.data.records import CellRecord
from training.protocol import types as protocol
from training.protocol.types import NEVER, Named, choose_threshold, evaluate
from training.recipes import types as recipe
from training.report import types as report
from training.report.page import markdown


def cell(lab: str, name: str = "a", label: int | None = 0, cell_type: str | None = None) -> CellRecord:
    found = Cell(1, 50, 50, (40, 40, 20, 20), 300, 200, "wbc", touches_border=False)
    return CellRecord(f"{lab}/{name}", found, lab, lab, name, name, None, label, cell_type, "centre")


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (cell("jhu-aml", cell_type="neutrophil_band"), "neutrophil"),
        (cell("jhu-aml", cell_type="smudge", label=None), "debris"),
        (cell("jhu-aml", cell_type="plasma"), None),
        (cell("all-idb", label=1), "blast"),
        (cell("all-idb"), None),
        (cell("pbc", cell_type="ig"), "immature_granulocyte"),
        (cell("wbc-seg1", "001"), "lymphocyte"),
        (cell("wbc-seg1", "299"), "neutrophil"),
        (cell("wbc-seg2", "007"), "eosinophil"),
        (cell("wbc-seg2", "007", label=None), None),
        (cell("lisc", "baso_train_3", label=None), "basophil"),
        (cell("bccd"), None),
    ],
)
def test_kinds_are_those_of_the_data_sets(record: CellRecord, kind: str | None) -> None:
    assert classes_of([record]).tolist() == [NO_CLASS if kind is None else list(CLASSES).index(kind)]


def said(**by_lab: tuple[float, float]) -> Named:
    """Sixty cells of each type and of debris in each laboratory: share named rightly, and how surely."""
    parts = []
    for lab, (right, p) in by_lab.items():
        for kind in (*range(len(MATURE)), list(CLASSES).index("debris")):
            hit = np.arange(60) < 60 * right
            wrong = (kind + 1) % len(MATURE)
            parts.append((lab, kind, np.where(hit, kind, wrong), np.where(hit, p, 0.5)))
    return Named(
        np.repeat([lab for lab, *_ in parts], 60),
        np.array([f"{lab} {kind} {i}" for lab, kind, *_ in parts for i in range(60)]),
        np.repeat([kind for _, kind, *_ in parts], 60),
        np.concatenate([best for *_, best, _ in parts]),
        np.concatenate([p for *_, p in parts]),
    )


def test_a_network_that_is_right_is_offered_and_one_that_is_not_is_not() -> None:
    found = evaluate(said(a=(0.95, 0.9), b=(0.95, 0.9)))
    assert set(found["offered"]) == set(MATURE)
    assert found["mean_recall"] == pytest.approx(0.95)
    poor = evaluate(said(a=(0.95, 0.9), b=(0.7, 0.9)))
    assert poor["offered"] == {}
    assert poor["types"]["monocyte"]["recall"]["value"] == pytest.approx((0.95 + 0.7) / 2)


def test_a_laboratory_that_is_only_shown_decides_nothing() -> None:
    good = evaluate(said(a=(0.95, 0.9), b=(0.95, 0.9)))
    with_poor = evaluate(said(a=(0.95, 0.9), b=(0.95, 0.9), **{"wbc-seg1": (0.2, 0.9)}))
    assert with_poor["offered"] == good["offered"]
    assert with_poor["mean_recall"] == good["mean_recall"]
    shown = with_poor["types"]["monocyte"]["by_laboratory"]["wbc-seg1"]
    assert shown["value"] == pytest.approx(0.2)


def test_shuffled_labels_offer_nothing() -> None:
    honest = said(a=(0.95, 0.9), b=(0.95, 0.9))
    truth = np.random.default_rng(0).permutation(honest.truth)
    found = evaluate(replace(honest, truth=truth))
    assert found["offered"] == {}
    assert found["mean_recall"] < 0.3


def test_a_threshold_that_takes_all_names_away_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "choose_threshold", lambda *_: 0.95)
    found = evaluate(said(a=(0.95, 0.9), b=(0.95, 0.9)))
    assert found["offered"] == {}
    assert found["abstained"]["value"] == 1.0


def test_the_judged_laboratory_has_no_part_in_its_own_threshold() -> None:
    sure, unsure = said(a=(0.95, 0.9), b=(0.95, 0.9)), said(a=(0.95, 0.9), b=(0.5, 0.9))
    chosen = [evaluate(one)["types"]["lymphocyte"]["by_laboratory"] for one in (sure, unsure)]
    assert chosen[0]["b"]["threshold"] == chosen[1]["b"]["threshold"]
    assert chosen[0]["a"]["threshold"] != chosen[1]["a"]["threshold"]


def test_the_threshold_is_the_least_that_keeps_names_right() -> None:
    lymphocyte = 1  # what is wrong are neutrophils, which are twice as common
    assert choose_threshold(said(a=(0.95, 0.9)), lymphocyte) == 0.3
    # A third is wrong, at 0.5: below that too many names are.
    assert choose_threshold(said(a=(0.66, 0.9)), lymphocyte) == 0.55
    wrong = said(a=(0.66, 0.5))
    assert choose_threshold(wrong, lymphocyte) == NEVER
    assert choose_threshold(wrong, 0) == 0.3  # basophils, which are rare
    blasts = replace(wrong, truth=np.where(wrong.best == wrong.truth, wrong.truth, 8))
    assert choose_threshold(blasts, lymphocyte) == 0.3  # what is called a blast has no type of these


def test_the_report_shows_what_is_not_offered() -> None:
    found = evaluate(said(a=(0.95, 0.9), b=(0.7, 0.9)))
    document = found | {
        "left_out": [["a"], ["b"]],
        "shown_only": ["c"],
        "rule": {"least_recall": 0.85, "least_cells": 15},
        "trainings": 2,
        "cpu_s": 60,
        "seed": 0,
    }
    page = markdown("types", list(report.blocks(document)))
    assert "None is offered." in page
    assert "| monocyte | 0.825" in page
    assert "| a | monocyte |" in page


@dataclass
class Told:
    """Says that every cell is a monocyte, and counts how often it was trained."""

    fits: int = 0

    def fit(self, _collection: Any, _cells: Any, _seed: int) -> Any:
        self.fits += 1
        return lambda cells: np.tile(np.eye(len(CLASSES), dtype=np.float32)[2], (len(cells), 1))


@dataclass
class Labs:
    """A collection of nothing but cells."""

    cells: tuple[CellRecord, ...]


def test_a_stopped_run_goes_on_and_other_cells_are_judged_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    monkeypatch.setattr(recipe, "fit", told.fit)
    monkeypatch.setattr(recipe, "learnable", list)
    cells = tuple(
        cell(lab, f"{lab}{kind}{i}", cell_type=kind)
        for lab in ("jhu-aml", "pbc", "wbc-chula")
        for kind in ("monocyte", "neutrophil")
        for i in range(3)
    )
    first, _ = protocol.run(Labs(cells), tmp_path, 0)  # type: ignore[arg-type]
    assert told.fits == len(protocol.LEFT_OUT)
    assert (first.best == 2).all()
    assert first.truth.tolist().count(2) == 9
    again, _ = protocol.run(Labs(cells), tmp_path, 0)  # type: ignore[arg-type]
    assert told.fits == len(protocol.LEFT_OUT)
    assert again.p.tolist() == first.p.tolist()
    moved = (replace(cells[0], cell=replace(cells[0].cell, x=51)), *cells[1:])
    protocol.run(Labs(moved), tmp_path, 0)  # type: ignore[arg-type]
    assert told.fits == 2 * len(protocol.LEFT_OUT)
    (path, *_) = sorted(tmp_path.glob("*.json"))
    assert json.loads(path.read_text())["without"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give another --folds"):
        protocol.run(Labs(cells), tmp_path / "file", 0)  # type: ignore[arg-type]


def test_the_network_that_ships_is_the_one_that_was_trained_in_the_world_of_its_card() -> None:
    trained = recipe.network()
    crops = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype(np.float32)
    plain = recipe.without_norms(trained)
    odds = np.exp(np.asarray(trained(crops, training=False))) * [1, 1, 1, 1, 1, 1 / 2.1, 1 / 2.1, 2 / 3, 1]
    assert np.asarray(plain(crops)) == pytest.approx(odds / odds.sum(axis=1, keepdims=True), abs=1e-4)
    assert plain.count_params() < 200_000


def test_each_type_is_drawn_alike_and_few_cells_of_a_laboratory_seldom() -> None:
    cells = [cell("pbc", f"m{i}", cell_type="monocyte") for i in range(100)]
    cells += [cell("jhu-aml", f"m{i}", cell_type="monocyte") for i in range(6)]
    cells += [cell("pbc", f"b{i}", cell_type="basophil") for i in range(10)]
    members, chance = recipe._sources(cells, classes_of(cells))
    of = {(cells[own[0]].lab, cells[own[0]].cell_type): c for own, c in zip(members, chance, strict=True)}
    assert of["pbc", "basophil"] == pytest.approx(0.5)
    assert of["jhu-aml", "monocyte"] / of["pbc", "monocyte"] == pytest.approx(0.1)


def test_a_view_shows_the_cell_and_a_third_of_them_no_colour() -> None:
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(x - 40, y - 40)
    rgb = np.full((80, 80, 3), 235, np.uint8)
    rgb[distance < 16], rgb[distance < 9] = (215, 150, 150), (90, 60, 140)
    inside = [np.where(distance < radius, 255, 0).astype(np.uint8)[None] for radius in (16, 9)]
    red_cells = np.float32([[0.3, 0.75, 0.59]])
    views = recipe.TypeViews(rgb[None], *inside, red_cells=red_cells)
    rng = np.random.default_rng(0)
    made = [views.random(0, rng) for _ in range(60)]
    assert {view.shape for view in made} == {(48, 48, 3)}
    assert all((view[24, 24, 0] > 60) and not view[0, 0].any() for view in made)
    colourless = np.mean([np.isin(view[..., 1], (0, 80)).all() for view in made])
    assert 0.2 < colourless < 0.5
    unknown = replace(views, red_cells=red_cells * np.nan)
    assert np.isin(unknown.random(0, rng)[..., 1:], (0, 80, 128)).all()
