"""The tensors inside a ``.tflite`` file: which operation makes them, and their values for a crop."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backend import code_of, load_schema, load_tensorflow, native_silence


class OpTensors:
    """A file opened in TensorFlow's interpreter such that every tensor can be read after a run.

    Parameters
    ----------
    content : ``.tflite`` file

    Attributes
    ----------
    ops : operation's name, its inputs and its output, in order
    made_by : the operation that makes a tensor, by the tensor's number
    names : of all tensors
    """

    def __init__(self, content: bytes) -> None:
        schema, tf = load_schema(), load_tensorflow()
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        named = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
        graph = model.subgraphs[0]
        self.ops: list[tuple[str, list[int], int]] = []
        for operator in graph.operators:
            op = named[code_of(model.operatorCodes[operator.opcodeIndex])]
            self.ops.append((op, [int(i) for i in operator.inputs], int(operator.outputs[0])))
        self.made_by = {output: op for op, _, output in self.ops}
        self.names = [tensor.name.decode() for tensor in graph.tensors]
        resolvers = tf.lite.experimental.OpResolverType
        with native_silence(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            # A delegate keeps the tensors within it to itself.
            self._interpreter: Any = tf.lite.Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}

    def run(self, crop: NDArray[np.uint8], wanted: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Run one crop.

        Parameters
        ----------
        crop : (s, s, 3) uint8 RGB
        wanted : numbers of tensors

        Returns
        -------
        dict
            Real values by the tensor's number.
        """
        stored: NDArray[Any] = crop[None].astype(np.float32)
        if self._input["dtype"] is np.int8:
            scale, zero_point = self._input["quantization"]
            stored = np.clip(np.rint(stored / scale) + zero_point, -128, 127).astype(np.int8)
        self._interpreter.set_tensor(self._input["index"], stored)
        self._interpreter.invoke()
        return {i: self._real(i) for i in wanted}

    def range(self, i: int) -> tuple[float, float] | None:
        """Give the extremes that a quantised tensor can hold; None for a float one."""
        scale, zero_point = self._details[i]["quantization"]
        if not scale > 0:
            return None
        limits = np.iinfo(self._details[i]["dtype"])
        return float(scale * (limits.min - zero_point)), float(scale * (limits.max - zero_point))

    def _real(self, i: int) -> NDArray[np.float32]:
        values = self._interpreter.get_tensor(i)
        scale, zero_point = self._details[i]["quantization"]
        if values.dtype.kind == "i" and scale > 0:
            return np.asarray(
                (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale), np.float32
            )
        return np.asarray(values, np.float32)
