"""From a Keras model to a full-int8 TFLite file."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, load_schema, load_tensorflow, native_silence, predict
from convert.equalise import centre_logits, equalise_channels
from convert.graph import refuse_difference, static_graph
from edge.errors import ModelError

if TYPE_CHECKING:
    import keras

#: Half the difference of logits at which p is 511/512, half a step of the int8 output from 1: what lies
#: beyond cannot be told apart in the output, so steps spent on it are lost. ln(511) / 2 = 3.12.
LOGIT_LIMIT = 3.12


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done beside TensorFlow's plain min-max conversion.

    Attributes
    ----------
    name : as it stands in the card
    equalise : bring all channels of a convolution to one range (:func:`convert.equalise.equalise_channels`)
    correct_bias : take the mean error of rounded weights out of the biases (:func:`correct_biases`)
    narrow_logits : give the logits' steps to where the decision falls (:func:`narrow_logits`)
    """

    name: str
    equalise: bool
    correct_bias: bool
    narrow_logits: bool


PLAIN = Recipe("plain", equalise=False, correct_bias=False, narrow_logits=False)
REFINED = Recipe("refined", equalise=True, correct_bias=True, narrow_logits=True)
RECIPES = {recipe.name: recipe for recipe in (PLAIN, REFINED)}


def quantise(
    model: keras.Model,
    calibration: NDArray[np.uint8],
    recipe: Recipe = REFINED,
    tick: Callable[[str], None] = lambda stage: None,
) -> bytes:
    """Convert a classifier to int8 weights, activations, input and output.

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
        The graph cannot be carried out in int8 alone.
    """
    tick("static graph")
    network = static_graph(model)
    centred = False
    if recipe.narrow_logits:
        centred = centre_logits(network)
    if recipe.equalise:
        tick("equalisation")
        equalise_channels(network, calibration)
        refuse_difference(model, network, "the equalised copy")
    if recipe.correct_bias:
        tick("bias correction")
        correct_biases(network, calibration)
    tick("conversion")
    content = _convert(network, calibration)
    if centred:
        content = narrow_logits(content)
    return content


def correct_biases(model: keras.Model, calibration: NDArray[np.uint8]) -> None:
    """Take the mean error that rounded weights cause out of the biases, in place [1]_.

    Layer by layer from the input: the mean of each output channel before its activation, over the calibration
    crops, of the float network and of a copy with weights rounded as TFLite rounds them (int8,
    symmetric, one scale an output channel); their difference is subtracted from the bias.

    Parameters
    ----------
    model : float network; its biases are changed in place, not its weights
    calibration : (n, s, s, 3) uint8 RGB

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
        twin = rounded.get_layer(layer.name)
        twin.set_weights([round_weights(kernel), bias])
        error = _mean_before_activation(rounded, layer.name, calibration) - _mean_before_activation(
            reference, layer.name, calibration
        )
        layer.set_weights([kernel, bias - error])
        twin.set_weights([round_weights(kernel), bias - error])


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


def _convert(network: keras.Model, calibration: NDArray[np.uint8]) -> bytes:
    """Run TensorFlow's converter; activation ranges are minimum and maximum over the calibration crops."""
    tf = load_tensorflow()
    converter_error = importlib.import_module("tensorflow.lite.python.convert_phase").ConverterError

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        # The input's scale must be exactly 1 and its zero point -128, so that the device needs a flip of
        # a bit only: two corner pixels bring the range of every crop to 0 to 255 and disturb nothing else.
        for crop in calibration.astype(np.float32):
            crop[0, 0], crop[-1, -1] = 0.0, 255.0
            yield [crop[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    try:
        with native_silence(), warnings.catch_warnings():
            # Said of every int8 input: the converter would rather be told the range that it then measures.
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            return cast(bytes, converter.convert())
    except (RuntimeError, ValueError, tf.errors.OpError, converter_error) as error:
        unknown = re.search(r"(?:TF Select|Custom) ops: (.+)", str(error))
        reason = f"TFLite has no {unknown[1]}" if unknown else str(error).strip().partition("\n")[0][:200]
        raise ModelError(
            f"TensorFlow cannot convert {network.name} to int8 ({reason}); use layers that TFLite has"
        ) from error


def narrow_logits(content: bytes) -> bytes:
    """Set the range of the softmax's input to [-LOGIT_LIMIT, LOGIT_LIMIT].

    Min-max calibration stretches it over the surest crops: with logits to ±19 a step is 0.15, which near the
    decision is 0.04 in p. A fully connected layer clips to its output's range, and its kernels take the
    scale from the tensor, so nothing else in the file changes. The logits must be each other's
    negative (:func:`convert.equalise.centre_logits`), or clipping one would move the difference.

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
    builder = importlib.import_module("flatbuffers").Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
