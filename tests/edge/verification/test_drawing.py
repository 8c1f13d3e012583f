"""The drawing: every stratum enough, every weight the inverse of a chance, the same seed the same cells."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.verification.drawing import allocate, draw, stratum_of

STRATA = st.lists(st.tuples(st.integers(1, 3000), st.floats(0.0, 0.5)), min_size=1, max_size=8)


@given(STRATA, st.integers(50, 1000))
@settings(max_examples=50)
def test_no_stratum_is_left_out_or_overdrawn(strata: list[tuple[int, float]], cells: int) -> None:
    sizes, doubt = np.array([size for size, _ in strata]), np.array([own for _, own in strata])
    drawn = allocate(sizes, doubt, cells)
    assert (drawn <= sizes).all()
    assert (drawn >= np.minimum(sizes, 20)).all()
    assert min(cells, sizes.sum()) <= drawn.sum() <= min(cells, sizes.sum()) + 20 * len(sizes)


def test_weights_add_up_to_the_cells_of_each_stratum() -> None:
    strata = ["blast"] * 30 + ["normal"] * 900 + ["uncertain"] * 70
    drawn = draw(strata, [0.05] * 1000, 200, seed=1)
    sums: Counter[str] = Counter()
    for index, weight in drawn:
        sums[strata[index]] += weight  # type: ignore[assignment]  # a weight is no whole number
    assert dict(sums) == {name: pytest.approx(strata.count(name)) for name in set(strata)}
    assert len({index for index, _ in drawn}) == len(drawn)
    assert drawn == draw(strata, [0.05] * 1000, 200, seed=1)
    assert drawn != draw(strata, [0.05] * 1000, 200, seed=2)
    # Rare ones are drawn whole before the many.
    assert min(weight for index, weight in drawn if strata[index] == "blast") == 1.0


def test_strata_are_of_one_word_each() -> None:
    assert {stratum_of("blast", p) for p in (0.6, 0.95)} == {"blast", "blast in doubt"}
    assert stratum_of("uncertain", 0.5) == "uncertain"
    assert stratum_of("blast", 0.99, "other") == "blast"
