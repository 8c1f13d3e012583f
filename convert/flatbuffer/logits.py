"""The steps of the logits in front of a softmax: given to where the decision falls."""

from __future__ import annotations

import numpy as np

from convert.flatbuffer.schema import load_schema, pack, unpack

#: Half the difference of logits at which p is 511/512, half a step of the int8 output from 1: what lies
#: beyond cannot be told apart in the output, so steps spent on it are lost. ln(511) / 2 = 3.12.
LOGIT_LIMIT = 3.12


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
    model = unpack(content)
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
    model = unpack(content)
    graph = model.subgraphs[0]
    dense = graph.operators[-2]
    if len(dense.inputs) < 3 or dense.inputs[2] < 0:
        return content
    logits, bias = graph.tensors[dense.outputs[0]], graph.tensors[dense.inputs[2]]
    if bias.type != load_schema().TensorType.INT32:
        return content
    buffer = model.buffers[bias.buffer]
    steps = np.asarray(buffer.data, np.uint8).view(np.int32)
    quarter = float(logits.quantization.scale[0]) / 4 / np.asarray(bias.quantization.scale, np.float64)
    buffer.data = (steps + np.rint(quarter).astype(np.int32)).astype(np.int32).view(np.uint8)
    return pack(model, len(content))
