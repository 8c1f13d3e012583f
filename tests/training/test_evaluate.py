from __future__ import annotations

import numpy as np
import pytest

from training.protocol.accuracy import Proportion, evaluate


def test_figures_of_a_small_test() -> None:
    labels = np.array([1, 1, 1, 0, 0])
    found = evaluate(labels, np.array([0.9, 0.5, 0.3, 0.3, 0.8], np.float32))
    assert found.accuracy == Proportion(3, 5)
    assert found.sensitivity == Proportion(2, 3)  # 0.5 counts as blast
    assert found.specificity == Proportion(1, 2)
    assert found.error == pytest.approx(-np.log([0.9, 0.5, 0.3, 0.7, 0.2]).mean(), rel=1e-6)
    assert found.auc == pytest.approx((2 + 1 + 0.5) / 6)
    assert found.to_json()["sensitivity"] == {
        "value": 2 / 3,
        "k": 2,
        "n": 3,
        "ci95": pytest.approx([0.0943, 0.9916], abs=1e-4),  # tables of the exact binomial interval
    }


def test_flipped_labels_show(  # the negative control
) -> None:
    p_blast = np.array([0.9, 0.8, 0.1, 0.2], np.float32)
    assert evaluate(np.array([1, 1, 0, 0]), p_blast).auc == 1.0
    flipped = evaluate(np.array([0, 0, 1, 1]), p_blast)
    assert (flipped.auc, flipped.accuracy.k) == (0.0, 0)


def test_sure_and_wrong_stays_finite() -> None:
    assert evaluate(np.array([1]), np.array([0.0], np.float32)).error == pytest.approx(16.118, abs=1e-3)


def test_nothing_to_test_on_says_nothing() -> None:
    found = evaluate(np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert (found.accuracy.value, found.auc, found.error) == (None, None, 0.0)
    assert str(found.accuracy) == "no such cells"
    assert found.accuracy.to_json()["ci95"] == [0.0, 1.0]


def test_proportion_is_shown_with_its_interval() -> None:
    assert str(Proportion(98, 100)) == "98.0 % (98/100; 95 % interval 93.0 to 99.8)"
