"""``.tflite`` files read and written through TensorFlow's own schema."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, TypeAlias

from convert.backend import load_tensorflow

#: A table of a ``.tflite`` file; its classes are TensorFlow's, made by a generator and without types.
FlatObject: TypeAlias = Any


def load_schema() -> ModuleType:
    """Import the classes that read and write ``.tflite`` files; raises as ``load_tensorflow`` does."""
    load_tensorflow()
    return importlib.import_module("tensorflow.lite.python.schema_py_generated")


def unpack(content: bytes) -> FlatObject:
    """Read a file into a ``ModelT`` that can be changed."""
    return load_schema().ModelT.InitFromPackedBuf(content, 0)


def pack(model: FlatObject, size: int) -> bytes:
    """Write a ``ModelT`` as a file; ``size`` is about how long it will be."""
    builder = importlib.import_module("flatbuffers").Builder(size)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def code_of(code: FlatObject) -> int:
    """Give the number of an operation: above 127 it stands in a field of its own, the old one holds 127."""
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def operation_names(model: FlatObject) -> list[str]:
    """Name the operations of a model's graph in order, as the schema does: ``CONV_2D``."""
    names = {value: name for name, value in vars(load_schema().BuiltinOperator).items() if name.isupper()}
    return [names[code_of(model.operatorCodes[op.opcodeIndex])] for op in model.subgraphs[0].operators]


def type_names() -> dict[int, str]:
    """Name the types of tensors by their numbers: ``INT8``."""
    return {value: name for name, value in vars(load_schema().TensorType).items() if name.isupper()}


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
