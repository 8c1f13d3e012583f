"""An input that is shifted inside the graph, folded into the convolution behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from convert.backend import load_keras

if TYPE_CHECKING:
    import keras

#: Name of the layer that takes the place of a Rescaling with an offset.
CONSTANT_PAD = "ConstantPad"


def constant_pad(pixels: int, value: float, name: str) -> keras.layers.Layer:
    """Make a layer that pads images with one value on all four sides.

    Parameters
    ----------
    pixels : on each side
    value : of what is added
    name : of the layer
    """
    keras_module = load_keras()

    class ConstantPad(keras_module.layers.Layer):  # type: ignore[misc,name-defined]  # loaded on demand
        """Pad with one value."""

        def __init__(self, pixels: int, value: float, name: str) -> None:
            super().__init__(name=name)
            self.pixels, self.value = pixels, value

        def call(self, tensor: object) -> object:
            around = (self.pixels, self.pixels)
            return keras_module.ops.pad(tensor, ((0, 0), around, around, (0, 0)), constant_values=self.value)

    return ConstantPad(pixels, value, name)


def copy_constant_pad(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Make a layer like one of :func:`constant_pad`, whose class is a new one at every call."""
    return constant_pad(layer.pixels, layer.value, layer.name)


def fold_offset(model: keras.Model) -> keras.Model:
    """Carry a shifted input's factor and offset in the weights of the convolution that reads it.

    ``Rescaling(1 / 127.5, offset=-1)`` in front of a convolution with "same" padding: the converter folds a
    factor into the convolution, but not an offset, because behind it padding is 0, which is mid-grey and no
    longer black. Left alone (TensorFlow 2.19) it becomes a MUL whose int8 steps are 1.5 levels and an ADD
    whose zero lies half-way between two steps, so that every pixel is off and rounding decides which way.
    Here the raw crop is padded with the level that the offset brings to 0 (127.5; in int8 half a level off,
    at the border only) and the convolution does the rest: k * (s x + o) + b = (s k) * x + (b + o sum(k)).

    Parameters
    ----------
    model : Keras model whose first layer behind the input may be such a Rescaling

    Returns
    -------
    keras.Model
        A copy that computes the same; the model itself where there is nothing to fold.
    """
    keras_module = load_keras()
    found = _rescaling_and_convolution(model)
    if found is None:
        return model
    rescaling, convolution = found
    scale, offset = float(rescaling.scale), float(rescaling.offset)
    pixels = convolution.kernel_size[0] // 2

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer is rescaling:
            return constant_pad(pixels, -offset / scale, layer.name)
        config = layer.get_config()
        return layer.__class__.from_config(config | {"padding": "valid"} if layer is convolution else config)

    folded = keras_module.models.clone_model(model, clone_function=copy)
    folded.set_weights(model.get_weights())
    kernel, bias = convolution.get_weights()
    folded.get_layer(convolution.name).set_weights(
        [kernel * np.float32(scale), bias + offset * kernel.sum(axis=(0, 1, 2))]
    )
    return cast("keras.Model", folded)


def _rescaling_and_convolution(
    model: keras.Model,
) -> tuple[keras.layers.Layer, keras.layers.Layer] | None:
    """Find a Rescaling of the input with an offset, and the one convolution that reads it."""
    layers = load_keras().layers
    for rescaling in model.layers:
        if not isinstance(rescaling, layers.Rescaling) or not np.isscalar(rescaling.offset):
            continue
        if not rescaling.offset or not np.isscalar(rescaling.scale):
            continue
        readers = [
            layer
            for layer in model.layers
            if any(tensor is rescaling.output for tensor in _inputs(layer)) and layer is not rescaling
        ]
        if len(readers) == 1 and _can_be_padded_before(readers[0]):
            return rescaling, readers[0]
    return None


def _inputs(layer: keras.layers.Layer) -> list[object]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _can_be_padded_before(layer: keras.layers.Layer) -> bool:
    """Whether padding by half the kernel, then a convolution without padding, is the same convolution."""
    return (
        isinstance(layer, load_keras().layers.Conv2D)
        and layer.padding == "same"
        and layer.use_bias
        and layer.groups == 1
        and tuple(layer.strides) == tuple(layer.dilation_rate) == (1, 1)
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.kernel_size[0] % 2 == 1
    )
