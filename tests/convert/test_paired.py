"""Paired counts: against SciPy where it is there, and by their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.gate.paired import field_changes, loss, mcnemar_p


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(lost: int, gained: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    expected = stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert mcnemar_p(lost, gained) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("blasts", [True, False])
def test_a_loss_is_counted_on_the_right_side(blasts: bool) -> None:
    right, wrong = (0.9, 0.1) if blasts else (0.1, 0.9)
    p_keras = np.array([right, right, right, wrong], np.float32)
    p = np.array([right, wrong, wrong, right], np.float32)
    found = loss(p, p_keras, 0.5, blasts=blasts)
    assert (found.n, found.kept, found.lost, found.gained, found.points) == (4, 3, 2, 1, 25.0)
    assert found.low < 25.0 < found.high


def test_no_flip_is_not_certainty() -> None:
    p = np.full(47, 0.9, np.float32)
    found = loss(p, p, 0.5, blasts=True)
    assert found.points == 0
    assert -found.low == found.high == pytest.approx(8.91, abs=0.01)


def test_the_interval_covers() -> None:
    """Of 400 draws at most 5 % may miss the truth; Bonferroni's interval is wider than it need be."""
    rng = np.random.default_rng(0)
    p_keras = np.full(100, 0.9, np.float32)
    missed = 0
    for _ in range(400):
        p = np.where(rng.random(100) < 0.04, 0.1, 0.9).astype(np.float32)
        found = loss(p, p_keras, 0.5, blasts=True)
        missed += not found.low <= 4.0 <= found.high
    assert missed <= 20


def test_fields_without_a_name_are_left_out() -> None:
    p, p_keras = np.array([0.9, 0.9, 0.1], np.float32), np.array([0.1, 0.9, 0.9], np.float32)
    assert field_changes(p, p_keras, np.array(["", "b", "b"]), 0.5).tolist() == [50.0]
    assert len(field_changes(p, p_keras, np.array(["", "", ""]), 0.5)) == 0
