"""Good fields made bad in ways that happen at a microscope, each with the reason that should be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.background import estimate_background
from edge.light.density import optical_density
from edge.light.pyramid import Pyramid
from edge.structures import UInt8Image

Degrade = Callable[[UInt8Image, float, np.random.Generator], UInt8Image]
#: ``file``: refused in any picture. ``live``: told by comparison with the sample's first fields. ``camera``:
#: told on the frames of a live camera.
Mode = Literal["file", "live", "camera"]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A way in which a field goes bad.

    Attributes
    ----------
    name : as in the documentation's table
    mode : what can tell it
    reasons : any of these is the right one
    apply : (image, µm per px, random generator) to a degraded copy
    whole_fields : makes sense on whole fields only, not on the crop of one cell
    """

    name: str
    mode: Mode
    reasons: tuple[str, ...]
    apply: Degrade
    whole_fields: bool = False


def _defocused(blur_um: float) -> Degrade:
    def apply(image: UInt8Image, um_per_px: float, _rng: np.random.Generator) -> UInt8Image:
        return _bytes(cv2.GaussianBlur(image.astype(np.float32), (0, 0), blur_um / um_per_px))

    return apply


def _exposed(low: float, high: float) -> Degrade:
    def apply(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
        # What is shown is light^(1/2.2); the factor is on the light.
        factor = rng.uniform(low, high) ** (1 / 2.2)
        noise = rng.normal(0.0, 1.0, image.shape).astype(np.float32)
        return _bytes(image * np.float32(factor) + noise)

    return apply


def _tinted(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Another lamp or white balance: red up and blue down by a tenth to a quarter, or the other way round."""
    change = rng.uniform(0.10, 0.25) * rng.choice([-1.0, 1.0])
    # Downwards only, so that nothing burns out: the colour changes, not the exposure.
    gains = np.array([1 + change, 1.0, 1 - change], np.float32) / np.float32(1 + abs(change))
    return _bytes(image * gains)


def _stained(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Another stain: half or twice as strong, or with its colours' shares moved by a third."""
    blank = _blank(image)
    density = optical_density(image, estimate_background(Pyramid(image)))
    kind = int(rng.integers(3))
    if kind < 2:
        density *= (rng.uniform(0.4, 0.5), rng.uniform(2.0, 2.5))[kind]
    else:
        shift = rng.uniform(0.35, 0.5) * rng.choice([-1.0, 1.0])
        density *= np.array([1.0, 1 - shift, 1 + shift], np.float32)
    return _bytes(blank * 10**-density)


def _empty(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    return _bytes(_blank(image) + rng.normal(0.0, 2.0, image.shape).astype(np.float32))


def _piled(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Six layers of the field over each other: the thick end of a smear."""
    blank = _blank(image)
    through = np.ones_like(blank)
    clear = np.minimum(image / blank, 1.02).astype(np.float32)
    for _ in range(6):
        shift = (int(rng.integers(image.shape[0])), int(rng.integers(image.shape[1])))
        through *= np.roll(clear, shift, (0, 1))[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]
    return _bytes(blank * through)


def _bubble(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Put an air bubble into the oil: a dark rim around a circle without focus."""
    height, width = image.shape[:2]
    radius = rng.uniform(0.12, 0.35) * min(height, width)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    from_centre = np.hypot(columns - np.float32(x), rows - np.float32(y))
    blurred = cv2.GaussianBlur(image, (0, 0), max(1.0, 0.03 * min(height, width)))
    inside = (from_centre < radius)[..., None]
    light = np.where(inside, blurred * np.float32(rng.uniform(0.85, 1.0)), image)
    rim = np.exp(-(((from_centre - radius) / (0.1 * radius)) ** 2)) * rng.uniform(0.4, 0.9)
    return _bytes(light * 10 ** -rim[..., None])


def _dirt(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Put a dark speck with a soft edge onto it, grey to brownish."""
    height, width = image.shape[:2]
    size = min(height, width)
    shape = np.zeros((height, width), np.float32)
    centre = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    radius = rng.uniform(0.06, 0.2) * size
    for _ in range(5):
        x, y = centre + rng.normal(0.0, 0.5 * radius, 2)
        axes = (int(radius * rng.uniform(0.5, 1.0)) + 1, int(radius * rng.uniform(0.3, 0.8)) + 1)
        cv2.ellipse(shape, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, (1.0,), -1)
    shape = np.asarray(cv2.GaussianBlur(shape, (0, 0), max(1.0, 0.01 * size)), dtype=np.float32)
    tint = np.array([1.0, rng.uniform(1.0, 1.15), rng.uniform(1.0, 1.35)]) * rng.uniform(0.5, 1.2)
    return _bytes(image * 10 ** -(shape[..., None] * tint))


def _torn(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Rows from one exposure above, from another place of the slide below."""
    height, width = image.shape[:2]
    other = np.roll(image, (int(rng.integers(height)), int(rng.integers(width // 10, width // 2))), (0, 1))
    row = int(rng.integers(height // 5, 4 * height // 5))
    return np.ascontiguousarray(np.concatenate([image[:row], other[row:]]))


def _half(image: UInt8Image, _scale: float, rng: np.random.Generator) -> UInt8Image:
    """Rows that never came: black, grey, or the last one over and over."""
    copy = image.copy()
    row = int(rng.integers(image.shape[0] // 5, 4 * image.shape[0] // 5))
    kind = int(rng.integers(3))
    copy[row:] = (0, 128, copy[row - 1])[kind]
    return copy


#: 1.5 µm of blur are 2.1 µm of defocus at NA 1.25, where nuclei run into each other; 1.0 µm are 1.4.
DEGRADATIONS = (
    Degradation("blur of 1.0 µm", "file", ("out_of_focus",), _defocused(1.0)),
    Degradation("blur of 1.5 µm", "file", ("out_of_focus",), _defocused(1.5)),
    Degradation("blur of 2.5 µm", "file", ("out_of_focus",), _defocused(2.5)),
    Degradation("hardly any light", "file", ("underexposed",), _exposed(0.001, 0.006)),
    Degradation("burnt out", "file", ("overexposed",), _exposed(1e5, 1e6)),
    Degradation("bubble", "file", ("obstructed",), _bubble),
    Degradation("dirt", "file", ("obstructed",), _dirt),
    Degradation("six layers of cells", "file", ("too_dense",), _piled, whole_fields=True),
    Degradation("lamp at a third", "live", ("underexposed",), _exposed(0.2, 0.33)),
    Degradation("lamp three times as bright", "live", ("overexposed", "colour_drift"), _exposed(3.0, 6.0)),
    Degradation("another light", "live", ("colour_drift",), _tinted),
    Degradation("another stain", "live", ("stain_drift",), _stained),
    Degradation("blank slide", "live", ("blank",), _empty),
    Degradation("rows missing", "camera", ("incomplete",), _half),
    Degradation("torn", "camera", ("torn",), _torn, whole_fields=True),
)


def _blank(image: UInt8Image) -> NDArray[np.float32]:
    grid = estimate_background(Pyramid(image)).grid
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _bytes(values: NDArray[Any]) -> UInt8Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
