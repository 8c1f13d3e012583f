"""TensorFlow's converter, called for each precision."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_tensorflow, native_silence
from convert.flatbuffer.half import halve_dense_weights
from convert.flatbuffer.ranges import narrow_ranges
from convert.recipes import Recipe
from edge.errors import ModelError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

#: Left in float where the head is: dense layers and what joins and averages their inputs. Any of them left in
#: int8 between float ones would only round what is there in float already.
_HEAD_OPS = ("MEAN", "REDUCE_MAX", "CONCATENATION", "ADD", "FULLY_CONNECTED", "SOFTMAX")


def convert_network(network: keras.Model, calibration: NDArray[np.uint8], recipe: Recipe) -> bytes:
    """Run TensorFlow's converter.

    Parameters
    ----------
    network : from :func:`convert.graph.static.static_graph`
    calibration : (n, s, s, 3) uint8 RGB; activation ranges are measured on these
    recipe : its precision, percentile and float head are what counts here

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
    _set_up(converter, calibration, recipe, tf)
    by_range = recipe.percentile is not None or recipe.float_head
    # Ranges can be changed, and layers left out, only between measuring and quantising; the public interface
    # does both in one go.
    converter._experimental_calibrate_only = by_range
    try:
        with native_silence(), warnings.catch_warnings():
            # Said of every int8 input: the converter would rather be told the range that it then measures.
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            content = cast(bytes, converter.convert())
            if not by_range:
                return content
            if recipe.percentile is not None:
                content = narrow_ranges(content, calibration, recipe.percentile)
            content = cast(
                bytes,
                importlib.import_module("tensorflow.lite.python.convert").mlir_quantize(
                    content,
                    input_data_type=tf.int8,
                    output_data_type=tf.float32 if recipe.float_head else tf.int8,
                    denylisted_ops=list(_HEAD_OPS) if recipe.float_head else None,
                ),
            )
            return halve_dense_weights(content) if recipe.float_head else content
    except (RuntimeError, ValueError, tf.errors.OpError, failure) as error:
        unknown = re.search(r"(?:TF Select|Custom) ops: (.+)", str(error))
        reason = f"TFLite has no {unknown[1]}" if unknown else str(error).strip().partition("\n")[0][:200]
        raise ModelError(
            f"TensorFlow cannot convert {network.name} to {recipe.precision} ({reason}); "
            "use layers that TFLite has"
        ) from error


def _set_up(
    converter: tf.lite.TFLiteConverterV2, calibration: NDArray[np.uint8], recipe: Recipe, tf: ModuleType
) -> None:
    def representative() -> Iterator[list[NDArray[np.float32]]]:
        # The input's scale must be exactly 1 and its zero point -128, so that the device needs a flip of
        # a bit only: two corner pixels bring the range of every crop to 0 to 255 and disturb nothing else.
        for crop in calibration.astype(np.float32):
            crop[0, 0], crop[-1, -1] = 0.0, 255.0
            yield [crop[None]]

    if recipe.precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif recipe.precision == "int8":
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif recipe.precision == "int16x8":
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
