"""The pair of Jiang et al. 2021, a vision transformer and a CNN that are heard together, in a small size.

References
----------
Z. Jiang, Z. Dong, L. Wang, W. Jiang, "Method for diagnosis of acute lymphoblastic leukemia based on ViT-CNN
ensemble model", Comput. Intell. Neurosci. 2021, 7529893.
A. Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale", ICLR
2021.
M. Tan, Q. V. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
Y. Wang et al., "Symmetric cross entropy for robust learning with noisy labels", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.structures import InputSpec
from training.backend import load_keras
from training.recipes.published import PublishedNetwork, scaled_input

if TYPE_CHECKING:
    import keras

SPEC = InputSpec(size_px=64)
#: Weight of the transformer's word and of the CNN's.
TRANSFORMER, CNN = 0.7, 0.3
#: Of the transformer; ViT-Base has patches of 16 px of 224, a width of 768, 12 blocks and 12 heads.
PATCH_PX, WIDTH, BLOCKS, HEADS = 8, 48, 4, 4
#: Filters of the CNN's inverted residuals; the first convolution has the first.
FILTERS = (16, 24, 40, 64)
EXPANSION = 4
#: Of the symmetric cross-entropy: weights of the usual and the reversed term, and what stands for log 0.
ALPHA, BETA, LOG_ZERO = 1.0, 0.5, -4.0


@dataclass(frozen=True, slots=True)
class Jiang2021(PublishedNetwork):
    """The recipe."""

    name: str = "jiang2021"
    spec: InputSpec = SPEC
    epochs: int = 20

    def networks(self) -> list[tuple[float, keras.Model]]:
        """Build both networks."""
        return [(TRANSFORMER, transformer(self.spec.size_px)), (CNN, cnn(self.spec.size_px))]

    def loss(self) -> Callable[..., Any]:
        """Return the symmetric cross-entropy, which trusts labels less than the usual one."""
        ops = load_keras().ops

        def symmetric(labels: Any, p: Any) -> Any:  # noqa: ANN401  # tensors
            truth = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), 2)
            usual = -ops.sum(truth * ops.log(ops.clip(p, 1e-7, 1.0)), axis=-1)
            return ALPHA * usual - BETA * LOG_ZERO * ops.sum(p * (1.0 - truth), axis=-1)

        return symmetric


def transformer(size_px: int) -> keras.Model:
    """Build a vision transformer; the mean of all patches stands for the class token."""
    keras = load_keras()
    layers = keras.layers
    crop, features = scaled_input(size_px)
    patches = layers.Conv2D(WIDTH, PATCH_PX, strides=PATCH_PX)(features)
    tokens = layers.Reshape((-1, WIDTH))(patches)
    n = (size_px // PATCH_PX) ** 2
    place = layers.Embedding(n, WIDTH)(keras.ops.expand_dims(keras.ops.arange(n), 0))
    tokens = tokens + place
    for _ in range(BLOCKS):
        normed = layers.LayerNormalization()(tokens)
        tokens = tokens + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(normed, normed)
        normed = layers.LayerNormalization()(tokens)
        tokens = tokens + layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, activation="gelu")(normed))
    mean = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(tokens))
    return keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(mean), name="vit")


def cnn(size_px: int) -> keras.Model:
    """Build EfficientNet's form: inverted residuals of 3×3, each halving, and the mean over the crop."""
    keras = load_keras()
    layers = keras.layers
    crop, features = scaled_input(size_px)

    def normed(features: Any, activation: str | None = "relu6") -> Any:  # noqa: ANN401  # tensors
        features = layers.BatchNormalization(momentum=0.9)(features)
        return features if activation is None else layers.Activation(activation)(features)

    features = normed(layers.Conv2D(FILTERS[0], 3, strides=2, padding="same", use_bias=False)(features))
    for filters in FILTERS[1:]:
        wide = normed(layers.Conv2D(EXPANSION * features.shape[-1], 1, use_bias=False)(features))
        wide = normed(layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(wide))
        features = normed(layers.Conv2D(filters, 1, use_bias=False)(wide), activation=None)
    mean = layers.GlobalAveragePooling2D()(layers.Activation("relu6")(features))
    return keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(mean), name="cnn")
