"""Proof from the weights that no sum in the network can leave its accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backend import FlatObject, code_of, load_schema

#: Bits of the accumulator and of the stored activation, by the activation's type.
_ACTIVATIONS = {"INT8": (32, 8), "INT16": (64, 16)}
#: Operations with weights, by the schema's name; each has input, weights and bias in this order.
WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_TYPES = {"INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64}


@dataclass(frozen=True, slots=True)
class Accumulator:
    """The largest sum that a layer's worst output channel can come to.

    Attributes
    ----------
    layer : the output tensor's name
    bound : no input whatever gives a sum, or partial sum in any order, beyond it
    limit : what the accumulator holds, 2^31 - 1 or 2^63 - 1
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
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    types = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    graph, found = model.subgraphs[0], []
    for operator in graph.operators:
        op = names[code_of(model.operatorCodes[operator.opcodeIndex])]
        if op not in WEIGHTED_OPS:
            continue
        tensor, weights = (graph.tensors[i] for i in operator.inputs[:2])
        if types[tensor.type] not in _ACTIVATIONS:
            continue  # computes in float
        accumulator_bits, bits = _ACTIVATIONS[types[tensor.type]]
        kernel = np.abs(_values(model, weights, types).astype(np.int64))
        # Depthwise kernels are (1, rows, columns, channels), all others start with the output channel.
        sums = (
            kernel.reshape(-1, kernel.shape[-1]).sum(0)
            if op[0] == "D"
            else kernel.reshape(len(kernel), -1).sum(1)
        )
        zero_point = int(tensor.quantization.zeroPoint[0])
        bound = sums * (2 ** (bits - 1) + abs(zero_point))
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = graph.tensors[operator.inputs[2]]
            bound = bound + np.abs(_values(model, bias, types).astype(np.int64))
        name = graph.tensors[operator.outputs[0]].name.decode()
        found.append(Accumulator(short_name(name), int(bound.max()), 2 ** (accumulator_bits - 1) - 1))
    return tuple(found)


def short_name(name: str) -> str:
    """Shorten a tensor's name to the layer that made it.

    Examples
    --------
    >>> short_name("akbar2024_1/conv1_1/Relu;akbar2024_1/conv1_1/BiasAdd")
    'conv1_1/Relu'
    >>> short_name("StatefulPartitionedCall_1:0")
    'StatefulPartitionedCall_1:0'
    """
    first = name.partition(";")[0]
    return first.partition("/")[2] or first


def _values(model: FlatObject, tensor: FlatObject, types: dict[int, str]) -> NDArray[Any]:
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
    return np.frombuffer(data, _TYPES[types[tensor.type]]).reshape(tensor.shape)
