"""What of a network is rewritten for the sensor: its input, and its swish."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.converters.input_record import own_normalization
from edgekit.converters.torch.plan import Plan, make_plan
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Add, Conv2D, Node, SpatialNode
from edgekit.networks.passes import swishes


def make_bytes_plan(graph: Graph, preprocessing: Preprocessing) -> Plan:
    """Plans a float module that takes the bytes of a photo as reals, with swish in one piece.

    The bytes are on the grid of an unsigned input of 8 bits, so that nothing is lost, and the
    camera is asked for nothing. The normalization goes into the first convolution, whose padding
    then has the mean's value instead of zero: a convolution of its own in front would take a
    quarter of the chip's memory (Lite0 at 224 px: 7.1 MB instead of 5.2).

    Args:
        graph: prepared, float or quantized; of a quantized one the weights are kept.
        preprocessing: of the weights.
    """
    own = own_normalization(graph, preprocessing)
    folded, zero = _fold_normalization(replace(graph, quant={}), own)
    plan = make_plan(fuse_swish(folded))
    stem = folded.nodes[0]
    if zero and isinstance(stem, SpatialNode):
        sides = folded.shapes[folded.input][:2]
        return replace(plan, steps={**plan.steps, "steps": _pad_with(plan, stem, sides, zero)})
    return plan


def _fold_normalization(graph: Graph, own: Preprocessing) -> tuple[Graph, float]:
    """Puts (byte - mean) / std into the first layer; returns also what its padding stands for.

    One number pads all channels. Where their means differ, it is the mean of those, as where a
    network is quantized (`edgekit.networks.passes.absorb_normalization`).
    """
    mean, std = (np.asarray(values, np.float64) for values in (own.mean, own.std))
    if not mean.any() and (std == 1).all():
        return graph, 0.0
    stem = graph.nodes[0]
    if not isinstance(stem, Conv2D):
        raise UsageError(f"the first layer of {graph.name} is a {type(stem).__name__}")
    kernel_name, bias_name = stem.weight_names()
    kernel = graph.weights[kernel_name].astype(np.float64)
    shift = np.einsum("hwio,i->o", kernel, -mean / std)
    weights = {
        **graph.weights,
        kernel_name: (kernel / std[:, None]).astype(np.float32),
        bias_name: (graph.weights[bias_name] + shift).astype(np.float32),
    }
    return replace(graph, weights=weights), float(round(mean.mean()))


def _pad_with(
    plan: Plan, stem: SpatialNode, sides: tuple[int, ...], value: float
) -> list[dict[str, Any]]:
    """The steps of a plan whose first layer is padded in front of it, with a value."""
    (top, bottom), (left, right) = (stem.pads(side) for side in sides)
    pad = {
        "name": f"{stem.name}_pad",
        "kind": "pad",
        "inputs": [plan.steps["input"]],
        "settings": {"pad": [left, right, top, bottom], "value": value},
    }
    others = [step for step in plan.steps["steps"] if step["name"] != pad["name"]]
    (layer,) = (step for step in others if step["name"] == stem.name)
    settings = {**layer["settings"], "padding": [0, 0]}
    layer = {**layer, "inputs": [pad["name"]], "settings": settings}
    return [pad, *(layer if step["name"] == stem.name else step for step in others)]


def fuse_swish(graph: Graph) -> Graph:
    """The inverse of `edgekit.networks.passes.expand_activations` for swish: in its layer again.

    MCT rounds what each layer writes: between a sigmoid and its product that costs accuracy, and
    the converter does not see the swish any more.
    """
    writers = {node.name: node for node in graph.nodes}
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    fused: dict[str, Node] = {}  # layers by name, with their swish
    renamed: dict[str, str] = {}
    dropped: set[str] = set()
    for product, gate in swishes(graph).items():
        source = writers.get(writers[gate].inputs[0])
        if (
            isinstance(source, SpatialNode | Add)
            and source.activation == "linear"
            and uses[source.name] == 2
        ):
            fused[source.name] = replace(source, activation="swish")
            renamed[product] = source.name
            dropped |= {product, gate}
    kept = [fused.get(node.name, node) for node in graph.nodes if node.name not in dropped]
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in dropped}
    return replace(graph, nodes=tuple(_renamed(node, renamed) for node in kept), shapes=shapes)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
