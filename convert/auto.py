"""``--recipe auto``: every recipe tried on calibration crops alone, the smallest that passes kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convert.backend import predict
from convert.draft import CardDraft
from convert.gate.crops import Crops, hold_out
from convert.gate.examine import Examination, examine
from convert.gate.verdict import LIMITS, Limits
from convert.quantize import quantise
from convert.recipes import RECIPES, Recipe
from edge.classification.interpreter import RuntimeName
from edge.errors import GateError, ModelError

if TYPE_CHECKING:
    import keras

AUTO = "auto"
#: In float32 nothing is quantised; it is there for comparison.
CANDIDATES = tuple(recipe for recipe in RECIPES.values() if recipe.precision != "float32")
#: Share of the calibration crops that the recipes are judged on among themselves.
TRIAL_SHARE = 1 / 3
#: Files within 0.1 % of the smallest are one size: int8 recipes differ by a name, int16 biases cost 0.7 %.
SAME_SIZE = 1.001


def choose_recipe(
    model: keras.Model,
    draft: CardDraft,
    calibration: Crops,
    *,
    candidates: Sequence[Recipe] = CANDIDATES,
    limits: Limits = LIMITS,
    runtimes: tuple[RuntimeName, ...] | None = None,
    tick: Callable[[str], None] = lambda stage: None,
) -> tuple[Recipe, tuple[Examination, ...]]:
    """Try recipes on a part of the calibration crops and judge them on the rest.

    The crops of the gate are not seen here: they judge the chosen recipe once, afterwards.

    Parameters
    ----------
    model : Keras model
    draft : its card
    calibration : crops that ranges may be measured on
    candidates : recipes to try
    limits : of the gate
    runtimes : interpreters to judge in; None for all that are installed
    tick : called with each stage's name when it begins

    Returns
    -------
    recipe : of those that pass in every interpreter the smallest; among files of one size the one whose 99th
        percentile of |Δp| is least in its worst interpreter
    trials : what came of each

    Raises
    ------
    GateError
        None passes.
    """
    fitted, judged = hold_out(calibration, TRIAL_SHARE, seed=0)
    keras_outputs = predict(model, judged.pixels)
    trials, failures = list[Examination](), list[str]()
    with tempfile.TemporaryDirectory(prefix="blastcount-") as folder:
        for recipe in candidates:
            path = Path(folder) / f"{recipe.name}.tflite"
            try:
                path.write_bytes(quantise(model, fitted.pixels, recipe, tick))
            except ModelError as error:
                failures.append(f"{recipe.name}: {error}")
                continue
            tick(f"{recipe.name}: trial")
            trials.append(
                examine(path, recipe, judged, keras_outputs, draft.decision, limits=limits, runtimes=runtimes)
            )
    passed = [trial for trial in trials if trial.verdict.passed]
    if not passed:
        failures += [
            f"{trial.recipe.name}: {next(f.name for f in trial.verdict.findings if f.passed is False)}"
            for trial in trials
        ]
        raise GateError(
            f"no recipe passes on {len(judged)} of the calibration crops, nothing was written: "
            f"{'; '.join(failures)}; give more calibration crops, or name a --recipe to see its figures"
        )
    smallest = min(len(trial.content) for trial in passed)
    best = min(
        (trial for trial in passed if len(trial.content) <= SAME_SIZE * smallest),
        key=lambda trial: max(parity.p99_delta_p for parity in trial.parities),
    )
    return best.recipe, tuple(trials)


def trial_lines(trials: Sequence[Examination], chosen: Recipe) -> list[dict[str, object]]:
    """Sum trials up, one entry a recipe, as they stand in card and report."""
    return [
        {
            "recipe": trial.recipe.name,
            "chosen": trial.recipe == chosen,
            "size_bytes": len(trial.content),
            "passed": trial.verdict.passed,
            "p99_delta_p": max((parity.p99_delta_p for parity in trial.parities), default=None),
            "max_delta_p": max((parity.max_delta_p for parity in trial.parities), default=None),
            "refused_for": [finding.name for finding in trial.verdict.findings if finding.passed is False],
        }
        for trial in trials
    ]
