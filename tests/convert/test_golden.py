"""Golden crops: rendered, spread over the probabilities, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.gate.golden import COUNT, choose, rendered_crops
from edge.structures import InputSpec


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return rendered_crops(InputSpec(size_px=32))


def test_there_are_enough_to_choose_from(crops: NDArray[np.uint8]) -> None:
    assert crops.dtype == np.uint8
    assert crops.shape[1:] == (32, 32, 3)
    assert len(crops) >= 3 * COUNT
    assert len({crop.tobytes() for crop in crops}) > 2 * COUNT


def test_the_same_seed_gives_the_same_crops(crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(rendered_crops(InputSpec(size_px=32)), crops)
    other = rendered_crops(InputSpec(size_px=32), seed=99)
    assert other.shape != crops.shape or (other != crops).any()


def _redness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = crops[..., 0].mean(axis=(1, 2)) / np.float32(255)
    return np.asarray((values - values.min()) / (values.max() - values.min()), np.float32)


def test_the_choice_is_spread_over_the_probabilities(crops: NDArray[np.uint8]) -> None:
    p_all = _redness(crops)
    chosen = choose(crops, _redness)
    assert chosen.shape == (COUNT, 32, 32, 3)
    lookup = {crop.tobytes(): p for crop, p in zip(crops, p_all, strict=True)}
    p = np.array([lookup[crop.tobytes()] for crop in chosen])
    assert p.min() == 0
    assert p.max() == 1
    assert np.diff(np.sort(p)).max() < 0.35


def test_few_crops_are_all_taken(crops: NDArray[np.uint8]) -> None:
    assert len(choose(crops[:3], _redness)) == 3
