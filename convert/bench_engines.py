"""Engines that ``blastcount bench --compare`` measures beside the device's interpreters.

Both run the network that the bundle holds: Keras the model it was converted from, ONNX Runtime the very int8
weights, scales and zero points of the ``.tflite`` file, rewritten as an ONNX graph (activations shifted from
int8 to uint8, weights int8: "u8s8", the form its fast kernels on x86 take).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backend import code_of, load_model, load_schema, load_tensorflow
from edge.bench.engines import EngineRequest
from edge.errors import ModelError, RuntimeMissingError

#: Long out and read by every ONNX Runtime since 1.14; per-axis DequantizeLinear needs 13.
_OPSET, _IR_VERSION = 17, 8
#: An object of the schema's generated classes, which carry no types.
_Generated = Any
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


class KerasEngine:
    """``keras.Model.predict``, as people call it.

    Parameters
    ----------
    request : its ``keras_path`` is the model

    Raises
    ------
    RuntimeMissingError
        No Keras model was named, TensorFlow is missing, or already runs with other threads.
    """

    name = "keras_predict"

    def __init__(self, request: EngineRequest) -> None:
        if request.keras_path is None:
            raise RuntimeMissingError("no Keras model given; name the one that was converted with --keras")
        tensorflow = load_tensorflow()
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(request.threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(request.threads)
        except RuntimeError as error:
            raise RuntimeMissingError(
                f"TensorFlow already runs in this process and cannot change its threads ({error}); "
                "start bench in a process of its own"
            ) from error
        self._model = load_model(request.keras_path)
        self.version = f"keras {importlib.import_module('keras').__version__} predict"

    def outputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict the crops in one batch."""
        found = self._model.predict(crops.astype(np.float32), batch_size=len(crops), verbose=0)
        return np.asarray(found, np.float32)


class OnnxEngine:
    """ONNX Runtime on the processor, with the int8 network of the bundle.

    Parameters
    ----------
    request : its bundle is rewritten by :func:`to_onnx`

    Raises
    ------
    RuntimeMissingError
        ONNX Runtime, ``onnx`` or TensorFlow (whose schema reads the file) is missing.
    ModelError
        The network has an operation that the rewriting does not know.
    """

    name = "onnxruntime"

    def __init__(self, request: EngineRequest) -> None:
        onnxruntime = _load("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = request.threads
        options.log_severity_level = 3  # its advice on graphs is no result
        self._session = onnxruntime.InferenceSession(
            to_onnx(request.bundle.tflite_path.read_bytes()), options, providers=["CPUExecutionProvider"]
        )
        self.version = f"onnxruntime {onnxruntime.__version__} u8s8"

    def outputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the crops in one batch."""
        return np.asarray(self._session.run(None, {"crops": crops})[0], np.float32)


def to_onnx(tflite: bytes) -> bytes:
    """Rewrite an int8 ``.tflite`` network as a quantized ONNX graph with the same weights and scales.

    Quantisation is written as QuantizeLinear/DequantizeLinear pairs, which ONNX Runtime fuses into its
    integer operations. What is in float in the file, as behind the convolutions of a float head, is in float
    there, too.

    Parameters
    ----------
    tflite : the file; int8 in, int8 or float out

    Returns
    -------
    ONNX model: ``crops`` (n, s, s, 3) uint8 RGB to ``probabilities`` (n, k) float32

    Raises
    ------
    RuntimeMissingError
        ``onnx`` or TensorFlow is missing.
    ModelError
        The network has an operation, dtype or option that is not known here.
    """
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(tflite, 0)
    return _Rewriter(model, schema, _load("onnx")).run()


class _Rewriter:
    """Writes the ONNX graph operation by operation.

    Activations between operations are uint8 or, in a float head, float; in NCHW where they are images.
    """

    def __init__(self, model: _Generated, schema: ModuleType, onnx: ModuleType) -> None:
        self._model, self._onnx = model, onnx
        self._graph = model.subgraphs[0]
        self._op_names = {
            code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
        }
        self._tensor_types = schema.TensorType
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._rewriters: dict[str, Callable[[Any], None]] = {
            "CONV_2D": self._conv,
            "PADV2": self._pad,
            "MAX_POOL_2D": self._max_pool,
            "MEAN": self._mean,
            "REDUCE_MAX": self._peak,
            "ADD": self._add,
            "MUL": self._factor,
            "QUANTIZE": self._requantise,
            "DEQUANTIZE": self._to_float,
            "RESHAPE": self._flatten,
            "CONCATENATION": self._concat,
            "FULLY_CONNECTED": self._dense,
            "SOFTMAX": self._softmax,
        }

    def run(self) -> bytes:
        first = self._graph.inputs[0]
        size, quantisation = self._graph.tensors[first].shape[1], self._graph.tensors[first].quantization
        if quantisation is None or quantisation.scale is None or quantisation.scale[0] != 1.0:
            raise ModelError("the input must be int8 of scale 1; convert the model with this package")
        self._node("Transpose", ["crops"], self._name(first), perm=_TO_NCHW)
        for op in self._graph.operators:
            name = self._op_names[code_of(self._model.operatorCodes[op.opcodeIndex])]
            if name not in self._rewriters:
                raise ModelError(
                    f"operation {name} cannot be rewritten for ONNX; known are {', '.join(self._rewriters)}"
                )
            self._rewriters[name](op)
        classes = int(self._graph.tensors[self._graph.outputs[0]].shape[-1])
        helper, types = self._onnx.helper, self._onnx.TensorProto
        graph = helper.make_graph(
            self._nodes,
            "rewritten",
            [helper.make_tensor_value_info("crops", types.UINT8, ["n", int(size), int(size), 3])],
            [helper.make_tensor_value_info("probabilities", types.FLOAT, ["n", classes])],
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        self._onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content

    def _conv(self, op: _Generated) -> None:
        options = op.builtinOptions
        if self._is_float(op.inputs[1]):
            raise ModelError("CONV_2D: weights must be int8 to be rewritten for ONNX")
        weights = self._values(op.inputs[1]).transpose(0, 3, 1, 2)
        self._weighted(
            "Conv",
            op,
            weights,
            strides=[options.strideH, options.strideW],
            dilations=[options.dilationHFactor, options.dilationWFactor],
            auto_pad=("SAME_UPPER", "VALID")[options.padding],
        )

    def _pad(self, op: _Generated) -> None:
        """Pad an image with a constant, which must have the image's own scale."""
        source, widths, level = op.inputs
        if self._scale_and_zero(source) != self._scale_and_zero(level):
            raise ModelError("PADV2: only padding in the image's own scale can be rewritten for ONNX")
        before, after = (self._values(widths).reshape(4, 2)[[0, 3, 1, 2], side] for side in (0, 1))
        value = self._values(level).astype(np.int16).ravel()[0] + 128
        self._node(
            "Pad",
            [
                self._name(source),
                self._constant(f"padding {widths}", np.concatenate([before, after]).astype(np.int64)),
                self._constant(f"level {level}", np.uint8(value).reshape(())),
            ],
            self._name(op.outputs[0]),
        )

    def _dense(self, op: _Generated) -> None:
        if not self._is_float(op.inputs[1]):
            self._weighted("Gemm", op, self._values(op.inputs[1]), transB=1)
            return
        data, kernel, bias = op.inputs
        inputs = [self._name(data), self._name(kernel)]
        if bias >= 0:
            inputs.append(self._constant(f"constant {bias}", self._values(bias)))
        self._activated("Gemm", inputs, op, transB=1)

    def _weighted(self, kind: str, op: _Generated, weights: NDArray[Any], **attributes: object) -> None:
        data, kernel, bias = op.inputs
        inputs = [self._dequantised(data), self._dequantised_constant(kernel, weights)]
        if bias >= 0:  # -1 stands for no bias
            inputs.append(self._dequantised_constant(bias, self._values(bias)))
        self._activated(kind, inputs, op, **attributes)

    def _activated(self, kind: str, inputs: list[str], op: _Generated, **attributes: object) -> None:
        """Write an operation on dequantised inputs, its activation and the quantisation of its output."""
        out = op.outputs[0]
        real = f"{self._name(out)} real"
        self._node(kind, inputs, real, **attributes)
        if op.builtinOptions.fusedActivationFunction == 1:  # ReLU
            self._node("Relu", [real], f"{real} relu")
            real = f"{real} relu"
        elif op.builtinOptions.fusedActivationFunction != 0:
            raise ModelError(f"{kind}: only ReLU can be fused into an operation rewritten for ONNX")
        self._quantised(real, out)

    def _add(self, op: _Generated) -> None:
        self._activated("Add", [self._dequantised(tensor) for tensor in op.inputs], op)

    def _to_float(self, op: _Generated) -> None:
        """Bring int8 activations, or weights stored as float16, to float32."""
        source, out = op.inputs[0], op.outputs[0]
        if self._model.buffers[self._graph.tensors[source].buffer].data is not None:
            self._constant(self._name(out), self._values(source).astype(np.float32))
            return
        quantisation = self._activation_quantisation(source)
        self._node("DequantizeLinear", [self._name(source), *quantisation], self._name(out))

    def _requantise(self, op: _Generated) -> None:
        self._quantised(self._dequantised(op.inputs[0]), op.outputs[0])

    def _factor(self, op: _Generated) -> None:
        """Multiply by one constant, as a rescaling of the input does."""
        factor = self._graph.tensors[op.inputs[1]]
        if self._model.buffers[factor.buffer].data is None:
            raise ModelError("MUL: only a product with a constant can be rewritten for ONNX")
        zero, scale = int(factor.quantization.zeroPoint[0]), float(factor.quantization.scale[0])
        real = (self._values(op.inputs[1]).astype(np.float32).ravel() - zero) * np.float32(scale)
        constant = self._constant(f"factor {op.inputs[1]}", real.astype(np.float32))
        self._activated("Mul", [self._dequantised(op.inputs[0]), constant], op)

    def _mean(self, op: _Generated) -> None:
        self._over_the_image("ReduceMean", op)

    def _peak(self, op: _Generated) -> None:
        self._over_the_image("ReduceMax", op)

    def _over_the_image(self, kind: str, op: _Generated) -> None:
        source, out = op.inputs[0], op.outputs[0]
        if sorted(self._values(op.inputs[1]).ravel().tolist()) != [1, 2]:
            raise ModelError(f"{kind}: only over height and width can it be rewritten for ONNX")
        real = f"{self._name(out)} real"
        self._node(kind, [self._dequantised(source)], real, axes=[2, 3], keepdims=0)
        self._quantised(real, out)

    def _max_pool(self, op: _Generated) -> None:
        options = op.builtinOptions
        self._node(
            "MaxPool",
            [self._name(op.inputs[0])],
            self._name(op.outputs[0]),
            kernel_shape=[options.filterHeight, options.filterWidth],
            strides=[options.strideH, options.strideW],
            auto_pad=("SAME_UPPER", "VALID")[options.padding],
        )

    def _flatten(self, op: _Generated) -> None:
        source, out = op.inputs[0], op.outputs[0]
        if len(self._graph.tensors[source].shape) != 4 or len(self._graph.tensors[out].shape) != 2:
            raise ModelError("RESHAPE: only a flattening can be rewritten for ONNX")
        # The weights behind it expect the order of NHWC.
        upright = f"{self._name(source)} nhwc for {self._name(out)}"
        self._node("Transpose", [self._name(source)], upright, perm=_TO_NHWC)
        self._node("Flatten", [upright], self._name(out), axis=1)

    def _concat(self, op: _Generated) -> None:
        out = op.outputs[0]
        if len(self._graph.tensors[out].shape) != 2:
            raise ModelError("CONCATENATION: only flat tensors can be rewritten for ONNX")
        if self._is_float(out) or len({self._scale_and_zero(tensor) for tensor in (*op.inputs, out)}) == 1:
            self._node("Concat", [self._name(tensor) for tensor in op.inputs], self._name(out), axis=1)
            return
        real = f"{self._name(out)} real"
        self._node("Concat", [self._dequantised(tensor) for tensor in op.inputs], real, axis=1)
        self._quantised(real, out)

    def _softmax(self, op: _Generated) -> None:
        self._node("Softmax", [self._dequantised(op.inputs[0])], "probabilities", axis=-1)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> None:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))

    def _name(self, tensor: int) -> str:
        return f"tensor {tensor}"

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        # Operations may share a constant; it stands in the graph once.
        self._constants[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def _values(self, tensor: int) -> NDArray[Any]:
        details = self._graph.tensors[tensor]
        types, data = self._tensor_types, self._model.buffers[details.buffer].data
        dtype = {
            types.INT8: np.int8,
            types.INT32: np.int32,
            types.FLOAT16: np.float16,
            types.FLOAT32: np.float32,
        }.get(details.type)
        if dtype is None or data is None:
            raise ModelError(
                "weights must be int8 or float and biases int32 or float to be rewritten for ONNX"
            )
        return np.asarray(data.view(dtype).reshape(details.shape))

    def _is_float(self, tensor: int) -> bool:
        return bool(self._graph.tensors[tensor].type == self._tensor_types.FLOAT32)

    def _scale_and_zero(self, tensor: int) -> tuple[float, int]:
        quantisation = self._graph.tensors[tensor].quantization
        return float(quantisation.scale[0]), int(quantisation.zeroPoint[0]) + 128

    def _activation_quantisation(self, tensor: int) -> list[str]:
        scale, zero = self._scale_and_zero(tensor)
        number = len(self._constants)
        return [
            self._constant(f"scale {number}", np.float32(scale).reshape(())),
            self._constant(f"zero {number}", np.uint8(zero).reshape(())),
        ]

    def _dequantised(self, tensor: int) -> str:
        if self._is_float(tensor):
            return self._name(tensor)
        real = f"{self._name(tensor)} real {len(self._nodes)}"
        self._node("DequantizeLinear", [self._name(tensor), *self._activation_quantisation(tensor)], real)
        return real

    def _quantised(self, real: str, tensor: int) -> None:
        if self._is_float(tensor):
            self._node("Identity", [real], self._name(tensor))
            return
        self._node("QuantizeLinear", [real, *self._activation_quantisation(tensor)], self._name(tensor))

    def _dequantised_constant(self, tensor: int, values: NDArray[Any]) -> str:
        scales = np.asarray(self._graph.tensors[tensor].quantization.scale, np.float32)
        name = f"constant {tensor}"
        axis = {"axis": 0} if scales.size > 1 else {}
        scale = self._constant(f"{name} scale", scales if scales.size > 1 else scales.reshape(()))
        zero = self._constant(f"{name} zero", np.zeros(scales.shape if axis else (), values.dtype))
        self._node("DequantizeLinear", [self._constant(name, values), scale, zero], f"{name} real", **axis)
        return f"{name} real"


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeMissingError(f"{name} is not installed ({error}); pip install {name}") from error
