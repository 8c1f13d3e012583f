"""The random split repeated: other seeds, every test counted, the first split's network kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.crops import CropSet, LabelledCrop
from training.protocol.accuracy import evaluate
from training.recipes import akbar2024, akbar2024_splits
from training.recipes.akbar2024 import Epoch, Outcome
from training.report import cardpage


def crop(number: int, label: int, scene: str) -> LabelledCrop:
    """A crop that is easy to tell: blasts dark, normal cells bright."""
    pixels = np.random.default_rng(number).integers(0, 100, (32, 32, 3)) + 120 * (1 - label)
    return LabelledCrop(
        pixels.astype(np.uint8), label, "xyc", "im", scene, label, number, 0.0, 0.1, scene, 100.0 * number,
        0.0, None,
    )  # fmt: skip


def offered() -> CropSet:
    """Twelve blasts and twelve normal cells, two a scene, and as many ALL-IDB2 crops of other scenes."""
    idb1 = tuple(crop(i, i % 2, f"s{i % 2}{i // 4}") for i in range(24))
    return CropSet(idb1, tuple(crop(100 + i, i % 2, f"t{i % 2}{i // 4}") for i in range(24)), {})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on crops of 32 px."""
    monkeypatch.setattr(akbar2024, "SPEC", dataclasses.replace(akbar2024.SPEC, size_px=32))


@pytest.mark.usefixtures("small")
def test_each_further_split_is_the_run_of_the_next_seed() -> None:
    crop_set, ticks = offered(), list[None]()
    outcome = akbar2024.run(crop_set, seed=7, epochs=1, leak_free=False)
    tests = akbar2024_splits.repeat(crop_set, outcome, 3, tick=lambda: ticks.append(None))
    assert [test.seed for test in tests] == [7, 8, 9]
    assert len(ticks) == 2  # the first split is not trained again
    again = akbar2024.run(crop_set, seed=9, epochs=1, leak_free=False)
    np.testing.assert_array_equal(tests[2].p_blast, again.p_blast)
    assert [c.sha256 for c in tests[2].held_back] == [
        c.sha256 for c, is_test in zip(again.crops, again.is_test, strict=True) if is_test
    ]
    assert tests[2].last_epoch == again.history[-1]
    assert tests[0].evaluation == outcome.evaluation
    sides = [{c.sha256 for c in test.held_back} for test in tests]
    assert sides[0] != sides[1] != sides[2]


def outcome_of(seed: int, crops: list[LabelledCrop], p_blast: list[float]) -> Outcome:
    """An outcome whose test side are these crops, of 40 more that were trained on."""
    p = np.array(p_blast, np.float32)
    found = evaluate(np.array([c.label for c in crops]), p)
    trained = tuple(crop(1000 + i, i % 2, "other") for i in range(40))
    is_test = np.array([True] * len(crops) + [False] * 40)
    model: Any = None
    return Outcome(
        (*crops, *trained), is_test, model, (Epoch(1, 0.5, 0.8),), p, found, 1, found, found.accuracy, None,
        seed, 1,
    )  # fmt: skip


def pooled_of(monkeypatch: pytest.MonkeyPatch, *further: Outcome) -> dict[str, Any]:
    first, others = further[0], list(further[1:])
    monkeypatch.setattr(akbar2024, "run", lambda *_, **__: others.pop(0))
    return akbar2024_splits.pooled(akbar2024_splits.repeat(CropSet((), (), {}), first, len(further)))


def test_pooled_figures_count_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c, d = crop(0, 1, "p"), crop(1, 0, "q"), crop(2, 1, "p"), crop(3, 0, "r")
    found = pooled_of(
        monkeypatch, outcome_of(0, [a, b, c], [0.9, 0.1, 0.2]), outcome_of(1, [a, d, b], [0.8, 0.9, 0.1])
    )
    assert (found["splits"], found["different_crops"]) == (2, 4)
    assert (found["accuracy"]["k"], found["accuracy"]["n"], found["accuracy"]["groups"]) == (4, 6, 3)
    assert (found["sensitivity"]["k"], found["sensitivity"]["n"]) == (2, 3)
    assert (found["specificity"]["k"], found["specificity"]["n"]) == (2, 3)
    errors = [-np.log([0.9, 0.9, 0.2]).mean(), -np.log([0.8, 0.1, 0.9]).mean()]
    assert found["error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert found["error_range"] == pytest.approx(sorted(errors), rel=1e-5)
    assert found["accuracy_range"] == pytest.approx([2 / 3, 2 / 3])
    assert found["cell_also_in_training"] == 2
    assert [(row["seed"], row["train"], row["test"], row["right"]) for row in found["each"]] == [
        (0, 40, 3, 2), (1, 40, 3, 2),
    ]  # fmt: skip
    assert "6 tests of 4 different crops in 2 random splits that overlap" in found["text"]


def test_the_interval_knows_that_splits_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """One scene that is wrong in every split widens it beyond what as many independent tests would have."""
    crops = [crop(i, i % 2, f"s{i // 4}") for i in range(40)]
    p = [0.9 if c.label else 0.1 for c in crops]
    p[:4] = [1 - value for value in p[:4]]
    found = pooled_of(monkeypatch, *(outcome_of(seed, crops, p) for seed in range(5)))
    low, high = found["accuracy"]["ci95"]
    assert (found["accuracy"]["k"], found["accuracy"]["n"]) == (180, 200)
    assert low < 0.80  # the exact interval of 180 of 200 begins at 0.85
    assert high == 1.0


def test_seeds_stay_within_what_the_command_takes() -> None:
    assert akbar2024_splits.seeds(2**32 - 1, 2) == (2**32 - 1, 0)


def test_card_shows_each_split(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    card = json.loads((repository / "edge/classification/models" / "akbar2024.json").read_text("utf-8"))
    a, b = crop(0, 1, "p"), crop(1, 0, "q")
    found = pooled_of(monkeypatch, outcome_of(4, [a, b], [0.9, 0.1]), outcome_of(5, [a, b], [0.2, 0.1]))
    card["evaluation"]["repeated_splits"] = found
    page = cardpage.as_markdown(card)
    assert "| random splits together, leak | accuracy | 0.750 (3/4) |" in page
    assert "| 4 | 1.000 (2/2) |" in page
    assert "| 5 | 0.500 (1/2) |" in page
    del card["evaluation"]["repeated_splits"]
    assert "random splits together" not in cardpage.as_markdown(card)
