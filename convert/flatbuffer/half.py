"""Float weights of dense layers stored in half the bytes."""

from __future__ import annotations

import numpy as np

from convert.flatbuffer.schema import FlatObject, code_of, load_schema, operation_names, pack, unpack


def halve_dense_weights(content: bytes) -> bytes:
    """Store the float32 weights of dense layers as float16.

    As in TensorFlow's own float16 files each is followed by a DEQUANTIZE, which the interpreters carry out
    once. Rounding to 11 bits is a sixteenth of the rounding to int8's 7.

    Parameters
    ----------
    content : ``.tflite`` file

    Returns
    -------
    bytes
        The file with those weights changed; unchanged where no dense layer is in float.

    Raises
    ------
    ModelError
        TensorFlow is not installed.
    """
    schema, model = load_schema(), unpack(content)
    graph, types = model.subgraphs[0], schema.TensorType
    kernels = {
        int(operator.inputs[1])
        for operator, name in zip(graph.operators, operation_names(model), strict=True)
        if name == "FULLY_CONNECTED"
    }
    halved = []
    for index in sorted(kernels):
        kernel = graph.tensors[index]
        data = model.buffers[kernel.buffer].data
        if kernel.type != types.FLOAT32 or data is None:
            continue
        stored = schema.TensorT()
        stored.name = (kernel.name if isinstance(kernel.name, bytes) else kernel.name.encode()) + b"/half"
        stored.shape, stored.type, stored.buffer = kernel.shape, types.FLOAT16, len(model.buffers)
        buffer = schema.BufferT()
        half = np.asarray(data, np.uint8).view(np.float32).astype(np.float16)
        buffer.data = half.view(np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(stored)
        model.buffers[kernel.buffer].data = None
        kernel.buffer = 0  # the empty one: the tensor is computed now
        op = schema.OperatorT()
        op.opcodeIndex = _dequantize(model, schema)
        op.inputs, op.outputs = np.array([len(graph.tensors) - 1], np.int32), np.array([index], np.int32)
        halved.append(op)
    if not halved:
        return content
    graph.operators = [*halved, *graph.operators]
    return pack(model, len(content))


def _dequantize(model: FlatObject, schema: FlatObject) -> int:
    """Index of the operator code of DEQUANTIZE, added where the file has none."""
    wanted = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(model.operatorCodes):
        # Version 3 reads float16, lower ones int8 only; a reader takes the higher for both.
        if code_of(code) == wanted:
            code.version = max(code.version, 3)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 3
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
