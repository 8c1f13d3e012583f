from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError, ImageError
from edge.structures import MIN_SIDE_PX, Background, Frame, InputSpec, Scale


def grey(height: int = 40, width: int = 50) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_frame_knows_its_size() -> None:
    frame = Frame(grey(), "a.jpg")
    assert (frame.width, frame.height) == (50, 40)


@pytest.mark.parametrize(
    "image",
    [grey()[..., 0], grey().astype(np.uint16), np.zeros((40, 40, 4), np.uint8)],
    ids=["two axes", "16 bit", "four channels"],
)
def test_frame_refuses_what_is_not_8_bit_rgb(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"a\.jpg: expected an \(H, W, 3\) uint8 RGB image, got"):
        Frame(image, "a.jpg")


def test_frame_refuses_an_image_too_small_for_a_cell() -> None:
    Frame(grey(MIN_SIDE_PX, MIN_SIDE_PX), "ok")
    with pytest.raises(ImageError, match="50x29 px is smaller than the 30 px"):
        Frame(grey(29), "a.jpg")


def test_frame_refuses_naive_time() -> None:
    Frame(grey(), "ok", captured_at=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ImageError, match="aware UTC"):
        Frame(grey(), "a.jpg", captured_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the point


def test_frame_hash_depends_on_pixels_and_shape() -> None:
    one = grey()
    other = one.copy()
    other[3, 4, 1] += 1
    assert Frame(one, "a").sha256() == Frame(one.copy(), "b").sha256()
    assert Frame(one, "a").sha256() != Frame(other, "a").sha256()
    assert Frame(grey(40, 50), "a").sha256() != Frame(grey(50, 40), "a").sha256()


def test_only_an_assumed_scale_is_not_reported() -> None:
    assert Scale(0.1, "configured", 1.0).reported_um_per_px == 0.1
    assert Scale(0.1, "red_cells", 0.8).reported_um_per_px == 0.1
    assert Scale(0.1, "assumed", 0.0).reported_um_per_px is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 8}, "size_px must be 16 to 512, got 8"),
        ({"field_of_view_um": 1.0}, "field_of_view_um must be 5 to 100, got 1.0"),
        ({"white_point": 0}, "white_point must be 1 to 255, got 0"),
        ({"channels": "BGR"}, "channels must be 'RGB' or .*, got 'BGR'"),
    ],
)
def test_input_spec_refuses_values_out_of_range(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InputSpec(**change)  # type: ignore[arg-type] # wrong values are the point


def test_background_is_exact_at_the_nodes_and_linear_between() -> None:
    grid = np.array([[[0, 0, 0], [100, 50, 20]]], np.float32)
    blank = Background(grid, width=200, height=100)
    assert blank.at(49.5, 10) == pytest.approx([0, 0, 0])
    assert blank.at(149.5, 90) == pytest.approx([100, 50, 20])
    assert blank.at(99.5, 50) == pytest.approx([50, 25, 10])
    assert blank.at(199, 50) == pytest.approx([100, 50, 20])


@given(st.floats(-50, 400), st.floats(-50, 400))
def test_background_never_leaves_the_range_of_its_nodes(x: float, y: float) -> None:
    grid = np.arange(36, dtype=np.float32).reshape(3, 4, 3)
    value = Background(grid, width=300, height=200).at(x, y)
    assert (value >= grid.min((0, 1)) - 1e-3).all()
    assert (value <= grid.max((0, 1)) + 1e-3).all()
