"""The bound of integer sums: never below what any input can reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.backend import load_keras
from convert.converter import quantise
from convert.flatbuffer.accumulators import accumulators
from convert.flatbuffer.schema import unpack
from convert.recipes import FLOAT32, PLAIN


def test_the_bound_holds_for_the_worst_input(toy_tflite: bytes) -> None:
    """The first convolution by hand: every pixel set to the value that its weight's sign asks for."""
    model = unpack(toy_tflite)
    graph = model.subgraphs[0]
    first = graph.operators[0]

    def values(i: int, dtype: Any) -> np.ndarray:
        tensor = graph.tensors[first.inputs[i]]
        return (
            np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype)
            .astype(np.int64)
            .reshape(tensor.shape)
        )

    kernel, bias = values(1, np.int8).reshape(6, -1), values(2, np.int32)
    # x - zero point runs from 0 to 255.
    highest = (np.where(kernel > 0, 255, 0) * kernel).sum(1) + bias
    lowest = (np.where(kernel < 0, 255, 0) * kernel).sum(1) + bias
    found = accumulators(toy_tflite)
    assert [one.layer for one in found] == ["conv1_1/Relu", "conv2_1/Relu", "p_1/MatMul"]
    assert found[0].limit == 2**31 - 1
    reached = max(np.abs(highest).max(), np.abs(lowest).max())
    assert reached <= found[0].bound <= 3 * reached


def test_a_depthwise_convolution_is_bounded_by_channel() -> None:
    layers = load_keras().layers
    crop = layers.Input((12, 12, 3))
    features = layers.DepthwiseConv2D(3, padding="same")(layers.Rescaling(1 / 255)(crop))
    pooled = layers.GlobalAveragePooling2D()(features)
    model = load_keras().Model(crop, layers.Dense(2, activation="softmax")(pooled))
    crops = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype=np.uint8)
    depthwise = accumulators(quantise(model, crops, PLAIN))[0]
    # 9 weights of at most 127, times at most 256 each, and a bias that is next to nothing.
    assert 127 * 256 <= depthwise.bound <= 10 * 127 * 256
    assert accumulators(quantise(model, crops, FLOAT32)) == ()
