"""The quantization schemes of a network's files: their names, their order, and a Graph's scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.networks.graph import Graph
    from edgekit.networks.nodes import Node

FP32, FP16 = "fp32", "fp16"
W8A16, W8_DYNAMIC = "w8a16-static", "w8-dynamic"
W8A8, MIXED = "w8a8-static", "w8a8-mixed"
#: Of networks alone: int8 where kernels read, float in between. Its files are `W8A8` or `MIXED`.
AT_KERNELS = "w8a8-at-kernels"

#: From fine to coarse: what each keeps more of than those behind it. Dynamic activations have the
#: steps of int8, but only where a layer reads them, and over the range of each photo.
FINE_TO_COARSE = (FP32, FP16, W8A16, W8_DYNAMIC, MIXED, W8A8)

#: Types of a file's input and output.
IO_TYPES = ("uint8", "int8", "float32")

#: The scheme of one operator, by the types of its kernel and of what it reads; None is float.
_OF_LAYER = {
    (None, None): FP32,
    # Of a mixed network: it is given the reals.
    (None, "int8"): FP32,
    (None, "int16"): FP32,
    ("int8", None): W8_DYNAMIC,
    ("int8", "int8"): W8A8,
    ("int8", "int16"): W8A16,
}
#: That of an operator without weights, by the type of its tensors.
_OF_TENSORS = {None: FP32, "int8": W8A8, "int16": W8A16}
#: That of a network, by those of its operators and of its ends.
_OF_NETWORK = {
    frozenset({FP32}): FP32,
    frozenset({W8A8}): W8A8,
    frozenset({W8A8, FP32}): MIXED,
    frozenset({W8A16}): W8A16,
    frozenset({W8_DYNAMIC, FP32}): W8_DYNAMIC,
}


def scheme_of(graph: Graph) -> str:
    """The scheme that a Graph's `QuantParams` are of.

    Raises:
        ValueError: they are of none that there is.
    """
    ends = {
        _OF_TENSORS[_dtype(graph, name)]
        for name in (graph.input, *graph.outputs)
        if name not in graph.class_tensors | graph.float_tensors
    }
    found = frozenset(ends | {scheme_of_node(graph, node) for node in graph.nodes})
    if found not in _OF_NETWORK:
        raise ValueError(f"{graph.name} mixes {', '.join(sorted(found))}")
    return _OF_NETWORK[found]


def scheme_of_node(graph: Graph, node: Node) -> str:
    """The scheme in which one operator computes: ``fp32``, ``w8-dynamic``, or of what integers.

    A weighted node is float where its kernel is not quantized, any other where a tensor that it
    reads or writes is not. What reads classes alone, or makes boxes, is of the scheme of what it
    reads.
    """
    from edgekit.networks.nodes import WeightedNode  # numpy: the names above cost nothing

    if node.name in graph.float_tensors or graph.class_tensors.issuperset(node.inputs):
        return scheme_of_node(graph, graph.node(node.inputs[0]))
    tensors = (*node.inputs, node.name)
    types = [_dtype(graph, name) for name in tensors if name not in graph.class_tensors]
    if isinstance(node, WeightedNode):
        return _OF_LAYER[_dtype(graph, f"{node.name}/kernel"), types[0]]
    return FP32 if None in types else _OF_TENSORS[types[0]]


def _dtype(graph: Graph, name: str) -> str | None:
    params = graph.quant.get(name)
    return params.dtype if params else None
