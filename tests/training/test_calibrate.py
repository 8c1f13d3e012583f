from __future__ import annotations

import numpy as np
import pytest

from training.protocol.calibration import (
    TEMPERATURE_RANGE,
    calibrated_out_of_fold,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
    rescale,
    uncertain_share,
)


def drawn(n: int = 4000, temperature: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose network is too sure by a known temperature."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    return labels, 1 / (1 + np.exp(-logits * temperature))


def test_the_temperature_that_was_put_in_is_found() -> None:
    labels, p = drawn()
    assert fit_temperature(labels, p) == pytest.approx(3.0, rel=0.1)


def test_it_is_the_least_cross_entropy() -> None:
    labels, p = drawn(600)
    best = fit_temperature(labels, p)
    here = cross_entropy(labels, rescale(p, best))
    assert all(cross_entropy(labels, rescale(p, best * f)) > here for f in (0.7, 1.4))


def test_a_perfect_network_is_not_sharpened() -> None:
    labels = np.array([0, 1] * 20)
    assert fit_temperature(labels, labels * 0.98 + 0.01) == pytest.approx(TEMPERATURE_RANGE[0], rel=1e-3)


def test_calibration_lowers_the_error_and_no_fold_sees_itself() -> None:
    labels, p = drawn()
    fold = np.arange(len(labels)) % 5
    calibrated = calibrated_out_of_fold(labels, p, fold)
    assert expected_calibration_error(labels, p) > 0.1
    assert expected_calibration_error(labels, calibrated) < 0.03
    # Turning the labels of one fold round must not change that fold's own probabilities.
    turned = np.where(fold == 2, 1 - labels, labels)
    again = calibrated_out_of_fold(turned, p, fold)
    assert np.array_equal(again[fold == 2], calibrated[fold == 2])
    assert not np.array_equal(again[fold != 2], calibrated[fold != 2])


def test_one_is_inside_the_last_bin() -> None:
    assert expected_calibration_error(np.array([1, 0]), np.array([1.0, 0.0])) == 0.0


def test_the_band_holds_its_lower_end_only() -> None:
    assert uncertain_share(np.array([0.1, 0.25, 0.5, 0.75])) == 0.5
