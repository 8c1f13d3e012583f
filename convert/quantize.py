"""From a Keras model to a TFLite file, by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, load_schema, predict
from convert.converter import convert_network
from convert.flatbuffer.ranges import pack
from convert.graph.equalise import centre_logits, ends_in_dense_softmax, equalise_channels
from convert.graph.rescale import fold_offset
from convert.graph.static import refuse_difference, static_graph
from convert.recipes import REFINED, Recipe

if TYPE_CHECKING:
    import keras

#: Half the difference of logits at which p is 511/512, half a step of the int8 output from 1: what lies
#: beyond cannot be told apart in the output, so steps spent on it are lost. ln(511) / 2 = 3.12.
LOGIT_LIMIT = 3.12


def quantise(
    model: keras.Model,
    calibration: NDArray[np.uint8],
    recipe: Recipe = REFINED,
    tick: Callable[[str], None] = lambda stage: None,
) -> bytes:
    """Convert a classifier.

    Parameters
    ----------
    model : takes (n, s, s, 3) RGB in 0 to 255, gives (n, 2) probabilities; not changed
    calibration : (n, s, s, 3) uint8 RGB, crops that show what the device will see; never test crops
    recipe : what to do beside the plain conversion
    tick : called with each stage's name when it begins

    Returns
    -------
    bytes
        The ``.tflite`` file.

    Raises
    ------
    ModelError
        The graph cannot be carried out in the recipe's precision alone.
    """
    tick(f"{recipe.name}: static graph, equalisation")
    network = float_network(model, calibration, recipe)
    if recipe.correct_bias:
        tick(f"{recipe.name}: bias correction")
        correct_biases(network, calibration, float_head=recipe.float_head)
    tick(f"{recipe.name}: conversion")
    content = convert_network(network, calibration, recipe)
    if recipe.narrow_logits and ends_in_dense_softmax(network):
        return interleave_logits(narrow_logits(content))
    return content


def float_network(model: keras.Model, calibration: NDArray[np.uint8], recipe: Recipe) -> keras.Model:
    """Rewrite a model as a recipe wants it, without changing what it computes.

    Parameters
    ----------
    model, calibration, recipe : as for :func:`quantise`

    Returns
    -------
    keras.Model
        What the converted file is to be compared with, layer by layer.

    Raises
    ------
    ModelError
        The copy computes something else.
    """
    # TFLite has no int16 padding with a constant; there the offset stays, whose steps are fine enough.
    folded = model if recipe.precision == "int16x8" else fold_offset(model)
    if folded is not model:
        refuse_difference(model, folded, "the copy without an offset")
    network = static_graph(folded)
    if recipe.narrow_logits:
        centre_logits(network)
    if recipe.equalise:
        equalise_channels(network, calibration)
        refuse_difference(model, network, "the equalised copy")
    return network


def correct_biases(model: keras.Model, calibration: NDArray[np.uint8], *, float_head: bool = False) -> None:
    """Take the mean error that rounded weights cause out of the biases, in place [1]_.

    Layer by layer from the input: the mean of each output channel before its activation, over the calibration
    crops, of the float network and of a copy with weights rounded as TFLite rounds them (int8,
    symmetric, one scale an output channel); their difference is subtracted from the bias.

    Parameters
    ----------
    model : float network; its biases are changed in place, not its weights
    calibration : (n, s, s, 3) uint8 RGB
    float_head : dense layers stay in float, so that their weights are not rounded

    References
    ----------
    .. [1] M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight
       equalization and bias correction", ICCV 2019, section 4.2; here measured, not derived from batch norm.
    """
    keras = load_keras()
    reference = static_graph(model)
    rounded = static_graph(model)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) or not layer.use_bias:
            continue
        kernel, bias = layer.get_weights()
        # In a float head, too, biases take out what rounding in front of it has left.
        stored = kernel if float_head and isinstance(layer, keras.layers.Dense) else round_weights(kernel)
        twin = rounded.get_layer(layer.name)
        twin.set_weights([stored, bias])
        error = _mean_before_activation(rounded, layer.name, calibration) - _mean_before_activation(
            reference, layer.name, calibration
        )
        layer.set_weights([kernel, bias - error])
        twin.set_weights([stored, bias - error])


def round_weights(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round weights to what int8 with one symmetric scale an output channel can say.

    Parameters
    ----------
    kernel : (..., channels) float32

    Returns
    -------
    (..., channels) float32

    Examples
    --------
    >>> round_weights(np.float32([[1.27, 0.5], [0.333, 0.5]])).round(3)
    array([[1.27, 0.5 ],
           [0.33, 0.5 ]], dtype=float32)
    """
    peak = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)
    scale = np.where(peak > 0, peak, 1.0) / 127
    return np.asarray(np.rint(kernel / scale) * scale, np.float32)


def _mean_before_activation(model: keras.Model, name: str, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean of each output channel of a layer before its activation, over crops and places."""
    keras = load_keras()
    layer = model.get_layer(name)
    kernel, bias = layer.get_weights()
    if isinstance(layer, keras.layers.Dense):
        linear = layer.input @ keras.ops.convert_to_tensor(kernel) + bias
        return np.asarray(predict(keras.Model(model.input, linear), crops).mean(axis=0), np.float32)
    linear = keras.ops.conv(
        layer.input, kernel, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate
    )
    mean = predict(keras.Model(model.input, keras.ops.mean(linear, axis=(1, 2))), crops).mean(axis=0)
    return np.asarray(mean + bias, np.float32)


def narrow_logits(content: bytes) -> bytes:
    """Set the range of the softmax's input to [-LOGIT_LIMIT, LOGIT_LIMIT].

    Min-max calibration stretches it over the surest crops: with logits to ±19 a step is 0.15, which near the
    decision is 0.04 in p. A fully connected layer clips to its output's range, and its kernels take the
    scale from the tensor, so nothing else in the file changes. The logits must be each other's
    negative (:func:`convert.graph.equalise.centre_logits`), or clipping one would move the difference.

    Parameters
    ----------
    content : ``.tflite`` file that ends in FULLY_CONNECTED and SOFTMAX

    Returns
    -------
    bytes
        The file with that one scale changed; unchanged where the range is narrower already.
    """
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    softmax = graph.operators[-1]
    logits = graph.tensors[softmax.inputs[0]]
    scale = np.float32(LOGIT_LIMIT / 127)
    if logits.quantization.scale[0] <= scale:
        return content
    logits.quantization.scale = np.array([scale], np.float32)
    logits.quantization.zeroPoint = np.array([0], np.int64)
    return pack(model, len(content))


def interleave_logits(content: bytes) -> bytes:
    """Add a quarter of a step to both logits, so that their difference has steps half as large.

    A softmax sees only the difference z of the logits -z/2 and z/2. Rounded on the same grid they are each
    other's negative, and z moves by two steps at a time. A quarter of a step added to both leaves z alone
    and shifts the places where they round against each other by half a step: they take turns, and z moves by
    one step at a time, with half the error.

    Parameters
    ----------
    content : ``.tflite`` file that ends in FULLY_CONNECTED and SOFTMAX, its logits each other's negative

    Returns
    -------
    bytes
        The file with those two biases changed; unchanged where the last layer has none or is in float.
    """
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    dense = graph.operators[-2]
    if len(dense.inputs) < 3 or dense.inputs[2] < 0:
        return content
    logits, bias = graph.tensors[dense.outputs[0]], graph.tensors[dense.inputs[2]]
    if bias.type != schema.TensorType.INT32:
        return content
    buffer = model.buffers[bias.buffer]
    steps = np.asarray(buffer.data, np.uint8).view(np.int32)
    quarter = float(logits.quantization.scale[0]) / 4 / np.asarray(bias.quantization.scale, np.float64)
    buffer.data = (steps + np.rint(quarter).astype(np.int32)).astype(np.int32).view(np.uint8)
    return pack(model, len(content))
