"""The last step of a mixed-precision file: float operators get their borders, and are counted.

Where a float node lies between two quantized tensors, TensorFlow's converter leaves the weights
in float and both tensors in int8, which no kernel takes.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from edgekit.calibration.mixed import is_float
from edgekit.converters.tflite_file import MAGIC, TFLiteModel, parse, schema
from edgekit.converters.tflite_matching import OPERATORS
from edgekit.errors import EdgekitError
from edgekit.graph import Graph, Mean, Node, WeightedNode

#: Operators that belong to no node: borders, and torch's padding.
_BETWEEN = ("QUANTIZE", "DEQUANTIZE", "PAD")


def finish(data: bytes, graph: Graph) -> bytes:
    """Makes the converter's file of a mixed Graph one that runs, and proves it to be the Graph's.

    Args:
        data: what the converter wrote.
        graph: the mixed Graph (`edgekit.calibration.mixed`).

    Raises:
        EdgekitError: other operators are float than the Graph's float nodes.
    """
    data = _with_borders(data)
    nodes = [node for node in graph.nodes if is_float(graph, node)]
    wanted = Counter(OPERATORS[type(node).__name__] for node in nodes)
    # A kernel of zeros the converter leaves in float, whatever its range.
    allowed = wanted + Counter(
        OPERATORS[type(node).__name__] for node in graph.nodes if _is_dead(graph, node)
    )
    needed = wanted - Counter(
        OPERATORS[type(node).__name__] for node in nodes if _may_be_left_out(graph, node)
    )
    found = float_operators(parse(data))
    if found - allowed or needed - found:
        raise EdgekitError(
            f"TensorFlow's converter did not keep to the float nodes of {graph.name}",
            cause=f"{dict(found - allowed)} too many, {dict(needed - found)} missing",
        )
    return data


def _is_dead(graph: Graph, node: Node) -> bool:
    """Whether a quantized layer has no weight but zero."""
    if not isinstance(node, WeightedNode) or is_float(graph, node):
        return False
    return not graph.weights[f"{node.name}/kernel"].any()


def _may_be_left_out(graph: Graph, node: Node) -> bool:
    """Whether the file may have no float operator for a float node.

    The converter leaves out means that keep the shape, and it may round before an operator that
    keeps the scale instead of behind it.
    """
    same = graph.shapes[node.name] == graph.shapes[node.inputs[0]]
    return node.keeps_scale or (isinstance(node, Mean) and same)


def float_operators(model: TFLiteModel) -> Counter[str]:
    """Counts the operators that compute in float, by name."""
    return Counter(
        op.name
        for op in model.operators
        if op.name not in _BETWEEN and model.tensors[op.outputs[0]].dtype == "float32"
    )


def _with_borders(data: bytes) -> bytes:
    """Writes DEQUANTIZE before and QUANTIZE behind each operator of int8 with float weights."""
    import flatbuffers

    api = schema()
    model: Any = api.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    operators: list[Any] = []
    for operator in graph.operators:
        source, result = operator.inputs[0], operator.outputs[0]
        float32, int8 = api.TensorType.FLOAT32, api.TensorType.INT8
        if len(operator.inputs) < 2 or graph.tensors[operator.inputs[1]].type != float32:
            operators.append(operator)
            continue
        if graph.tensors[source].type == int8:
            operator.inputs = [_float_copy(api, graph, source), *operator.inputs[1:]]
            operators.append(_step(api, model, "DEQUANTIZE", source, operator.inputs[0]))
        operators.append(operator)
        if graph.tensors[result].type == int8:
            operator.outputs = [_float_copy(api, graph, result)]
            operators.append(_step(api, model, "QUANTIZE", operator.outputs[0], result))
    if len(operators) == len(graph.operators):
        return data
    graph.operators = operators
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())


def _float_copy(api: Any, graph: Any, index: int) -> int:
    """Adds a float tensor of the shape of another; returns its index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.name += b"_float"
    tensor.type, tensor.quantization, tensor.buffer = api.TensorType.FLOAT32, None, 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _step(api: Any, model: Any, name: str, source: int, result: int) -> Any:
    """An operator between an int8 tensor and its float copy."""
    code = api.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(api.BuiltinOperator, name)
    code.version = {"DEQUANTIZE": 2, "QUANTIZE": 1}[name]  # the first that know int8
    same = [
        known.builtinCode == code.builtinCode and known.version == code.version
        for known in model.operatorCodes
    ]
    if not any(same):
        model.operatorCodes.append(code)
        same.append(True)
    operator = api.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = same.index(True), [source], [result]
    return operator
