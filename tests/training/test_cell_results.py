"""What a recipe of cells leaves: every file, true hashes, crops never trained on, the card's words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.classification.card import Decision
from edge.errors import OutputError
from edge.structures import InputSpec
from training.backend import load_keras
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.data.records import CellRecord
from training.protocol.evaluation import evaluate
from training.report import cardpage, cell_results


class Mean:
    """A recipe with a real network of no use: the mean of the crop."""

    name = "mean"
    spec = InputSpec(size_px=16)
    labs: tuple[str, ...] = ("all-idb",)

    def version(self) -> str:
        return "1"

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int, tick: Any) -> Any:
        return FittedMean()


class FittedMean:
    def __init__(self) -> None:
        keras = load_keras()
        crop = keras.Input((16, 16, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(crop)
        self.model = keras.Model(crop, keras.layers.Dense(2, activation="softmax")(pooled))

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        return np.array([0.9 if cell.label == 1 else 0.2 for cell in cells], np.float32)


@pytest.fixture(scope="module")
def collection(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return collect(tree.root, Cache(tmp_path_factory.mktemp("cache")))


def test_every_file_is_there_and_the_card_knows_it(collection: Collection, tmp_path: Path) -> None:
    recipe = Mean()
    evaluated = evaluate(collection, recipe)
    out = tmp_path / "out"
    cell_results.write(out, collection, recipe, FittedMean(), evaluated, seed=0, force=False)
    assert {path.name for path in out.iterdir()} == set(cell_results.FILES)
    card = json.loads((out / "card.json").read_text("utf-8"))
    for name, digest in card["training"]["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert card["evaluation"]["calls"]["blast"]["n"] == 18
    assert card["decision"]["threshold"] == pytest.approx(evaluated.decision.threshold, abs=1e-4)
    page = (out / "card.md").read_text("utf-8")
    assert page == cardpage.as_markdown(card)
    assert "by session: sensitivity" in page
    for limit in card["limits"]:
        assert limit in page
    assert str(collection.root) not in (out / "manifest.json").read_text("utf-8") + page

    with np.load(out / "crops.npz", allow_pickle=False) as crops:
        assert crops["train_crops"].shape == (36, 16, 16, 3)
        assert not set(crops["train_sha256"]) & set(crops["test_sha256"])
        assert crops["test_p_blast"].shape == crops["test_labels"].shape

    with pytest.raises(OutputError, match="--force replaces them"):
        cell_results.write(out, collection, recipe, FittedMean(), evaluated, seed=0, force=False)


def test_the_offset_of_the_logits_is_in_the_model(collection: Collection, tmp_path: Path) -> None:
    # As dark as this, the untrained network is sure of neither class, and its logit can be read.
    crops = np.random.default_rng(0).random((3, 16, 16, 3)).astype(np.float32)
    fitted = FittedMean()
    before = np.asarray(fitted.model(crops))
    evaluated = evaluate(collection, Mean())
    evaluated = dataclasses.replace(evaluated, decision=dataclasses.replace(evaluated.decision, offset=0.7))
    card = cell_results.write(tmp_path / "out", collection, Mean(), fitted, evaluated, seed=0, force=False)
    assert card["training"]["offset_in_last_bias"] == 0.7
    assert "offset" not in card["decision"]
    after = np.asarray(load_keras().models.load_model(tmp_path / "out" / "model.keras")(crops))
    moved = np.log(after[:, 1] / after[:, 0]) - np.log(before[:, 1] / before[:, 0])
    np.testing.assert_allclose(moved, 0.7, atol=1e-4)


def test_what_was_not_evaluated_says_so(collection: Collection) -> None:
    card = cell_results.card(collection, Mean(), FittedMean(), None, seed=0, files={})
    assert card["evaluation"] == {}
    assert card["decision"]["threshold"] == Decision().threshold
    page = cardpage.as_markdown(card)
    assert "The leak-free protocol over all laboratories was not run." in page
    assert "its threshold and its probabilities mean nothing yet" in page


def test_a_goal_that_is_missed_is_among_the_limits(collection: Collection) -> None:
    evaluated = evaluate(collection, Mean())
    goal = next(goal for goal in evaluated.document["goals"] if goal["name"] == "by scene: sensitivity")
    before = cell_results.limits(evaluated)
    assert not any("by scene: sensitivity" in limit for limit in before)
    goal["reached"] = False
    assert any("Below its goal: by scene: sensitivity" in limit for limit in cell_results.limits(evaluated))
