"""One scale for the fields of a sample or folder: robust, with its interval, and never of two microscopes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.segmentation.pooled import (
    BETWEEN_PERSONS,
    ScalePool,
    has_changed,
    scale_of_red_cells,
    settle,
)
from edge.structures import Frame, PooledScale, RedCellScale, Scale

IMAGE = np.zeros((60, 60, 3), np.uint8)


def own(um_per_px: float, confidence: float = 0.5) -> Scale:
    return scale_of_red_cells(RedCellScale(um_per_px, confidence))


def pooled(scales: list[Scale], between: float = 0.0) -> PooledScale | None:
    pool = ScalePool(between)
    for scale in scales:
        pool.add(scale)
    return pool.pooled()


def frame(of: PooledScale | None, um_per_px: float | None = None) -> Frame:
    return Frame(IMAGE, "f", um_per_px=um_per_px, um_per_px_interval=(0.19, 0.21), pooled=of)


def common(um_per_px: float | None, spread: float = 0.01) -> PooledScale:
    return PooledScale(um_per_px, spread, 1.0, 20)


def test_fields_with_poor_red_cells_do_not_move_the_others() -> None:
    found = pooled([*[own(0.1 + 0.001 * i) for i in range(-4, 5)], own(0.2, 0.3), own(0.17, 0.3)])
    assert found is not None
    assert found.um_per_px == pytest.approx(0.1, rel=0.015)
    assert found.fields == 11
    assert 0.9 < found.confidence < 1.0


def test_a_certain_field_weighs_more_than_doubtful_ones() -> None:
    found = pooled([own(0.1, 0.9), own(0.115, 0.2), own(0.115, 0.2), own(0.115, 0.2)])
    assert found is not None
    assert found.um_per_px == pytest.approx(0.1)


@pytest.mark.parametrize(
    "scales",
    [
        [],
        [own(0.1, 0.55)] * 2,  # too few
        [own(0.1, 0.1)] * 3,  # too doubtful: the median would be known to 17 %
        [Scale(0.1, "assumed", 0.1)] * 9,  # without red cells
        [own(0.1, 0.5), own(0.1, 0.5), own(0.15, 0.5), own(0.15, 0.5)],  # too few to tell chance from mixture
    ],
)
def test_fields_that_have_no_word(scales: list[Scale]) -> None:
    assert pooled(scales) is None


@pytest.mark.parametrize(
    ("confidence", "fields", "has_word"),
    [(0.5, 3, True), (0.23, 3, True), (0.19, 3, False), (0.19, 5, True)],
)
def test_the_least_that_has_a_word(confidence: float, fields: int, has_word: bool) -> None:
    assert (pooled([own(0.1, confidence)] * fields) is not None) == has_word


@pytest.mark.parametrize(
    ("scales", "is_mixed"),
    [
        ([own(0.1)] * 5 + [own(0.2)] * 4, True),
        ([own(0.1)] * 4 + [own(0.2)] * 4, True),
        ([own(0.1)] * 4 + [own(0.2)] * 3, False),  # seven doubtful ones are too few to say so
        ([own(0.1)] * 9 + [own(0.2)] * 4, False),  # 0.69 agree
        ([own(0.1)] * 8 + [own(0.2)] * 5, True),  # 0.62
        ([own(0.1, 0.65), own(0.2, 0.65)], True),  # two that are certain
        ([own(0.1, 0.55), own(0.2, 0.55)], False),
        ([own(0.1)] * 4 + [own(0.123)] * 4, False),  # less than a jump
        ([own(0.1)] * 4 + [own(0.13)] * 4, True),
    ],
)
def test_two_microscopes_are_not_pooled(scales: list[Scale], is_mixed: bool) -> None:
    found = pooled(scales)
    assert (found is not None and found.um_per_px is None) == is_mixed


def test_a_sample_overrules_a_field_but_not_one_that_is_certain() -> None:
    doubtful, certain, near = own(0.16, 0.55), own(0.16, 0.65), own(0.123, 0.65)
    for scale in (doubtful, near, Scale(0.3, "assumed", 0.1)):
        used = settle(scale, frame(common(0.1)))
        assert used.source == "pooled"
        assert used.um_per_px == pytest.approx(0.1, rel=0.03)
        assert used.red_cells == scale.red_cells
        assert not has_changed(used, frame(common(0.1)))
    used = settle(certain, frame(common(0.1)))
    assert used == certain
    assert has_changed(used, frame(common(0.1)))


def test_fields_of_more_than_one_scale_keep_their_own_and_say_so() -> None:
    mixed = frame(common(None))
    assert settle(own(0.16), mixed) == own(0.16)
    assert has_changed(own(0.16), mixed)
    assert settle(own(0.16), frame(None)) == own(0.16)
    assert not has_changed(own(0.16), frame(None))


def test_a_configured_scale_goes_before_all_and_is_compared_with_the_red_cells() -> None:
    configured = frame(common(0.19), um_per_px=0.2)
    used = settle(own(0.16, 0.55), configured)
    assert (used.um_per_px, used.source, used.interval) == (0.2, "configured", (0.19, 0.21))
    assert not has_changed(used, configured)
    assert has_changed(settle(own(0.1, 0.9), configured), configured)


@pytest.mark.parametrize(
    ("given", "red_cells", "others", "contradicted"),
    [
        (0.2, own(0.1, 0.25), None, True),  # log 2 against four times 0.11
        (0.2, own(0.1, 0.14), None, False),  # ... and against 0.19
        (0.2, own(0.15, 0.5), None, False),
        (0.2, own(0.1, 0.25), common(0.19), False),  # the other fields vouch for it
        (0.2, own(0.1, 0.65), common(0.19), True),  # which does not excuse one that is certain
        (0.2, own(0.2, 0.14), common(0.14), True),
        (0.2, own(0.2, 0.14), common(None), False),
        (0.2, Scale(0.3, "assumed", 0.1), common(0.14), True),
        (0.2, Scale(0.3, "assumed", 0.1), None, False),
    ],
)
def test_few_red_cells_contradict_a_given_scale(
    given: float, red_cells: Scale, others: PooledScale | None, contradicted: bool
) -> None:
    seen = frame(others, um_per_px=given)
    used = settle(red_cells, seen)
    assert used.um_per_px == given
    assert has_changed(used, seen) == contradicted


def test_in_a_folder_a_precise_field_counts_its_own_word_and_a_poor_one_does_not() -> None:
    """Persons differ: 0.05 between them against an error of 0.016 at confidence 1, and of 0.12 at 0.2."""
    of_many = pooled([own(0.1, 1.0)] * 20, BETWEEN_PERSONS)
    of_one = pooled([own(0.1, 1.0)] * 20)
    shift = math.log(1.08)
    for among, confidence, share in ((of_many, 1.0, 0.91), (of_many, 0.2, 0.15), (of_one, 1.0, 0.07)):
        used = settle(own(0.108, confidence), frame(among))
        assert math.log(used.um_per_px / 0.1) / shift == pytest.approx(share, abs=0.02)


def test_intervals_hold_the_true_scale() -> None:
    """Errors as the model has them, and one of 4 % that all fields share: 95 of 100 hold the truth."""
    generator = np.random.default_rng(3)
    held = {"red_cells": 0, "pooled": 0}
    widths: dict[str, list[float]] = {"red_cells": [], "pooled": []}
    for _ in range(300):
        shared = generator.normal(0.0, 0.04)
        scales = []
        for confidence in generator.uniform(0.15, 0.55, 8).tolist():
            error = generator.normal(0.0, 0.026 / confidence - 0.01)
            scales.append(own(0.1 * math.exp(shared + error), confidence))
        for used in (scales[0], settle(scales[0], frame(pooled(scales[1:])))):
            if used.interval is not None and (used is scales[0] or used.source == "pooled"):
                low, high = used.interval
                held[used.source] += low <= 0.1 <= high
                widths[used.source].append(math.log(high / low))
    for source, widths_of in widths.items():
        assert len(widths_of) > 200
        assert 0.9 <= held[source] / len(widths_of) <= 0.995
    assert np.median(widths["pooled"]) < 0.8 * np.median(widths["red_cells"])


def test_the_latest_fields_are_the_objective_that_is_used_now() -> None:
    found = pooled([own(0.1)] * 200 + [own(0.2)] * 190)
    assert found is not None
    assert found.um_per_px == pytest.approx(0.2)
