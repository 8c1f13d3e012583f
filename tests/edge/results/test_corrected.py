"""The corrected share covers the truth, moves the right way, and says when it means nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.results.corrected import KnownErrors, corrected_share

#: What the interval must cover at least in any setting, of 95 % nominal.
LEAST_COVERAGE = 0.93
TRIALS = 1500


@pytest.mark.parametrize("truth", [0.0, 0.05, 0.2, 0.4, 0.9])
@pytest.mark.parametrize(
    ("sensitivity", "specificity", "tested"), [(0.92, 0.88, 150), (0.98, 0.97, 60), (0.7, 0.9, 300)]
)
def test_the_interval_covers_the_truth(
    truth: float, sensitivity: float, specificity: float, tested: int
) -> None:
    """Both samples are drawn anew in every trial: the patient's and the one the classifier was tested on."""
    rng = np.random.default_rng(20)
    called = truth * sensitivity + (1.0 - truth) * (1.0 - specificity)
    covered = 0
    for _ in range(TRIALS):
        errors = KnownErrors(
            tested,
            int(rng.binomial(tested, sensitivity)),
            tested,
            int(rng.binomial(tested, 1.0 - specificity)),
            "drawn",
        )
        found = corrected_share(int(rng.binomial(200, called)), 200, errors)
        covered += found is not None and found.low <= truth <= found.high
    # Three standard errors of a simulation with so many trials: 0.02.
    assert covered / TRIALS >= LEAST_COVERAGE


def test_without_a_correction_the_interval_would_miss() -> None:
    """The negative control: the uncorrected share of a classifier that errs lies beside the truth."""
    rng = np.random.default_rng(21)
    perfect = KnownErrors(10_000, 10_000, 10_000, 0, "pretended")
    covered = 0
    for _ in range(300):
        found = corrected_share(int(rng.binomial(200, 0.05 * 0.92 + 0.95 * 0.12)), 200, perfect)
        covered += found is not None and found.low <= 0.05 <= found.high
    assert covered / 300 < 0.2


def test_a_perfect_classifier_needs_no_correction() -> None:
    found = corrected_share(40, 200, KnownErrors(10_000, 10_000, 10_000, 0, "test"))
    assert found is not None
    assert found.share == pytest.approx(0.2)
    # The exact interval is 14.7 to 26.2 %.
    assert (found.low, found.high) == (pytest.approx(0.147, abs=0.006), pytest.approx(0.262, abs=0.006))


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 50), st.integers(0, 50))
def test_the_share_lies_in_its_interval_and_both_in_0_to_1(
    blasts: int, cells: int, hits: int, false_calls: int
) -> None:
    found = corrected_share(min(blasts, cells), cells, KnownErrors(50, hits, 50, false_calls, "test"))
    if found is None:
        assert hits <= false_calls
    else:
        assert 0.0 <= found.low <= found.share <= found.high <= 1.0


def test_no_cells_and_chance_give_nothing() -> None:
    assert corrected_share(0, 0, KnownErrors(50, 45, 50, 5, "test")) is None
    assert corrected_share(10, 100, KnownErrors(50, 20, 50, 20, "test")) is None


def test_a_poor_classifier_says_so() -> None:
    poor = corrected_share(20, 100, KnownErrors(100, 70, 100, 30, "test"))
    good = corrected_share(20, 100, KnownErrors(100, 90, 100, 10, "test"))
    assert poor is not None
    assert good is not None
    assert (poor.informative, good.informative) == (False, True)
    assert poor.high - poor.low > good.high - good.low


def test_errors_are_read_from_a_card() -> None:
    calls = {
        "source": "fields of other sessions",
        "blast": {"n": 100, "blast": 90, "normal": 4, "uncertain": 6},
        "normal": {"n": 80, "blast": 8, "normal": 66, "uncertain": 6},
    }
    errors = KnownErrors.of_evaluation({"calls": calls})
    assert errors == KnownErrors(100, 90, 80, 8, "fields of other sessions", blasts_uncertain=6)
    assert errors.blasts_listed == 96
    assert (errors.sensitivity, errors.specificity) == (0.9, 0.9)


@pytest.mark.parametrize(
    "calls",
    [
        None,
        {},
        {"source": "x", "blast": {"n": 10, "blast": 9}},
        {"source": "x", "blast": {"n": 10, "blast": 11}, "normal": {"n": 10, "blast": 1}},
        {"source": "x", "blast": {"n": 10, "blast": 9, "uncertain": 2}, "normal": {"n": 10, "blast": 1}},
        {"source": "x", "blast": {"n": 0, "blast": 0}, "normal": {"n": 10, "blast": 1}},
        {"source": "x", "blast": {"n": "many", "blast": 9}, "normal": {"n": 10, "blast": 1}},
    ],
)
def test_a_card_without_usable_calls_gives_none(calls: object) -> None:
    assert KnownErrors.of_evaluation({} if calls is None else {"calls": calls}) is None
