"""The reference recipe: network and training as in the paper, and the paper's split with what it leaks."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest

from edge.errors import DataSetError, GateError, RuntimeMissingError
from training.backend import load_keras, make_repeatable
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol import random_split
from training.protocol.random_split import RandomSplit, at_random, repeated
from training.protocol.run import Judged
from training.recipes import akbar2024
from training.recipes.akbar2024 import Akbar2024
from training.report import paper


@pytest.fixture(scope="module")
def network() -> Any:
    make_repeatable(0)
    return akbar2024.network()


def offered(collection: Collection, blasts: int, normal: int, crops: int, patients: int = 0) -> Collection:
    """A collection with so many whole cells and crops; nothing is cut from it."""
    cell = next(cell for cell in collection.cells if cell.usable)
    crop = collection.crops[0]

    def cells(n: int, first: int, label: int, weak_label: int) -> list[CellRecord]:
        return [
            dataclasses.replace(
                cell, cell=dataclasses.replace(cell.cell, id=first + i), label=label, weak_label=weak_label
            )
            for i in range(n)
        ]

    records = cells(blasts, 1000, 1, 1) + cells(normal, 2000, 0, 0) + cells(patients, 3000, 0, 1)
    crop_records = [
        dataclasses.replace(record, label=i % 2) for i, record in enumerate(cells(crops, 4000, 0, 0))
    ]
    return dataclasses.replace(
        collection,
        cells=tuple(records),
        crops=tuple(dataclasses.replace(crop, record=record) for record in crop_records),
    )


def test_network_has_the_papers_layers_and_size(network: Any) -> None:
    assert network.count_params() == 552_002
    layers = {layer.name: layer for layer in network.layers}
    assert [
        (layers[f"conv{i}"].filters, layers[f"conv{i}"].kernel_size, layers[f"pool{i}"].pool_size)
        for i in (1, 2, 3)
    ] == [(32, (3, 3), (2, 2)), (64, (3, 3), (2, 2)), (128, (3, 3), (2, 2))]
    assert all(layers[f"conv{i}"].activation.__name__ == "relu" for i in (1, 2, 3))
    assert layers["scales"].output.shape == (None, 64 * 64 * 32 + 32 * 32 * 64 + 16 * 16 * 128)
    assert (layers["p"].units, layers["p"].activation.__name__) == (2, "softmax")
    assert network.input.shape == (None, 128, 128, 3)
    macs = 229_376 * 2  # the dense layer
    for layer in (layers[f"conv{i}"] for i in (1, 2, 3)):
        _, height, width, filters = layer.output.shape
        macs += height * width * filters * 9 * layer.input.shape[-1]
    assert round(macs / 1e6, 1) == 165.6


def test_rescaling_is_inside_the_graph(network: Any) -> None:
    keras = load_keras()
    inner = keras.Model(network.input, network.get_layer("rescale").output)
    crop = np.zeros((1, 128, 128, 3), np.float32)
    crop[0, 0, 0] = (255, 51, 0)
    np.testing.assert_allclose(np.asarray(inner(crop))[0, 0, 0], (1, -0.6, -1), atol=1e-6)
    assert np.asarray(network(crop)).sum() == pytest.approx(1, abs=1e-6)


def test_missing_tensorflow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        RuntimeMissingError, match=r"training needs TensorFlow.*pip install 'blastcount\[train\]'"
    ):
        load_keras()


def test_paper_figures_are_the_papers() -> None:
    assert [row[0] for row in paper.TABLE_1] == list(range(1, akbar2024.EPOCHS + 1))
    # Accuracies are of 482 crops: each is a whole number of them.
    for _, _, percent in paper.TABLE_1:
        assert abs(percent * 4.82 - round(percent * 4.82)) < 0.03


@pytest.mark.parametrize(
    ("blasts", "normal", "crops", "expected"),
    [
        (510, 300, 260, (161, 161)),
        (250, 90, 203, (161, 90)),
        (40, 300, 203, (40, 211)),
        (30, 20, 203, (30, 20)),
    ],
)
def test_cells_are_chosen_in_the_papers_proportion(
    collection: Collection, blasts: int, normal: int, crops: int, expected: tuple[int, int]
) -> None:
    """Half of them blasts; where one class has too few, the other fills up; non-blasts of patients never."""
    found = at_random(offered(collection, blasts, normal, crops, patients=50), 0)
    chosen = found.sample.cells[:-crops]
    assert (sum(c.label == 1 for c in chosen), sum(c.label == 0 for c in chosen)) == expected
    assert len({cell.key for cell in chosen}) == len(chosen)
    assert not [cell for cell in chosen if cell.label == 0 and cell.weak_label == 1]
    n = len(found.sample.cells)
    assert (len(found.split.judged), len(found.split.train)) == (
        round(n * 100 / 582),
        n - round(n * 100 / 582),
    )
    assert sorted(found.split.judged + found.split.train) == list(range(n))


def test_choice_and_split_are_the_seeds(collection: Collection) -> None:
    of_seed = [at_random(offered(collection, 200, 200, 100), seed) for seed in (0, 0, 1)]
    chosen = [[cell.key for cell in found.sample.cells] for found in of_seed]
    assert chosen[0] == chosen[1] != chosen[2]
    assert of_seed[0].split == of_seed[1].split != of_seed[2].split
    assert [found.seed for found in repeated(offered(collection, 9, 9, 20), 2**32 - 1, 2)] == [2**32 - 1, 0]


def test_what_cannot_be_split_is_refused(collection: Collection) -> None:
    for blasts, normal in ((0, 9), (9, 0)):
        with pytest.raises(DataSetError, match=f"gives {blasts} whole blasts and {normal} whole white cells"):
            at_random(offered(collection, blasts, normal, 10), 0)
    with pytest.raises(
        DataSetError, match="the test side of the split has 1 of 4 crops and not both classes"
    ):
        at_random(offered(collection, 1, 1, 2), 0)


def test_without_a_list_of_normal_cells_those_of_healthy_persons_are(collection: Collection) -> None:
    unmarked = [
        dataclasses.replace(cell, label=None) if cell.label == 0 else cell for cell in collection.cells
    ]
    found = at_random(dataclasses.replace(collection, cells=tuple(unmarked)), 0)
    chosen = found.sample.cells[: -len(collection.crops)]
    assert {(cell.label, cell.weak_label) for cell in chosen} == {(1, 1), (0, 0)}


def test_a_cell_on_both_sides_is_counted_and_refused(collection: Collection) -> None:
    """Every drawn crop of ALL-IDB2 is also a point of ALL-IDB1."""
    found = at_random(collection, 0)
    train, test = ({c.identity for c in found.side(side)} for side in (found.split.train, found.split.judged))
    assert found.leaked.sum() == sum(c.identity in train for c in found.side(found.split.judged)) > 0
    assert test & train
    with pytest.raises(
        GateError, match=f"{found.leaked.sum()} of {len(found.leaked)} test crops show a cell"
    ) as no:
        random_split.refuse_leakage([found])
    assert no.value.exit_code == 4
    random_split.refuse_leakage([at_random(offered(collection, 40, 40, 20), 0)])


def judged_by(collection: Collection, seed: int, cells: list[CellRecord], p_blast: list[float]) -> Any:
    sample = dataclasses.replace(collection, cells=tuple(cells))
    split = random_split.Split("random", 0, (), (), tuple(range(len(cells))))
    no_inner = np.zeros(0, np.float32)
    return RandomSplit(seed, sample, split), Judged(split, np.array(p_blast, np.float32), no_inner)


def test_sections_count_every_test(collection: Collection) -> None:
    cells = offered(collection, 2, 2, 0).cells
    a, c, b, d = (dataclasses.replace(cell, group=g) for cell, g in zip(cells, "ppqr", strict=True))
    found = random_split.sections(
        [
            judged_by(collection, 0, [a, b, c], [0.9, 0.1, 0.2]),
            judged_by(collection, 1, [a, d, b], [0.5, 0.9, 0.1]),
        ],
        {},
    )
    together = found["repeated_splits"]
    assert (together["splits"], together["different_cells"]) == (2, 4)
    assert (together["accuracy"]["k"], together["accuracy"]["n"], together["accuracy"]["groups"]) == (4, 6, 3)
    assert (together["sensitivity"]["k"], together["sensitivity"]["n"]) == (2, 3)  # 0.5 counts as blast
    assert (together["specificity"]["k"], together["specificity"]["n"]) == (2, 3)
    errors = [-np.log([0.9, 0.9, 0.2]).mean(), -np.log([0.5, 0.1, 0.9]).mean()]
    assert together["error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert together["error_range"] == pytest.approx(sorted(errors), rel=1e-5)
    assert together["accuracy_range"] == pytest.approx([2 / 3, 2 / 3])
    assert [(row["seed"], row["right"]) for row in together["each"]] == [(0, 2), (1, 2)]
    assert (found["held_back"]["accuracy"]["k"], found["held_back"]["error"]) == (2, pytest.approx(errors[0]))
    assert found["held_back"]["auc"] == 1.0


def test_the_interval_knows_that_splits_overlap(collection: Collection) -> None:
    """One scene that is wrong in every split widens it beyond what as many independent tests would have."""
    cells = [
        dataclasses.replace(cell, group=f"s{i // 4}", label=i % 2)
        for i, cell in enumerate(offered(collection, 40, 0, 0).cells)
    ]
    p = [0.9 if cell.label else 0.1 for cell in cells]
    p[:4] = [1 - value for value in p[:4]]
    tests = [judged_by(collection, seed, cells, p) for seed in range(5)]
    found = random_split.sections(tests, {})["repeated_splits"]["accuracy"]
    assert (found["k"], found["n"]) == (180, 200)
    assert found["ci95"][0] < 0.80  # the exact interval of 180 of 200 begins at 0.85


def test_it_learns_what_is_easy(collection: Collection, small: Akbar2024) -> None:
    """Of the cells that it is handed it takes blasts and normal cells of healthy persons."""
    cells = [cell for cell in collection.cells if cell.lab == "all-idb" and cell.usable]
    cells = [cell for cell in cells if cell.label is not None]
    train, labelled = cells[::2], cells[1::2]
    recipe = dataclasses.replace(small, epochs=12)
    fitted = recipe.fit(collection, train, 3)
    assert len(fitted.history) == recipe.epochs
    assert fitted.history[-1].error < fitted.history[0].error
    right = (fitted(labelled) >= 0.5) == np.array([cell.label == 1 for cell in labelled])
    assert right.mean() > 0.9
    assert not hasattr(fitted.model, "optimizer")  # never compiled
    # With every label turned round it learns the contrary: the negative control.
    turned = [dataclasses.replace(c, label=1 - c.label, weak_label=1 - c.weak_label) for c in train]
    p = recipe.fit(collection, turned, 3)(labelled)
    assert ((p >= 0.5) == np.array([cell.label == 1 for cell in labelled])).mean() < 0.1
