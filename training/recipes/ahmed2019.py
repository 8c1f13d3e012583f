"""The form of the CNN of Ahmed et al. 2019: a few convolutions with max-pooling, one dense layer.

References
----------
N. Ahmed, A. Yigit, Z. Isik, A. Alpkocak, "Identification of leukemia subtypes from microscopic images using
convolutional neural network", Diagnostics 9, 104, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.structures import InputSpec
from training.backend import load_keras
from training.recipes.published import PublishedNetwork, scaled_input

if TYPE_CHECKING:
    import keras

SPEC = InputSpec(size_px=64)
FILTERS = (16, 32, 64)
DENSE = 128
DROPOUT = 0.5


@dataclass(frozen=True, slots=True)
class Ahmed2019(PublishedNetwork):
    """The recipe."""

    name: str = "ahmed2019"
    spec: InputSpec = SPEC
    epochs: int = 25

    def networks(self) -> list[tuple[float, keras.Model]]:
        """Build three convolutions of 3×3, each with max-pooling, and a dense layer with dropout."""
        keras = load_keras()
        layers = keras.layers
        crop, features = scaled_input(self.spec.size_px)
        for filters in FILTERS:
            features = layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
            features = layers.MaxPooling2D(2)(features)
        features = layers.Dense(DENSE, activation="relu")(layers.Flatten()(features))
        features = layers.Dropout(DROPOUT)(features)
        return [(1.0, keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(features)))]
