"""Writes the tiny bundle beside it: ``python tests/edge/data/make_tiny.py`` (needs ``blastcount[convert]``).

A classifier of 16 px crops that tells large purple discs ("blast") from small pink ones ("normal"), trained
in seconds on drawn discs and converted by the package's own converter. It exists so that tests of loading and
running a model need no TensorFlow; it knows nothing about cells. Temperature and band are not the defaults,
so that the tests see them work.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras
from convert.bundle import check_output, export
from convert.draft import read_draft
from convert.gate.crops import Crops
from convert.recipes import REFINED

SIZE_PX = 16
CARD = {
    "name": "tiny",
    "input": {"size_px": SIZE_PX, "field_of_view_um": 24.0, "white_point": 235, "channels": "RGB"},
    "decision": {"threshold": 0.5, "uncertain_low": 0.4, "uncertain_high": 0.6, "temperature": 1.5},
    "training": {"data": "drawn discs"},
    "limits": ["Knows drawn discs, not cells: for tests only."],
    "intended_use": "Tests of this software only. Research use only.",
}


def discs(
    n: int,
    seed: int,
    *,
    size_px: int = SIZE_PX,
    radii_px: tuple[float, float] = (3.5, 5.0),
    spread_px: float = 0.7,
    colour_spread: float = 15.0,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw n crops and their labels: 1 for large and purple, 0 for small and pink, with many in between."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    y, x = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    crops = np.empty((n, size_px, size_px, 3), np.uint8)
    for i, label in enumerate(labels):
        radius = rng.normal(radii_px[label], spread_px)
        colour = np.array([110, 60, 160] if label else [190, 110, 130]) + rng.normal(0, colour_spread, 3)
        inside = np.hypot(x - rng.normal(), y - rng.normal()) < radius
        picture = np.where(inside[..., None], colour, 230.0) + rng.normal(0, 8, (size_px, size_px, 3))
        crops[i] = np.clip(picture, 0, 255)
    return crops, labels


def main() -> None:
    """Train, convert and write the bundle."""
    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    crop = keras.Input((SIZE_PX, SIZE_PX, 3))
    features = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(crop))
    features = layers.MaxPooling2D(2)(features)
    model = keras.Model(crop, layers.Dense(2, activation="softmax")(layers.Flatten()(features)), name="tiny")
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    crops, labels = discs(600, seed=1)
    model.fit(crops.astype(np.float32), labels, epochs=12, batch_size=32, verbose=0)
    folder = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        card = Path(scratch) / "card.json"
        card.write_text(json.dumps(CARD))
        result = export(
            model,
            read_draft(card, SIZE_PX),
            Crops(crops, None, "discs, seed 1"),
            Crops(discs(300, seed=2)[0], None, "discs, seed 2"),
            check_output(folder, "tiny", force=True),
            recipe=REFINED,
            allow_open=True,  # drawn discs have no fields
        )
    result.verdict.refuse()


if __name__ == "__main__":
    main()
