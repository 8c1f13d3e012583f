"""How often the intervals cover the truth, over more situations than the quick tests can afford."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from edge.counting.tally import clopper_pearson
from edge.results.corrected import KnownErrors, corrected_share

pytestmark = pytest.mark.slow

TRIALS = 4000
TESTED = ((284, 170), (50, 28), (1000, 1000))
ERRORS = ((0.92, 0.88), (0.8, 0.9), (0.98, 0.98), (0.7, 0.7))
TRUTHS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.4, 0.6, 0.9, 1.0)
CELLS = (50, 200, 500)


def coverage(tested: tuple[int, int], errors: tuple[float, float], truth: float, cells: int) -> float:
    rng = np.random.default_rng(7)
    called = truth * errors[0] + (1.0 - truth) * (1.0 - errors[1])

    @cache  # many draws are alike
    def covers(blasts: int, found: int, false: int) -> bool:
        share = corrected_share(blasts, cells, KnownErrors(tested[0], found, tested[1], false, "drawn"))
        return share is not None and share.low <= truth <= share.high

    draws = zip(
        rng.binomial(cells, called, TRIALS).tolist(),
        rng.binomial(tested[0], errors[0], TRIALS).tolist(),
        rng.binomial(tested[1], 1.0 - errors[1], TRIALS).tolist(),
        strict=True,
    )
    return sum(covers(*draw) for draw in draws) / TRIALS


def test_the_corrected_interval_covers(capsys: pytest.CaptureFixture[str]) -> None:
    found = {case: coverage(*case) for case in product(TESTED, ERRORS, TRUTHS, CELLS)}
    worst = min(found, key=lambda case: found[case])
    mean = np.mean(list(found.values()))
    with capsys.disabled():
        print(f"\n{len(found)} situations: mean {mean:.4f}, least {found[worst]:.4f}, {worst}")  # noqa: T201
    assert len(found) == 360
    assert found[worst] >= 0.93
    assert mean >= 0.95


def test_the_exact_interval_covers() -> None:
    """Computed, not drawn: every count of blasts with its probability."""
    from scipy.stats import binom

    for cells in (20, 50, 100, 200, 500):
        limits = np.array([clopper_pearson(blasts, cells) for blasts in range(cells + 1)])
        for truth in np.linspace(0.01, 0.99, 50):
            within = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
            assert binom.pmf(np.arange(cells + 1), cells, truth)[within].sum() >= 0.95
