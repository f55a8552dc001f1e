"""Changes to files of TensorFlow's converter, so that they can be held against ours."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.converters.tflite.file import MAGIC, parse

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
#: The first versions that know int8.
BORDERS = {"DEQUANTIZE": 2, "QUANTIZE": 1}


def given_biases(data: bytes) -> list[NDArray[Any]]:
    """The biases of a file's operators, in their order."""
    model = parse(data)
    weighted = [op for op in model.operators if op.name in WEIGHTED]
    return [model.tensors[op.inputs[2]].values() for op in weighted]


def with_biases(data: bytes, biases: Sequence[NDArray[Any]]) -> bytes:
    """The file with other biases, of the same types."""
    model: Any = schema.ModelT.InitFromPackedBuf(data, 0)
    weighted = [op for op in parse(data).operators if op.name in WEIGHTED]
    for operator, values in zip(weighted, biases, strict=True):
        tensor = model.subgraphs[0].tensors[operator.inputs[2]]
        buffer = schema.BufferT()
        buffer.data = values.view(np.uint8)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)
    return _pack(model)


def with_borders(data: bytes) -> bytes:
    """The file with DEQUANTIZE before and QUANTIZE behind each operator of int8 on float weights.

    Where a float layer lies between two quantized tensors, the converter leaves its weights in
    float and both tensors in int8, which no kernel takes.
    """
    model: Any = schema.ModelT.InitFromPackedBuf(data, 0)
    graph, types = model.subgraphs[0], schema.TensorType
    operators: list[Any] = []
    for operator in graph.operators:
        operators.append(operator)
        if len(operator.inputs) < 2 or graph.tensors[operator.inputs[1]].type != types.FLOAT32:
            continue
        source, result = operator.inputs[0], operator.outputs[0]
        if graph.tensors[source].type == types.INT8:
            operator.inputs = [_float_copy(graph, source), *operator.inputs[1:]]
            operators.insert(-1, _border(model, "DEQUANTIZE", source, operator.inputs[0]))
        if graph.tensors[result].type == types.INT8:
            operator.outputs = [_float_copy(graph, result)]
            operators.append(_border(model, "QUANTIZE", operator.outputs[0], result))
    graph.operators = operators
    return _pack(model)


def _float_copy(graph: Any, index: int) -> int:
    """Adds a float tensor of the shape of another; returns its index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.name += b"_float"
    tensor.type, tensor.quantization, tensor.buffer = schema.TensorType.FLOAT32, None, 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _border(model: Any, name: str, source: int, result: int) -> Any:
    """An operator between an int8 tensor and its float copy."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = BORDERS[name]
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [source], [result]
    return operator


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())
