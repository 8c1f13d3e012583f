"""Reduced copies of an image."""

from __future__ import annotations

import numpy as np
import pytest

from edge.light.pyramid import Lines, columns_of, picked


@pytest.mark.parametrize("turned", [False, True])
def test_rows_and_columns_are_picked_as_numpy_picks_them(turned: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    image = image.transpose(1, 0, 2) if turned else image
    for rows, columns in ((np.s_[::7], np.s_[::3]), (np.s_[:], np.s_[::11]), (np.s_[7:49:8], np.s_[::70])):
        assert np.array_equal(picked(image, rows, columns), image[rows, columns])


def test_lines_are_rows_and_columns_of_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 140, 3)).astype(np.uint8)
    lines = Lines.of(image)
    assert np.array_equal(lines.rows, image[::2])
    assert np.array_equal(lines.columns, image.swapaxes(0, 1))
    wide = np.random.default_rng(0).integers(0, 255, (90, 1719, 3)).astype(np.uint8)
    assert np.array_equal(columns_of(wide), wide.swapaxes(0, 1)[::13][:132])
