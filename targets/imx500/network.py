"""What of a network is rewritten for the sensor: its input, and its swish."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edgekit.converters.input_record import own_normalization
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, DepthwiseConv2D, Mul, Node, SpatialNode

NORMALIZE = "normalize"


def rewrite(graph: Graph, preprocessing: Preprocessing) -> Graph:
    """Returns a float network that takes the bytes of a photo as reals, with swish in one piece.

    Args:
        graph: prepared, float or quantized; of a quantized one the weights are kept.
        preprocessing: of the weights.
    """
    own = own_normalization(graph, preprocessing)
    return fuse_swish(_take_bytes(replace(graph, quant={}), own))


def _take_bytes(graph: Graph, preprocessing: Preprocessing) -> Graph:
    """Puts the normalization in front, as a 1x1 depthwise convolution.

    The bytes are on the grid of an unsigned input of 8 bits, so that nothing is lost, and the
    camera is asked for nothing.
    """
    mean, std = (np.asarray(v, np.float64) for v in (preprocessing.mean, preprocessing.std))
    if not mean.any() and (std == 1).all():
        return graph
    front = DepthwiseConv2D(name=NORMALIZE, inputs=(graph.input,), kernel=1)
    weights = {
        f"{NORMALIZE}/kernel": (1 / std).astype(np.float32).reshape(1, 1, -1),
        f"{NORMALIZE}/bias": (-mean / std).astype(np.float32),
    }
    nodes = tuple(_renamed(node, {graph.input: NORMALIZE}) for node in graph.nodes)
    return replace(
        graph,
        nodes=(front, *nodes),
        shapes={**graph.shapes, NORMALIZE: graph.shapes[graph.input]},
        weights={**weights, **graph.weights},
    )


def fuse_swish(graph: Graph) -> Graph:
    """The inverse of `edgekit.networks.passes.expand_activations` for swish.

    MCT rounds what each layer writes: between a sigmoid and its product that costs accuracy, and
    the converter does not see the swish any more.
    """
    writers = {node.name: node for node in graph.nodes}
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    fused: dict[str, Node] = {}  # layers by name, with their swish
    renamed: dict[str, str] = {}
    dropped: set[str] = set()
    for node in graph.nodes:
        if not isinstance(node, Mul):
            continue
        source, gate = (writers.get(name) for name in node.inputs)
        if (
            isinstance(source, SpatialNode)
            and source.activation == "linear"
            and gate == Activation(name=node.inputs[1], inputs=(source.name,), kind="sigmoid")
            and (uses[source.name], uses[gate.name]) == (2, 1)
        ):
            fused[source.name] = replace(source, activation="swish")
            renamed[node.name] = source.name
            dropped |= {node.name, gate.name}
    kept = [fused.get(node.name, node) for node in graph.nodes if node.name not in dropped]
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in dropped}
    return replace(graph, nodes=tuple(_renamed(node, renamed) for node in kept), shapes=shapes)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
