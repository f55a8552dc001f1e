"""What Hexagon's compiler leaves to the CPU, and what it does not take, seen in the file alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from edgekit.converters.findings import ERROR, WARNING, Finding
from edgekit.converters.onnx.file import OnnxModel
from edgekit.converters.onnx.operators import Operator
from edgekit.targets.npus.classes import resized_classes

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
#: An activation goes with what is in front of it.
_FUSED = ("Relu", "Clip")
_BYTES = ("uint8", "int8")

Find = Callable[[OnnxModel], Iterator[tuple[str, str]]]


def findings(model: OnnxModel) -> list[Finding]:
    """Returns what in a file does not suit Hexagon's compiler."""
    found = [
        Finding(severity, rule, where, message, fix)
        for severity, rule, find, fix in _RULES
        for where, message in find(model)
    ]
    return [*found, *resized_classes(model)]


def _fixed_size(model: OnnxModel) -> Iterator[tuple[str, str]]:
    for end in model.inputs:
        if end.shape is None or not all(isinstance(size, int) for size in end.shape):
            yield f"input '{end.name}'", f"its shape {list(end.shape or ())} is not fixed"


def _between_pairs(model: OnnxModel) -> Iterator[tuple[str, str]]:
    """Operators that read integers, as ONNX allows for what only moves them."""
    stored = {end.name for end in model.inputs if end.dtype in _BYTES}
    stored |= {name for node in model.nodes if node.kind == _QUANTIZE for name in node.outputs}
    for node in model.nodes:
        if node.kind != _DEQUANTIZE and stored.intersection(node.inputs[:1]):
            yield f"{node.kind} '{node.name}'", "it reads integers, not what is dequantized"


def _not_rounded(model: OnnxModel) -> Iterator[tuple[str, str]]:
    """Operators between DequantizeLinear and something that is not QuantizeLinear."""
    readers: dict[str, list[Operator]] = defaultdict(list)
    for node in model.nodes:
        for name in node.inputs:
            readers[name].append(node)
    dequantized = {
        name for node in model.nodes if node.kind == _DEQUANTIZE for name in node.outputs
    }
    for node in model.nodes:
        borders = node.kind in (_QUANTIZE, _DEQUANTIZE)
        if borders or not node.inputs or node.inputs[0] not in dequantized:
            continue
        behind = readers[node.outputs[0]]
        if len(behind) == 1 and behind[0].kind in _FUSED:
            behind = readers[behind[0].outputs[0]]
        if not behind or any(reader.kind != _QUANTIZE for reader in behind):
            yield f"{node.kind} '{node.name}'", "what it gives is not quantized"


_RULES: tuple[tuple[str, str, Find, str], ...] = (
    (ERROR, "fixed-size", _fixed_size, "write it without `--dynamic-batch`, for one photo"),
    (
        WARNING,
        "between-pairs",
        _between_pairs,
        "put DequantizeLinear in front of it and QuantizeLinear behind it: else it may stay on the "
        "CPU",
    ),
    (
        WARNING,
        "not-rounded",
        _not_rounded,
        "put QuantizeLinear and DequantizeLinear behind it: else it may stay on the CPU",
    ),
)
