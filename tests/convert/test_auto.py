"""The recipe that chooses: on calibration crops alone, the smallest that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from convert import auto
from convert.auto import CANDIDATES, choose_recipe, trial_lines
from convert.draft import CardDraft
from convert.gate.crops import Crops, refuse_overlap
from convert.gate.examine import examine
from convert.gate.verdict import Limits
from convert.recipes import PLAIN, RECIPES, REFINED
from edge.classification.card import Decision
from edge.errors import GateError, ModelError
from edge.structures import InputSpec

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

DRAFT = CardDraft(None, InputSpec(size_px=24), Decision())
FLOAT16 = RECIPES["float16"]


@pytest.fixture
def crops(discs: Callable[[int, int], Crops]) -> Crops:
    return discs(180, 13)


def test_the_smallest_that_passes_is_kept(toy_model: Any, crops: Crops) -> None:
    chosen, trials = choose_recipe(
        toy_model, DRAFT, crops, candidates=(FLOAT16, REFINED), runtimes=("ai_edge_litert",)
    )
    assert chosen == REFINED
    assert [trial.recipe for trial in trials] == [FLOAT16, REFINED]
    assert {parity.n for trial in trials for parity in trial.parities} == {60}
    lines = trial_lines(trials, chosen)
    assert [(line["recipe"], line["chosen"], line["passed"]) for line in lines] == [
        ("float16", False, True),
        ("refined", True, True),
    ]


def test_one_that_fails_is_not_kept_however_small(
    toy_model: Any, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits that only float meets: the smaller file is passed over."""
    strict = Limits(max_delta_p=0.0015, p99_delta_p=0.0015, mean_delta_p=0.001)
    chosen, trials = choose_recipe(
        toy_model, DRAFT, crops, candidates=(PLAIN, FLOAT16), limits=strict, runtimes=("ai_edge_litert",)
    )
    assert chosen == FLOAT16
    assert len(trials[0].content) < len(trials[1].content)
    assert "ai_edge_litert" in str(trial_lines(trials, chosen)[0]["refused_for"])


def test_of_one_size_the_most_faithful_is_kept(toy_model: Any, crops: Crops) -> None:
    chosen, trials = choose_recipe(
        toy_model, DRAFT, crops, candidates=(PLAIN, REFINED), runtimes=("ai_edge_litert",)
    )
    best = min(trials, key=lambda trial: trial.parities[0].p99_delta_p)
    assert trials[0].parities[0].p99_delta_p != trials[1].parities[0].p99_delta_p
    assert chosen == best.recipe


def test_none_that_passes_is_said_with_reasons(
    toy_model: Any, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: Any, pixels: Any, recipe: Any, tick: Any) -> bytes:
        if recipe == PLAIN:
            raise ModelError("TFLite has no Erf")
        return b"no file"

    monkeypatch.setattr(auto, "quantise", fail)
    with pytest.raises(
        GateError,
        match=r"no recipe passes on 60 of the calibration crops, nothing was written: "
        r"plain: TFLite has no Erf; refined: interpreters that open it",
    ):
        choose_recipe(toy_model, DRAFT, crops, candidates=(PLAIN, REFINED), runtimes=("ai_edge_litert",))


def test_recipes_are_judged_on_crops_that_they_were_not_fitted_to(
    toy_model: Any, crops: Crops, toy_tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def fitted(model: Any, pixels: Any, recipe: Any, tick: Any) -> bytes:
        seen["fitted"] = Crops(pixels, None, "fitted")
        return toy_tflite

    def judged(path: Any, recipe: Any, held: Crops, *args: Any, **options: Any) -> Any:
        seen["judged"] = held
        return examine(path, recipe, held, *args, **options)

    monkeypatch.setattr(auto, "quantise", fitted)
    monkeypatch.setattr(auto, "examine", judged)
    choose_recipe(toy_model, DRAFT, crops, candidates=(REFINED,), runtimes=("ai_edge_litert",))
    refuse_overlap(seen["fitted"], seen["judged"])
    assert set(seen["fitted"].hashes()) | set(seen["judged"].hashes()) == set(crops.hashes())


def test_everything_but_float32_is_a_candidate() -> None:
    assert {recipe.name for recipe in CANDIDATES} == set(RECIPES) - {"float32"}
