"""The Keras graph made ready for export: checked, and with shapes that are known before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from convert.backend import load_keras, predict
from convert.graph.rescale import CONSTANT_PAD, copy_constant_pad
from edge.errors import ModelError

if TYPE_CHECKING:
    import keras

#: Name of the layer that takes the place of Flatten and Reshape.
STATIC_RESHAPE = "StaticReshape"


def one_graph(model: keras.Model) -> keras.Model:
    """Write a Sequential model, those inside it opened, as one graph in which every layer has its input.

    Parameters
    ----------
    model : Keras model

    Returns
    -------
    keras.Model
        A copy that computes the same; the model itself where it is no Sequential.

    Raises
    ------
    ModelError
        The model was never built, so that it holds no weights, or computes something else as one graph.
    """
    keras_module = load_keras()
    if not isinstance(model, keras_module.Sequential):
        return model
    if not model.built:
        raise ModelError(
            f"{model.name}: the model was never built and holds no weights; train it, then save it again"
        )
    tensor = crop = keras_module.Input(model.input_shape[1:])
    for layer in _layers_in_turn(model):
        copy = layer.__class__.from_config(layer.get_config())
        tensor = copy(tensor)
        copy.set_weights(layer.get_weights())
    graph = keras_module.Model(crop, tensor, name=model.name)
    check_model(graph)
    refuse_difference(model, graph, "the model as one graph")
    return cast("keras.Model", graph)


def _layers_in_turn(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, load_keras().Sequential):
            yield from _layers_in_turn(layer)
        else:
            yield layer


def check_model(model: keras.Model) -> int:
    """Refuse a model that is no classifier of square RGB crops into normal and blast.

    Parameters
    ----------
    model : Keras model

    Returns
    -------
    int
        Side of its input in px.

    Raises
    ------
    ModelError
        The input or output has another shape.
    """
    inputs, outputs = model.input_shape, model.output_shape
    if not (
        isinstance(inputs, tuple)
        and len(inputs) == 4
        and inputs[1] is not None
        and inputs[1] == inputs[2]
        and inputs[3] == 3
    ):
        raise ModelError(
            f"{model.name}: input must be (None, size, size, 3), got {inputs}; train it on crops"
        )
    if outputs != (None, 2):
        raise ModelError(f"{model.name}: output must be (None, 2) (normal, blast), got {outputs}")
    if not np.allclose(predict(model, np.zeros((1, *inputs[1:]), np.uint8)).sum(), 1.0, atol=1e-4):
        raise ModelError(f"{model.name}: outputs must be probabilities that sum to 1; end it in a softmax")
    return int(inputs[1])


def static_graph(model: keras.Model) -> keras.Model:
    """Copy a model with every ``Flatten`` and ``Reshape`` replaced by a reshape to (-1, constants).

    Keras asks for the batch size at run time where it flattens, which TFLite carries out as SHAPE,
    STRIDED_SLICE and PACK operations. With them tflite-runtime 2.14 drops its fast kernels (a float network
    takes 14.5 instead of 4.5 ms) and batches gain nothing in LiteRT. With the constant, any
    batch can still be set with ``resize_tensor_input``.

    Parameters
    ----------
    model : Keras model of built-in layers

    Returns
    -------
    keras.Model
        Same weights, same outputs.

    Raises
    ------
    ModelError
        The copy does not give the same outputs.
    """
    keras_module = load_keras()
    layers = keras_module.layers

    class StaticReshape(layers.Layer):  # type: ignore[misc,name-defined]  # loaded on demand, without types
        """Reshape to a constant shape behind the batch."""

        def __init__(self, shape: tuple[int, ...], name: str) -> None:
            super().__init__(name=name)
            self.shape = shape

        def call(self, tensor: object) -> object:
            return keras_module.ops.reshape(tensor, (-1, *self.shape))

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        reshapes = isinstance(layer, layers.Flatten | layers.Reshape)
        if reshapes or type(layer).__name__ == STATIC_RESHAPE:  # the class is a new one at every call
            return StaticReshape(tuple(layer.output.shape[1:]), layer.name)
        if type(layer).__name__ == CONSTANT_PAD:
            return copy_constant_pad(layer)
        return layer.__class__.from_config(layer.get_config())

    static = keras_module.models.clone_model(model, clone_function=copy)
    static.set_weights(model.get_weights())
    refuse_difference(model, static, "the static copy")
    return static


def refuse_difference(model: keras.Model, other: keras.Model, what: str, tolerance: float = 1e-4) -> None:
    """Check on noise that a rewritten model still computes what the original does.

    Parameters
    ----------
    model, other : original and rewritten model
    what : names the rewritten one in the message
    tolerance : largest difference of a probability; 1e-4 is a thousand times what float32 sums in another
        order differ by, and a fortieth of an int8 output's step

    Raises
    ------
    ModelError
        They differ.
    """
    size_px = model.input_shape[1]
    noise = np.random.default_rng(0).integers(0, 256, (8, size_px, size_px, 3), dtype=np.uint8)
    # Smooth crops as well: on pure noise all features of a pooled network look alike.
    ramp = np.linspace(0, 255, size_px).astype(np.uint8)
    noise[4:] = noise[4:] // 4 + (ramp[None, :, None, None] * 0.75).astype(np.uint8)
    difference = float(np.abs(predict(model, noise) - predict(other, noise)).max())
    if not difference <= tolerance:
        raise ModelError(
            f"{model.name}: {what} differs from the model by {difference:.2g} in p, "
            f"at most {tolerance:g} expected; use built-in layers only"
        )
