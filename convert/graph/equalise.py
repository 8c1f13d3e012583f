"""Rewrites of a float network that change nothing in float and much in int8."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, predict
from convert.graph.static import STATIC_RESHAPE

if TYPE_CHECKING:
    import keras

#: A channel that is hardly ever on would be blown up by its own noise; it is brought no further than this.
MAX_GAIN = 16.0
_NOBODY = -1


@dataclass(slots=True)
class _Flow:
    """Who feeds whom: every channel of a convolution has a number, its tag.

    Attributes
    ----------
    producers : convolutions whose channels may be scaled, with the tag of their first channel
    consumers : weighted layers, with the tag behind each of their input rows
    fixed : tags that end where a factor cannot be taken back
    """

    producers: list[tuple[keras.layers.Layer, int]] = field(default_factory=list)
    consumers: list[tuple[keras.layers.Layer, NDArray[np.int64]]] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    tags: int = 0


def _follow(model: keras.Model) -> _Flow:
    """Follow every channel through layers that pass a positive factor on: f(s x) = s f(x) for s > 0."""
    layers = load_keras().layers
    passing = (
        layers.MaxPooling2D,
        layers.AveragePooling2D,
        layers.GlobalMaxPooling2D,
        layers.GlobalAveragePooling2D,
        layers.Dropout,
    )
    flow, known = _Flow(), dict[int, NDArray[np.int64]]()
    for layer in model.layers:
        incoming = layer.input if isinstance(layer.input, list) else [layer.input]
        before = [known.get(id(tensor), np.array([_NOBODY])) for tensor in incoming]
        width = layer.output.shape[-1]
        after = np.full(width, _NOBODY)
        if isinstance(layer, layers.Conv2D | layers.Dense) and not getattr(layer, "groups", 1) > 1:
            flow.consumers.append((layer, before[0]))
            if isinstance(layer, layers.Conv2D) and layer.activation.__name__ in ("relu", "linear"):
                after = np.arange(flow.tags, flow.tags + width)
                flow.producers.append((layer, flow.tags))
                flow.tags += width
        elif isinstance(layer, passing):
            after = before[0]
        elif type(layer).__name__ == STATIC_RESHAPE and len(layer.output.shape) == 2:
            after = np.tile(before[0], width // len(before[0]))
        elif isinstance(layer, layers.Concatenate) and layer.axis in (-1, len(layer.output.shape) - 1):
            after = np.concatenate(before)
        else:
            flow.fixed.update(*(tags.tolist() for tags in before))
        known[id(layer.output)] = after
    for tensor in model.outputs:
        flow.fixed.update(known[id(tensor)].tolist())
    return flow


def equalise_channels(model: keras.Model, calibration: NDArray[np.uint8]) -> int:
    """Bring the channels of a convolution half-way to one range, in place [1]_.

    Weights have one scale an output channel in int8, activations one for the whole tensor: a channel that
    peaks at a twentieth of the largest one is left with 12 of the 255 steps. Behind a ReLU and max-pooling a
    positive factor passes unchanged, so each channel is divided by the root of its peak over the calibration
    crops (relative to the network's largest) and whatever reads it, convolution or dense layer, is multiplied
    by the same. The root is the geometric mean of [1]_, equation 11: divided by its whole peak a channel
    would have all the steps, but the weights that read it would spread as far and be rounded as much more
    coarsely. Branches that are concatenated come nearer to one range, which CONCATENATION forces on them.

    Parameters
    ----------
    model : from :func:`convert.graph.static.static_graph`; changed in place
    calibration : (n, s, s, 3) uint8 RGB

    Returns
    -------
    int
        Number of channels that were scaled.

    References
    ----------
    .. [1] M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight
       equalization and bias correction", ICCV 2019, section 4.1; here with measured activation ranges.
    """
    keras = load_keras()
    flow = _follow(model)
    if not flow.producers:
        return 0
    peaks = np.zeros(flow.tags)
    for layer, first in flow.producers:
        peak_model = keras.Model(model.input, keras.ops.max(keras.ops.abs(layer.output), axis=(1, 2)))
        peaks[first : first + layer.filters] = predict(peak_model, calibration).max(axis=0)
    gains = np.sqrt(peaks / peaks.max()) if peaks.max() > 0 else np.ones_like(peaks)
    gains = np.where(peaks > 0, np.maximum(gains, 1 / MAX_GAIN), 1.0)
    gains[sorted(tag for tag in flow.fixed if tag != _NOBODY)] = 1.0
    for layer, tags in flow.consumers:
        weights = layer.get_weights()
        factors = np.where(tags == _NOBODY, 1.0, gains[tags])
        weights[0] = weights[0] * (factors[:, None] if weights[0].ndim == 2 else factors[None, None, :, None])
        layer.set_weights(weights)
    for layer, first in flow.producers:
        own = gains[first : first + layer.filters]
        layer.set_weights([weight / own for weight in layer.get_weights()])
    return int((gains != 1.0).sum())


def centre_logits(model: keras.Model) -> bool:
    """Subtract from the last layer's two columns their mean, in place.

    A softmax sees only the difference of its logits, so nothing changes; but afterwards the two are each
    other's negative, and one symmetric range [-L, L] of a few units holds all that matters of them.

    Parameters
    ----------
    model : changed in place

    Returns
    -------
    bool
        Whether the model ends in a dense softmax layer and was changed.
    """
    if not ends_in_dense_softmax(model):
        return False
    last = model.layers[-1]
    last.set_weights([weight - weight.mean(axis=-1, keepdims=True) for weight in last.get_weights()])
    return True


def ends_in_dense_softmax(model: keras.Model) -> bool:
    """Tell whether the last layer is a dense one with a softmax."""
    last = model.layers[-1]
    return isinstance(last, load_keras().layers.Dense) and last.activation.__name__ == "softmax"
