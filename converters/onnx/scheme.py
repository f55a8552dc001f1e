"""The quantization of a .onnx file in a word, from its operators and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.converters.onnx.operators import Operator

_WEIGHTED = ("Conv", "Gemm", "MatMul")
#: What neither computes nor rounds: it goes with the operator before or behind it.
_PASSING = {
    *("Cast", "Clip", "Constant", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear"),
    *("Gather", "Relu", "Reshape", "Resize", "Shape", "Squeeze", "Transpose", "Unsqueeze"),
}
#: Parts of the names of operators that compute on integers themselves.
_ON_INTEGERS = ("QLinear", "QGemm", "Integer", "DynamicQuantize", "MatMulNBits")
#: By the one type that all weights are stored in.
_WEIGHT_SCHEMES = {"float16": "fp16"} | {
    f"{sign}int{bits}": f"w{bits}-weight-only" for sign in ("", "u") for bits in (4, 8)
}
_BORDERS = ("QuantizeLinear", "DequantizeLinear")
_COMPILED = "com.microsoft.EPContext"  # a part of the network that does not show its numbers


def scheme_of(nodes: Sequence[Operator], constants: Mapping[str, str]) -> str:
    """Names the quantization of a graph.

    ``fp32``, ``fp16``; ``w8a8-static`` where every operator computes on what DequantizeLinear
    gives it, weights too; ``mixed`` where some do; ``w8-weight-only`` where weights alone come
    from there; ``other``.

    Args:
        nodes: of the main graph.
        constants: types of the stored constants by name.
    """
    if any(node.kind == _COMPILED for node in nodes):
        return "other"
    dequantized = {out for node in nodes if node.kind == "DequantizeLinear" for out in node.outputs}
    found = {
        all(name in dequantized for name in _factors(node, constants))
        for node in nodes
        if node.kind not in _PASSING
    }
    if found == {True}:
        return "w8a8-static"
    if found == {True, False}:
        return "mixed"
    if not any(node.kind in _BORDERS for node in nodes) and _is_float(nodes, constants):
        return "fp32"
    return _WEIGHT_SCHEMES.get("".join(_weight_types(nodes, constants)), "other")


def _factors(node: Operator, constants: Mapping[str, str]) -> tuple[str, ...]:
    """What an operator computes on; constants count where they are the weights of one."""
    inputs = tuple(name for name in node.inputs[:2] if name)
    if node.kind in _WEIGHTED:
        return inputs
    return tuple(name for name in inputs if name not in constants) or inputs


def _is_float(nodes: Sequence[Operator], constants: Mapping[str, str]) -> bool:
    small = set(constants.values()) & {"float16", "bfloat16", "int8", "uint8"}
    return not _computes_on_integers(nodes) and not small


def _computes_on_integers(nodes: Sequence[Operator]) -> bool:
    return any(word in node.kind for node in nodes for word in _ON_INTEGERS)


def _weight_types(nodes: Sequence[Operator], constants: Mapping[str, str]) -> set[str]:
    """The types that weights are stored in; none where what they meet is rounded, too."""
    stored = {
        node.outputs[0]: constants.get(node.inputs[0], "computed")
        for node in nodes
        if node.kind == "DequantizeLinear" and node.inputs and node.outputs
    }
    weighted = [node.inputs for node in nodes if node.kind in _WEIGHTED and len(node.inputs) > 1]
    if _computes_on_integers(nodes) or any(inputs[0] in stored for inputs in weighted):
        return set()
    return {stored.get(inputs[1], constants.get(inputs[1], "computed")) for inputs in weighted}
