"""The form of ALLNET of Sampathila et al. 2022: stacked convolutions with batch norm, pooling and dropout.

References
----------
N. Sampathila et al., "Customized deep learning classifier for detection of acute lymphoblastic leukemia using
blood smear images", Healthcare 10, 1812, 2022.
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
FILTERS = (16, 32, 64, 128)
DENSE = 128
DROPOUT = 0.25


@dataclass(frozen=True, slots=True)
class Sampathila2022(PublishedNetwork):
    """The recipe."""

    name: str = "sampathila2022"
    spec: InputSpec = SPEC
    epochs: int = 20

    def networks(self) -> list[tuple[float, keras.Model]]:
        """Build four blocks of a 3×3 convolution, batch norm, max-pooling and dropout, and a dense layer."""
        keras = load_keras()
        layers = keras.layers
        crop, features = scaled_input(self.spec.size_px)
        for filters in FILTERS:
            features = layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
            features = layers.BatchNormalization(momentum=0.9)(features)
            features = layers.Dropout(DROPOUT)(layers.MaxPooling2D(2)(features))
        features = layers.Dense(DENSE, activation="relu")(layers.Flatten()(features))
        features = layers.Dropout(2 * DROPOUT)(features)
        return [(1.0, keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(features)))]
