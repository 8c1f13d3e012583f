from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.preprocess import to_input
from edge.structures import Background, InputSpec

SPEC = InputSpec()


def flat(colour: tuple[float, float, float], width: int = 400, height: int = 300) -> Background:
    return Background(np.array(colour, np.float32).reshape(1, 1, 3), width, height)


def pattern(width: int = 400, height: int = 300) -> np.ndarray:
    """A fixed picture without symmetry, so that any flip, shift or channel swap shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * 3 + y) % 251, (x + y * 5) % 241, (x * y // 7) % 239], axis=-1).astype(np.uint8)


def disc(um_per_px: float, diameter_um: float = 12.0) -> np.ndarray:
    side = round(40 / um_per_px)
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(x - side / 2, y - side / 2) < diameter_um / um_per_px / 2
    return np.where(inside[..., None], (90, 40, 120), (220, 215, 200)).astype(np.uint8)


def test_bytes_of_the_crop_do_not_change() -> None:
    """Golden: a change here invalidates every shipped model, whatever the other tests say."""
    image, blank = pattern(), flat((200, 210, 190))
    crops = [
        to_input(image, 200, 150, SPEC, um_per_px=0.1, background=blank),  # shrinking
        to_input(image, 200, 150, SPEC, um_per_px=0.3, background=blank),  # enlarging
        to_input(image, 5, 295, SPEC, um_per_px=0.1, background=blank),  # beyond two edges
    ]
    assert hashlib.sha256(b"".join(crop.tobytes() for crop in crops)).hexdigest() == GOLDEN


GOLDEN = "92265cdf904d7be57a0fd7ba652322b9d91381f3f1a9b8868f3d9bc35040b881"


@pytest.mark.parametrize("um_per_px", [0.05, 0.1, 0.2, 0.4])
def test_a_cell_has_the_same_size_at_every_scale(um_per_px: float) -> None:
    image = disc(um_per_px)
    side = image.shape[0]
    crop = to_input(
        image, side / 2, side / 2, SPEC, um_per_px=um_per_px, background=flat((220, 215, 200), side, side)
    )
    diameter_px = np.sqrt((crop[..., 0] < 160).sum() * 4 / np.pi)
    # 12 µm of 24 µm is half of 128 px; at 0.4 µm/px one source pixel is 2 px of the crop
    assert diameter_px == pytest.approx(64, abs=2.5)


@given(
    st.tuples(*[st.integers(64, 255)] * 3),
    st.tuples(*[st.floats(0.05, 1.0)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_lamp_colour_does_not_reach_the_crop(
    lamp: tuple[int, int, int], transmission: tuple[float, float, float]
) -> None:
    colour = np.rint(np.array(lamp) * transmission).astype(np.uint8)
    image = np.broadcast_to(colour, (100, 100, 3)).copy()
    crop = to_input(image, 50, 50, SPEC, um_per_px=0.2, background=flat(tuple(map(float, lamp)), 100, 100))
    expected = SPEC.white_point * np.array(transmission)
    # rounding of the 8-bit input, amplified by the gain, plus rounding of the output
    assert np.abs(crop[64, 64] - expected).max() <= 0.5 * SPEC.white_point / min(lamp) + 0.51


def test_swapped_channels_give_another_crop() -> None:
    image, blank = pattern(), flat((200, 210, 190))
    swapped_blank = flat((190, 210, 200))
    crop = to_input(image, 200, 150, SPEC, um_per_px=0.1, background=blank)
    swapped = to_input(image[..., ::-1].copy(), 200, 150, SPEC, um_per_px=0.1, background=swapped_blank)
    assert np.array_equal(crop, swapped[..., ::-1])
    assert not np.array_equal(crop, swapped)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (399, 0), (0, 299), (399, 299)])
def test_beyond_the_edge_the_border_is_repeated(x: int, y: int) -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    crop = to_input(image, x, y, SPEC, um_per_px=0.1, background=flat((200, 200, 200)))
    assert (crop == SPEC.white_point).all()


def test_a_black_background_does_not_blow_up() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    assert to_input(image, 50, 50, SPEC, um_per_px=0.2, background=flat((0, 0, 0), 100, 100)).max() == 0
