"""Label images: what is looked up in them, however many labels there are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import DTypeLike

from edge.segmentation.labels import map_labels


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float32, np.int64])
@pytest.mark.parametrize("number", [2, 256, 257, 3000])
def test_each_label_becomes_its_value(dtype: DTypeLike, number: int) -> None:
    rng = np.random.default_rng(number)
    labels = rng.integers(0, number, (37, 91)).astype(np.uint16)
    labels[0, 0] = number - 1
    values = rng.integers(0, 2**8, number).astype(dtype)
    image = map_labels(labels, values)
    assert image.dtype == values.dtype
    assert np.array_equal(image, values[labels])
