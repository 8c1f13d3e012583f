"""The median that the line takes, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from edge.light.median import median


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 501])
def test_it_is_that_of_numpy_to_the_last_bit(dtype: type[np.generic], n: int) -> None:
    values = np.random.default_rng(n).normal(150, 50, (7, n)).clip(0, 255).astype(dtype)
    expected = np.median(values, axis=1)
    found = median(values)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
