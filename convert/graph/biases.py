"""Biases that take back the mean error of rounded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, predict
from convert.graph.static import static_graph

if TYPE_CHECKING:
    import keras


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
