"""Shares of drawn cells: weighted, with intervals that hold the truth, and SciPy where it has an answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge.verification.estimate import ReadCells, rate, student_t
from tests.tools.simulated_laboratories import laboratory, simulate, verified


def cells(sample: list[int], stratum: list[int], weight: list[float], called: list[bool]) -> ReadCells:
    return ReadCells(np.array(sample), np.array(stratum), np.array(weight), np.array(called))


@pytest.mark.parametrize("freedom", [2.5, 4.0, 9.0, 30.0, 200.0])
def test_student_s_t_is_scipy_s(freedom: float) -> None:
    assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)


def test_one_stratum_of_many_samples_gives_jeffreys_interval() -> None:
    # A cell a sample, and all were read: nothing is left of drawing and clusters but Student's t for 400.
    n, k = 400, 360
    called = np.arange(n) < k
    both = cells(list(range(n)), [int(not own) for own in called], [1.0] * n, called.tolist())
    found = rate(both, np.ones(n), called)
    assert found is not None
    assert (found.share, found.n) == (0.9, n)
    low, high = stats.beta.ppf([0.025, 0.975], k + 0.5, n - k + 0.5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)
    assert found.effective_n == pytest.approx(n, rel=0.15)


def test_the_share_is_weighted_by_hand() -> None:
    # 10 of 10 called blasts are; of 90 others 30 were read, 3 are blasts: 10 / (10 + 9).
    called = [True] * 10 + [False] * 30
    blast = np.array([1.0] * 10 + [1.0] * 3 + [0.0] * 27)
    both = cells([0, 1] * 20, [0] * 10 + [1] * 30, [1.0] * 10 + [3.0] * 30, called)
    found = rate(both, blast, np.array(called))
    assert found is not None
    assert found.share == pytest.approx(10 / 19)
    assert found.n == 13
    assert found.low < 10 / 19 < found.high
    assert rate(both, np.zeros(40), np.array(called)) is None


def test_a_stratum_without_a_blast_may_still_hold_some() -> None:
    called = [True] * 50 + [False] * 50
    blast = np.array([1.0] * 50 + [0.0] * 50)
    few, many = (
        rate(
            cells(list(range(100)), [0] * 50 + [1] * 50, [1.0] * 50 + [of] * 50, called),
            blast,
            np.array(called),
        )
        for of in (1.0, 100.0)
    )
    assert few is not None
    assert many is not None
    assert few.share == many.share == 1.0
    # 50 of 5,000 were read: 60 missed blasts beside the 50 would go unseen half of the time.
    assert few.low > 0.9
    assert many.low < 0.5


def test_cells_of_one_sample_being_alike_widens_the_interval() -> None:
    sample = np.arange(200) // 20
    mixed, alike = np.arange(200) % 2 == 0, np.arange(200) < 100
    found = [
        rate(ReadCells(sample, (~own).astype(np.int64), np.ones(200), own), np.ones(200), own)
        for own in (mixed, alike)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].share == found[1].share == 0.5
    assert found[1].high - found[1].low > 3.0 * (found[0].high - found[0].low)
    assert found[1].effective_n < 20 < found[0].effective_n


def test_intervals_hold_the_truth_of_simulated_laboratories() -> None:
    """A small one of what ``tests/tools/simulated_laboratories.py`` does; those of 2,000 are in the docs."""
    found = simulate(16, seed=3)
    # Three of 16 beside the truth come by chance once in 20 times; the seed is fixed.
    assert found["sensitivity_coverage"] > 0.81
    assert found["specificity_coverage"] > 0.81
    assert found["corrected_coverage"] >= 0.92
    assert found["smaller"] > 0.6
    assert found["median_error_corrected"] < found["median_error_counted"]


def test_without_weights_the_truth_is_missed() -> None:
    """The negative control: cells that were drawn for their doubt are no fair sample."""
    rng = np.random.default_rng(4)
    held = {True: 0, False: 0}
    for _ in range(8):
        lab = laboratory(rng)
        for weighted in held:
            _, others = verified(rng, lab, weighted=weighted)
            held[weighted] += others.low <= lab.specificity <= others.high
    assert held[True] >= 7
    assert held[False] <= 4
