"""Mixed precision: an int8 Graph in which some tensors, and what touches them, stay float.

A Graph is mixed where its `quant` lacks entries: a tensor without one is float, and so is a
weighted node whose kernel has none. Its other nodes compute on int8. A border between the two
is a tensor that keeps its `QuantParams`: a float node that reads it is given the reals that its
integers stand for, and what a float node writes into it is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.graph import Graph
from edgekit.networks.quantization import float_nodes


def keep_float(graph: Graph, tensors: Iterable[str], exact: Graph | None = None) -> Graph:
    """Takes activation tensors out of the 8-bit scheme, with the nodes that write and read them.

    The network's input and outputs keep their `QuantParams`, so that it still takes and gives
    bytes; what is then float is the node that reads or writes them. A mixed Graph may be given,
    to go further.

    Args:
        graph: quantized (`edgekit.calibration.quantize.quantize`).
        tensors: names of the activations to keep in float.
        exact: the float network, whose kernels those that become float are then: what ``graph`` has
            may have learned to make up for errors of 8 bits. Its biases are left as they are.

    Raises:
        UsageError: the Graph is not quantized, or has no such tensor.
    """
    if not graph.quant:
        raise UsageError(f"{graph.name} is not quantized: all of it is float already")
    written = {graph.input, *(node.name for node in graph.nodes)}
    kept = set(tensors)
    if unknown := kept - written:
        raise UsageError(
            f"no activation tensor '{min(unknown)}'", hint=did_you_mean(min(unknown), written)
        )
    touched = {node.name for node in graph.nodes if kept & {node.name, *node.inputs}}
    touched.update(float_nodes(graph))
    quant, weights = dict(graph.quant), dict(graph.weights)
    for node in graph.nodes:
        if node.name in touched:
            for name in node.weight_names():
                quant.pop(name, None)
                if exact and name.endswith("/kernel"):
                    weights[name] = exact.weights[name]
    for name in written - {graph.input, *graph.outputs}:
        if touched >= {name, *(node.name for node in graph.nodes if name in node.inputs)}:
            quant.pop(name, None)
    return replace(graph, quant=quant, weights=weights)
