from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from edge.errors import DataSetError
from training.data.crops import CropSet, LabelledCrop
from training.recipes import akbar2024


def crop(
    number: int, label: int, *, scene: str | None = None, field_label: int | None = None
) -> LabelledCrop:
    """A crop that is easy to tell: blasts dark, normal cells bright."""
    pixels = np.random.default_rng(number).integers(0, 100, (32, 32, 3)).astype(np.uint8) + 120 * (1 - label)
    where = scene or f"s{number}_{label}"
    patient = label if field_label is None else field_label
    return LabelledCrop(
        pixels.astype(np.uint8),
        label,
        "xyc",
        "im",
        where,
        patient,
        number,
        0.0,
        0.1,
        where,
        100.0 * number,
        0.0,
        None,
    )


def crop_set(blasts: int, normal: int, idb2: int, patients_others: int = 0) -> CropSet:
    idb1 = [crop(i, 1) for i in range(blasts)] + [crop(1000 + i, 0) for i in range(normal)]
    idb1 += [crop(2000 + i, 0, field_label=1) for i in range(patients_others)]
    return CropSet(tuple(idb1), tuple(crop(3000 + i, i % 2) for i in range(idb2)), {})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on crops of 32 px, and few networks: every one costs seconds before its first epoch."""
    monkeypatch.setattr(akbar2024, "SPEC", dataclasses.replace(akbar2024.SPEC, size_px=32))
    monkeypatch.setattr(akbar2024, "FOLDS", 2)


def test_paper_figures_are_the_papers() -> None:
    assert len(akbar2024.PAPER_TABLE_1) == akbar2024.EPOCHS == 20
    assert [row[0] for row in akbar2024.PAPER_TABLE_1] == list(range(1, 21))
    # Accuracies are of 482 crops: each is a whole number of them.
    for _, _, percent in akbar2024.PAPER_TABLE_1:
        assert abs(percent * 4.82 - round(percent * 4.82)) < 0.03


def test_whole_data_set_gives_the_papers_numbers() -> None:
    chosen = akbar2024.choose(crop_set(510, 300, 260), seed=0)
    assert len(chosen) == 582
    assert Counter(c.label for c in chosen[:322]) == {0: 161, 1: 161}
    is_test = akbar2024.split(chosen, seed=0)
    assert (int(is_test.sum()), int((~is_test).sum())) == (100, 482)


@pytest.mark.parametrize(
    ("blasts", "normal", "expected"), [(250, 90, (161, 90)), (40, 300, (40, 211)), (30, 20, (30, 20))]
)
def test_where_one_class_has_too_few_the_other_fills_up(
    blasts: int, normal: int, expected: tuple[int, int]
) -> None:
    chosen = akbar2024.choose(crop_set(blasts, normal, 203), seed=0)[:-203]
    assert (sum(c.label for c in chosen), sum(1 - c.label for c in chosen)) == expected
    assert len({c.sha256 for c in chosen}) == len(chosen)


def test_non_blasts_of_patients_are_not_chosen() -> None:
    chosen = akbar2024.choose(crop_set(20, 20, 20, patients_others=50), seed=0)
    assert not [c for c in chosen if c.label == 0 and c.field_label == 1]


def test_choice_and_split_are_the_seeds() -> None:
    offered = crop_set(200, 200, 100)
    first = [akbar2024.choose(offered, seed) for seed in (0, 0, 1)]
    hashes = [[c.sha256 for c in chosen] for chosen in first]
    assert hashes[0] == hashes[1] != hashes[2]
    splits = [akbar2024.split(first[0], seed).tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(("blasts", "normal"), [(0, 9), (9, 0)])
def test_class_that_is_not_there_is_refused(blasts: int, normal: int) -> None:
    message = f"gives {blasts} whole blasts and {normal} whole white cells of healthy persons"
    with pytest.raises(DataSetError, match=message):
        akbar2024.choose(crop_set(blasts, normal, 10), seed=0)


def test_split_that_lacks_a_class_is_refused() -> None:
    with pytest.raises(
        DataSetError, match="the test side of the split has 1 of 3 crops and not both classes"
    ):
        akbar2024.split([crop(1, 1), crop(2, 0), crop(3, 0)], seed=0)


@pytest.mark.usefixtures("small")
def test_run_learns_what_is_easy_and_counts_what_leaks() -> None:
    offered = crop_set(40, 40, 0, patients_others=7)
    # Every ALL-IDB2 crop is a copy of an ALL-IDB1 crop, so that a random split must leak.
    offered = dataclasses.replace(offered, idb2=offered.idb1[:60])
    ticks: list[None] = []
    outcome = akbar2024.run(offered, seed=3, epochs=4, tick=lambda: ticks.append(None))
    assert len(ticks) == 4 * (1 + akbar2024.FOLDS)
    assert [epoch.number for epoch in outcome.history] == [1, 2, 3, 4]
    assert outcome.history[-1].error < outcome.history[0].error
    assert outcome.evaluation.accuracy.value == 1.0
    held_back = {c.sha256 for c, test in zip(outcome.crops, outcome.is_test, strict=True) if test}
    both = [
        c
        for c, test in zip(outcome.crops, outcome.is_test, strict=True)
        if not test and c.sha256 in held_back
    ]
    assert outcome.leaked == len({c.sha256 for c in both}) > 0
    assert outcome.unleaked.accuracy.n == outcome.is_test.sum() - outcome.leaked
    assert outcome.patients_non_blasts.n == 7
    assert outcome.scene_test is not None
    assert outcome.scene_test.evaluation.accuracy.n == len(outcome.crops)
    assert not hasattr(outcome.model, "optimizer")  # never compiled


@pytest.mark.usefixtures("small")
def test_run_with_shuffled_labels_does_not_shine() -> None:
    """Where labels say nothing, the test by scenes must say so: no cell of a test scene was trained on."""
    random = np.random.default_rng(0)
    shuffled = []
    for number in range(80):
        one = crop(number, int(random.integers(2)), field_label=0)
        shuffled.append(dataclasses.replace(one, label=number % 2, field_label=number % 2))
    # Each ALL-IDB2 crop is a copy in the same scene: it would be recognised if scenes were torn apart.
    offered = CropSet(tuple(shuffled), tuple(shuffled), {})
    outcome = akbar2024.run(offered, seed=0, epochs=4)
    assert outcome.scene_test is not None
    low, high = 0.3, 0.7  # 50 % expected; two standard deviations of 80 independent crops are 11 %
    assert low < (outcome.scene_test.evaluation.accuracy.value or 0) < high


@pytest.mark.usefixtures("small")
def test_same_seed_gives_the_same_weights() -> None:
    offered = crop_set(20, 20, 20)
    first, second, third = (akbar2024.run(offered, seed=s, epochs=1, leak_free=False) for s in (0, 0, 1))
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.model.get_weights()[0], third.model.get_weights()[0])
    np.testing.assert_array_equal(first.p_blast, second.p_blast)
    assert first.scene_test is None


@pytest.mark.usefixtures("small")
def test_too_few_scenes_are_refused() -> None:
    idb1 = [crop(i, 1, scene="p0") for i in range(20)] + [crop(100 + i, 0) for i in range(20)]
    offered = CropSet(tuple(idb1), (crop(500, 1, scene="p0"), crop(501, 0)) * 8, {})
    with pytest.raises(DataSetError, match=r"needs 2 scenes with each class, got 1; .*--no-leak-free"):
        akbar2024.run(offered, seed=0, epochs=1)
