"""Cohen's kappa against a published table, a library, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from edge.results.agreement import agreement

WORDS = ("blast", "normal", "smudge", "not_a_cell")
words = st.sampled_from(WORDS)


def pairs_of(table: list[list[int]]) -> list[tuple[str, str]]:
    return [
        (WORDS[row], WORDS[column])
        for row, counts in enumerate(table)
        for column, count in enumerate(counts)
        for _ in range(count)
    ]


def test_cohens_own_example() -> None:
    """J. Cohen 1960, table 1 as proportions of 200: kappa .492, observed agreement .70, by chance .41."""
    both = agreement(pairs_of([[88, 14, 18], [10, 40, 10], [2, 6, 12]]))
    assert both.n == 200
    assert both.agreed / both.n == pytest.approx(0.70)
    assert both.kappa == pytest.approx(0.492, abs=5e-4)


@given(st.lists(st.tuples(words, words), min_size=2, max_size=60))
def test_as_scikit_learn_computes_it(pairs: list[tuple[str, str]]) -> None:
    both = agreement(pairs)
    first, second = zip(*pairs, strict=True)
    if len(set(first) | set(second)) == 1:
        assert both.kappa is None
        return
    assert both.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
    assert both.low is not None
    assert both.high is not None
    assert -1.0 <= both.low <= both.kappa + 1e-12
    assert both.kappa - 1e-12 <= both.high <= 1.0
    assert both.agreed == sum(one == other for one, other in pairs)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=60))
def test_the_order_of_the_observers_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    there, back = agreement(pairs), agreement([(second, first) for first, second in pairs])
    assert (there.kappa is None) == (back.kappa is None)
    if there.kappa is not None:
        assert (there.kappa, there.low, there.high) == pytest.approx((back.kappa, back.low, back.high))


def test_nothing_and_one_class_have_no_kappa() -> None:
    assert agreement([]).kappa is None
    assert agreement([("blast", "blast")] * 5).kappa is None


@pytest.mark.parametrize("cells", [20, 200])
@pytest.mark.parametrize("agreed", [0.99, 0.9, 0.7])
def test_the_interval_covers_in_simulation(cells: int, agreed: float) -> None:
    """1,000 readings by two observers, one cell in five a blast: the truth lies within in 95 % or more."""
    rng = np.random.default_rng(1)
    truth = np.array([[0.2 * agreed, 0.2 * (1 - agreed)], [0.8 * (1 - agreed), 0.8 * agreed]])
    chance = float(truth.sum(1) @ truth.sum(0))
    kappa = (float(np.trace(truth)) - chance) / (1.0 - chance)
    covered = readings = 0
    for counts in rng.multinomial(cells, truth.ravel(), size=1000):
        both = agreement(pairs_of(counts.reshape(2, 2).tolist()))
        if both.low is None or both.high is None:
            continue  # one class only
        readings += 1
        covered += both.low <= kappa <= both.high
    assert readings > 900
    # 95 % less twice the chance of 1,000 readings (0.7 points).
    assert covered / readings >= 0.936


def test_full_agreement_on_few_cells_is_no_certainty() -> None:
    both = agreement([("blast", "blast")] * 5 + [("normal", "normal")] * 15)
    assert both.kappa == 1.0
    assert both.low is not None
    assert both.low < 0.7
