"""Bland and Altman's limits by hand, Passing and Bablok's line against Theil and Sen's in SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge.verification.agreement import bland_altman, passing_bablok
from tests.tools.simulated_laboratories import shares


def test_limits_of_agreement_by_hand() -> None:
    first = [0.1 * number for number in range(10)]
    second = [value + (0.02 if number % 2 else -0.01) for number, value in enumerate(first)]
    found = bland_altman(first, second)
    assert found is not None
    deviation = np.std(np.array(second) - first, ddof=1)
    assert found["bias"] == pytest.approx(0.005)
    assert found["limits"] == pytest.approx([0.005 - 1.96 * deviation, 0.005 + 1.96 * deviation], abs=1e-4)
    half = stats.t.ppf(0.975, 9) * deviation / np.sqrt(10)
    assert found["bias_ci95"] == pytest.approx([0.005 - half, 0.005 + half], abs=1e-4)
    assert bland_altman(first[:9], second[:9]) is None


def test_the_line_is_theil_and_sen_s_where_no_slope_is_below_minus_one() -> None:
    rng = np.random.default_rng(1)
    x = np.arange(40.0)
    y = 1.1 * x + 2.0 + rng.normal(0.0, 0.3, 40)  # neighbours' slopes stay above -1
    found = passing_bablok(x.tolist(), y.tolist())
    slope, _, low, high = stats.theilslopes(y, x, 0.95)
    assert found is not None
    assert found["slope"] == pytest.approx(slope)
    assert found["slope_ci95"] == pytest.approx([low, high], rel=0.01)
    assert found["intercept"] == pytest.approx(np.median(y - slope * x))
    assert found["intercept_ci95"][0] <= found["intercept"] <= found["intercept_ci95"][1]


def test_it_does_not_matter_which_way_is_the_first() -> None:
    """What Theil and Sen's line does not have: both err."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.0, 1.0, 41)
    x, y = truth + rng.normal(0.0, 0.1, 41), 2.0 * truth + rng.normal(0.0, 0.1, 41)
    one, other = passing_bablok(x.tolist(), y.tolist()), passing_bablok(y.tolist(), x.tolist())
    assert one is not None
    assert other is not None
    assert one["slope"] == pytest.approx(1.0 / other["slope"], rel=0.02)
    assert one["slope_ci95"][0] < 2.0 < one["slope_ci95"][1]


def test_alike_or_few_samples_have_no_line() -> None:
    assert passing_bablok([0.0] * 30, [0.0] * 30) is None
    assert passing_bablok(list(range(9)), list(range(9))) is None


def test_intervals_of_limits_hold_where_differences_are_not_normal() -> None:
    """By Bland and Altman's own, which takes them for normal, the upper limit is held in 85 %."""
    rng = np.random.default_rng(3)
    program, readers = shares(rng, 200_000)
    truth = np.mean(readers - program) + 1.96 * np.std(readers - program)
    held = []
    for _ in range(300):
        found = bland_altman(*shares(rng, 30))
        assert found is not None
        low, high = found["limits_ci95"][1]
        held.append(low <= truth <= high)
    assert np.mean(held) > 0.91


def test_the_interval_of_the_intercept_holds() -> None:
    """By Passing and Bablok's own, which knows of the slope's error alone, it is held in 91 to 93 %."""
    rng = np.random.default_rng(4)
    held = []
    for _ in range(100):
        x = rng.uniform(0.0, 1.0, 30)
        line = 0.05 + 0.9 * x + 0.036 * rng.standard_normal(30)
        found = passing_bablok(x + 0.04 * rng.standard_normal(30), line)
        assert found is not None
        low, high = found["intercept_ci95"]
        held.append(low <= 0.05 <= high)
    assert np.mean(held) > 0.91
