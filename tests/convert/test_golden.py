"""Golden crops: rendered, spread over the probabilities, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.gate.golden import COUNT, LEAST_DELTA_P, _field_crops, choose
from edge.classification.card import default_bundle_path, load_bundle
from edge.structures import InputSpec


def test_there_are_enough_to_choose_from(rendered: NDArray[np.uint8]) -> None:
    assert rendered.dtype == np.uint8
    assert len(rendered) >= 3 * COUNT
    assert len({crop.tobytes() for crop in rendered}) > 2 * COUNT


def test_the_same_seed_gives_the_same_crops() -> None:
    first, again, other = (_field_crops(InputSpec(size_px=24), seed, 0) for seed in (0, 0, 99))
    np.testing.assert_array_equal(first, again)
    assert other.shape != first.shape or (other != first).any()


def _redness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = crops[..., 0].mean(axis=(1, 2)) / np.float32(255)
    return np.asarray((values - values.min()) / (values.max() - values.min()), np.float32)


def test_the_choice_is_spread_over_the_probabilities(rendered: NDArray[np.uint8]) -> None:
    p_all = _redness(rendered)
    chosen = choose(rendered, _redness)
    assert len(chosen) == COUNT
    lookup = {crop.tobytes(): p for crop, p in zip(rendered, p_all, strict=True)}
    p = np.array([lookup[crop.tobytes()] for crop in chosen])
    assert p.min() == 0
    assert p.max() == 1
    assert np.diff(np.sort(p)).max() < 0.35


def test_few_crops_are_all_taken(rendered: NDArray[np.uint8]) -> None:
    assert len(choose(rendered[:3], _redness)) == 3


@pytest.mark.parametrize("name", ["coloured", "akbar2024"])
def test_shipped_cards_tolerate_no_more_than_they_need(name: str) -> None:
    """Twice what LiteRT and tflite-runtime differ by on their golden crops, 0 and 0.014."""
    bundle = load_bundle(default_bundle_path().with_name(f"{name}.tflite"))
    assert LEAST_DELTA_P <= bundle.card.golden.max_delta_p <= {"coloured": 0.03}.get(name, LEAST_DELTA_P)
