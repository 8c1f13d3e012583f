"""From a Keras model to a ``.tflite`` file, by a recipe, through TensorFlow's converter."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_tensorflow, native_silence
from convert.flatbuffer.half import halve_dense_weights
from convert.flatbuffer.logits import interleave_logits, narrow_logits
from convert.graph.biases import correct_biases
from convert.graph.equalise import centre_logits, ends_in_dense_softmax, equalise_channels
from convert.graph.rescale import fold_offset
from convert.graph.static import refuse_difference, static_graph
from convert.recipes import REFINED, Recipe
from edge.errors import ModelError

if TYPE_CHECKING:
    import keras

#: Left in float where the head is: dense layers and what joins and averages their inputs. Any of them left in
#: int8 between float ones would only round what is there in float already.
_HEAD_OPS = ("MEAN", "REDUCE_MAX", "CONCATENATION", "ADD", "FULLY_CONNECTED", "SOFTMAX")


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
    folded = fold_offset(model)
    if folded is not model:
        refuse_difference(model, folded, "the copy without an offset")
    network = static_graph(folded)
    if recipe.narrow_logits:
        centre_logits(network)
    if recipe.equalise:
        equalise_channels(network, calibration)
        refuse_difference(model, network, "the equalised copy")
    return network


def convert_network(network: keras.Model, calibration: NDArray[np.uint8], recipe: Recipe) -> bytes:
    """Run TensorFlow's converter.

    Parameters
    ----------
    network : from :func:`convert.graph.static.static_graph`
    calibration : (n, s, s, 3) uint8 RGB; activation ranges are measured on these
    recipe : its precision and float head are what counts here

    Returns
    -------
    bytes
        The ``.tflite`` file.

    Raises
    ------
    ModelError
        The graph cannot be carried out in this precision alone.
    """
    tf = load_tensorflow()
    failure = importlib.import_module("tensorflow.lite.python.convert_phase").ConverterError
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if recipe.precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _representative(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    # Layers can be left out only between measuring and quantising; the public interface does both in one go.
    converter._experimental_calibrate_only = recipe.float_head
    try:
        with native_silence(), warnings.catch_warnings():
            # Said of every int8 input: the converter would rather be told the range that it then measures.
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            content = cast(bytes, converter.convert())
            return halve_dense_weights(_quantise_body(content, tf)) if recipe.float_head else content
    except (RuntimeError, ValueError, tf.errors.OpError, failure) as error:
        unknown = re.search(r"(?:TF Select|Custom) ops: (.+)", str(error))
        reason = f"TFLite has no {unknown[1]}" if unknown else str(error).strip().partition("\n")[0][:200]
        raise ModelError(
            f"TensorFlow cannot convert {network.name} to {recipe.precision} ({reason}); "
            "use layers that TFLite has"
        ) from error


def _representative(calibration: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    # The input's scale must be exactly 1 and its zero point -128, so that the device needs a flip of
    # a bit only: two corner pixels bring the range of every crop to 0 to 255 and disturb nothing else.
    for crop in calibration.astype(np.float32):
        crop[0, 0], crop[-1, -1] = 0.0, 255.0
        yield [crop[None]]


def _quantise_body(content: bytes, tf: ModuleType) -> bytes:
    """Quantise a file whose ranges are measured, but for its head."""
    quantize = importlib.import_module("tensorflow.lite.python.convert").mlir_quantize
    quantised = quantize(
        content,
        input_data_type=tf.int8,
        output_data_type=tf.float32,
        denylisted_ops=list(_HEAD_OPS),
    )
    return cast(bytes, quantised)
