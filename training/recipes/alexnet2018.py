"""AlexNet's form, as Shafique & Tehsin 2018 and Rehman et al. 2018 use it, small enough to train here.

References
----------
A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional neural networks",
NeurIPS 2012.
S. Shafique, S. Tehsin, "Acute lymphoblastic leukemia detection and classification of its subtypes using
pretrained deep convolutional neural networks", Technol. Cancer Res. Treat. 17, 2018.
A. Rehman et al., "Classification of acute lymphoblastic leukemia using deep learning", Microsc. Res. Tech.
81, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.structures import InputSpec
from training.backend import load_keras
from training.recipes.published import PublishedNetwork, scaled_input

if TYPE_CHECKING:
    import keras

SPEC = InputSpec(size_px=96)
#: Of the five convolutions; AlexNet has four times as many, and 4096 in each dense layer.
FILTERS = (24, 64, 96, 96, 64)
DENSE = 512
DROPOUT = 0.5


@dataclass(frozen=True, slots=True)
class AlexNet2018(PublishedNetwork):
    """The recipe."""

    name: str = "alexnet2018"
    spec: InputSpec = SPEC
    epochs: int = 20
    learning_rate: float = 5e-4

    def networks(self) -> list[tuple[float, keras.Model]]:
        """Build AlexNet's five convolutions and three dense layers.

        The first convolution of 11×11 keeps its stride of 4. Batch norm stands for the local response
        normalization, without which the narrow network does not begin to learn.
        """
        keras = load_keras()
        layers = keras.layers
        crop, features = scaled_input(self.spec.size_px)
        sizes, strides, pooled = (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (True, True, False, False, True)
        for filters, size, stride, pool in zip(FILTERS, sizes, strides, pooled, strict=True):
            features = layers.Conv2D(filters, size, strides=stride, padding="same", activation="relu")(
                features
            )
            if pool:
                features = layers.BatchNormalization(momentum=0.9)(features)
                features = layers.MaxPooling2D(3, strides=2, padding="same")(features)
        features = layers.Flatten()(features)
        for _ in range(2):
            features = layers.Dropout(DROPOUT)(layers.Dense(DENSE, activation="relu")(features))
        return [(1.0, keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(features)))]
