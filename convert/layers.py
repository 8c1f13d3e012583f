"""Where in the network the error of quantisation arises: every tensor against its float twin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.backend import FlatObject, load_schema
from convert.flatbuffer.accumulators import WEIGHTED_OPS, short_name
from convert.flatbuffer.tensors import OpTensors

#: Crops that the figures are taken over; 32 fix the signal-to-noise ratio to a tenth of a decibel.
CROPS = 32
_INTEGERS = {"INT8": np.int8, "INT16": np.int16}


@dataclass(frozen=True, slots=True)
class TensorError:
    """How far a tensor of the converted graph lies from its float twin, errors of earlier layers included.

    Attributes
    ----------
    layer, op : which layer and operation made it
    snr_db : power of the float values over that of the difference; None where they are equal
    mse : mean square of the difference
    cosine : of the angle between the two
    found_low, found_high : extremes of the float values on these crops
    low, high : what the tensor can hold; None in float
    clipped : share of the float values beyond that
    """

    layer: str
    op: str
    snr_db: float | None
    mse: float
    cosine: float
    found_low: float
    found_high: float
    low: float | None
    high: float | None
    clipped: float


@dataclass(frozen=True, slots=True)
class WeightRange:
    """The weights of a layer as the file holds them.

    Attributes
    ----------
    layer : which layer
    dtype : as stored
    count : number of weights
    low, high : extremes, in real values
    scales, scale_low, scale_high : number of scales and their extremes; 0 and None in float
    """

    layer: str
    dtype: str
    count: int
    low: float
    high: float
    scales: int
    scale_low: float | None
    scale_high: float | None


def tensor_errors(
    content: bytes, reference: bytes, crops: NDArray[np.uint8]
) -> tuple[tuple[TensorError, ...], int]:
    """Compare every tensor that an operation makes with the tensor of the same name in a float file.

    Parameters
    ----------
    content : the converted file
    reference : the same network in float32
    crops : (n, s, s, 3) uint8 RGB; the first ``CROPS`` are used

    Returns
    -------
    errors : worst signal-to-noise ratio first
    unmatched : operations whose tensor has no twin, such as the quantisation of a float input
    """
    ours, theirs = OpTensors(content), OpTensors(reference)
    twins = {name: i for i, name in enumerate(theirs.names) if i in theirs.made_by}
    pairs = {i: twins[ours.names[i]] for i in ours.made_by if ours.names[i] in twins}
    ranges = {i: ours.range(i) for i in pairs}
    sums = {i: np.zeros(5) for i in pairs}  # signal², difference², ours², product, clipped
    extremes = dict.fromkeys(pairs, (math.inf, -math.inf))
    counts = dict.fromkeys(pairs, 0)
    for crop in crops[:CROPS]:
        found = ours.run(crop, tuple(pairs))
        expected = theirs.run(crop, tuple(pairs.values()))
        for i, twin in pairs.items():
            a, b = found[i].astype(np.float64).ravel(), expected[twin].astype(np.float64).ravel()
            low, high = ranges[i] or (-math.inf, math.inf)
            clipped = np.count_nonzero((b < low) | (b > high))
            sums[i] += np.array([b @ b, (a - b) @ (a - b), a @ a, a @ b, clipped], np.float64)
            extremes[i] = (min(extremes[i][0], b.min()), max(extremes[i][1], b.max()))
            counts[i] += b.size
    errors = []
    for i in pairs:
        signal, noise, own, product, beyond = (float(value) for value in sums[i])
        held = ranges[i]
        errors.append(
            TensorError(
                layer=short_name(ours.names[i]),
                op=ours.made_by[i],
                snr_db=10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None,
                mse=noise / counts[i],
                cosine=product / math.sqrt(signal * own) if signal * own > 0 else 1.0,
                found_low=float(extremes[i][0]),
                found_high=float(extremes[i][1]),
                low=None if held is None else held[0],
                high=None if held is None else held[1],
                clipped=beyond / counts[i],
            )
        )
    errors.sort(key=lambda error: math.inf if error.snr_db is None else error.snr_db)
    return tuple(errors), len(ours.made_by) - len(pairs)


def weight_ranges(content: bytes) -> tuple[WeightRange, ...]:
    """Read the weights of every convolution and dense layer that the file holds as numbers.

    Parameters
    ----------
    content : ``.tflite`` file

    Returns
    -------
    tuple of WeightRange
        In the file's order; without float16 weights, which stand behind an operation of their own.
    """
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    types = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    graph, tensors, found = model.subgraphs[0], OpTensors(content), []
    for op, inputs, output in tensors.ops:
        tensor = graph.tensors[inputs[1]] if op in WEIGHTED_OPS else None
        if tensor is not None and model.buffers[tensor.buffer].data is not None:
            name = short_name(tensors.names[output])
            found.append(_weight_range(name, tensor, model.buffers[tensor.buffer].data, types[tensor.type]))
    return tuple(found)


def _weight_range(layer: str, tensor: FlatObject, data: NDArray[np.uint8], dtype: str) -> WeightRange:
    stored = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _INTEGERS.get(dtype, np.float32))
    if dtype not in _INTEGERS:
        return WeightRange(layer, dtype, stored.size, float(stored.min()), float(stored.max()), 0, None, None)
    scales = np.asarray(tensor.quantization.scale, np.float64)
    shape = [1] * len(tensor.shape)
    shape[tensor.quantization.quantizedDimension if len(scales) > 1 else 0] = len(scales)
    real = stored.reshape(tensor.shape) * scales.reshape(shape)
    return WeightRange(
        layer=layer,
        dtype=dtype,
        count=stored.size,
        low=float(real.min()),
        high=float(real.max()),
        scales=len(scales),
        scale_low=float(scales.min()),
        scale_high=float(scales.max()),
    )
