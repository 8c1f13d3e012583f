"""Proof from the weights that no sum in the network can leave its accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.flatbuffer.schema import FlatObject, operation_names, short_name, type_names, unpack

#: What the accumulator of int8 kernels holds.
_LIMIT = 2**31 - 1
#: Largest stored activation, in absolute value.
_INT8_PEAK = 128
#: Operations with weights, by the schema's name; each has input, weights and bias in this order.
WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_DTYPES = {"INT8": np.int8, "INT32": np.int32}


@dataclass(frozen=True, slots=True)
class Accumulator:
    """The largest sum that a layer's worst output channel can come to.

    Attributes
    ----------
    layer : the output tensor's name
    bound : no input whatever gives a sum, or partial sum in any order, beyond it
    limit : what the accumulator holds
    """

    layer: str
    bound: int
    limit: int


def accumulators(content: bytes) -> tuple[Accumulator, ...]:
    """Bound the integer sums of every convolution and dense layer of a file.

    A kernel adds (x - zero point) * w and the bias; XNNPACK adds x * w and folds the zero point's share into
    the bias. |bias| + (max|x| + |zero point|) * sum|w| bounds both, and any partial sum in any order.

    Parameters
    ----------
    content : ``.tflite`` file

    Returns
    -------
    tuple of Accumulator
        One for each layer that computes in integers, in the file's order; none for a float file.
    """
    model, types, found = unpack(content), type_names(), []
    graph = model.subgraphs[0]
    for operator, op in zip(graph.operators, operation_names(model), strict=True):
        if op not in WEIGHTED_OPS or types[graph.tensors[operator.inputs[0]].type] != "INT8":
            continue  # has no weights, or computes in float
        tensor, weights = (graph.tensors[i] for i in operator.inputs[:2])
        kernel = np.abs(_values(model, weights, types).astype(np.int64))
        # Depthwise kernels are (1, rows, columns, channels), all others start with the output channel.
        channels = -1 if op == "DEPTHWISE_CONV_2D" else 0
        sums = np.moveaxis(kernel, channels, 0).reshape(kernel.shape[channels], -1).sum(axis=1)
        bound = sums * (_INT8_PEAK + abs(int(tensor.quantization.zeroPoint[0])))
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = graph.tensors[operator.inputs[2]]
            bound = bound + np.abs(_values(model, bias, types).astype(np.int64))
        name = graph.tensors[operator.outputs[0]].name.decode()
        found.append(Accumulator(short_name(name), int(bound.max()), _LIMIT))
    return tuple(found)


def _values(model: FlatObject, tensor: FlatObject, types: dict[int, str]) -> NDArray[Any]:
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
    return np.frombuffer(data, _DTYPES[types[tensor.type]]).reshape(tensor.shape)
