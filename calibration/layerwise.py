"""Repairs a quantized network layer by layer, each seeing what the repaired layers before it give.

Not every error of a layer counts. A convolution that a sigmoid or a swish reads has values far
out where the activation is flat, clipped or coarsely rounded without any harm, and a plain mean
is theirs: it ruins EfficientNetV2-B0 (KL divergence 1.9 where 0.03 stood before). So a repair is
told the activation's slope: errors weighted by its square are, to first order, the squared errors
of what comes out of the activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from edgekit.calibration.simulate import Simulation
from edgekit.networks.cost import peak_activation
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, Array, Node, SpatialNode, WeightedNode
from edgekit.networks.passes import join_swishes, swishes
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import ACTIVATIONS, Network

#: Photos whose tensors are compared, and how many where time matters less: EfficientNetV2-B0's
#: divergence from fp32 after bias correction with 16, 32, 64, 128 and 200 of them: 0.0130,
#: 0.0110, 0.0105, 0.0095, 0.0098.
PHOTOS, MANY_PHOTOS = 64, 128
#: Bytes that the tensors of all photos may take, of both networks.
MEMORY = 2**31

#: The derivative of an activation at what a layer gives it; None without an activation.
Slope = Callable[[Tensor], Tensor | None]
#: Told the layers done and the layers in all.
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Layer:
    """What a repair sees of one weighted layer, on all photos; tensors are NCHW, or [n, C].

    Attributes:
        node: the layer, without its fused activation.
        wanted: its output in the float network.
        found: its output in the quantized network, before rounding.
        slope: of the activation that reads it, at given outputs; None where none does.
    """

    node: WeightedNode
    wanted: Tensor
    found: Tensor
    slope: Slope


class Repair(Protocol):
    """Changes a layer's bias; returns it, float32 [C], and the layer's new output.

    The output is given away: it is rounded in place.
    """

    def __call__(self, layer: Layer) -> tuple[Array, Tensor]:
        """Repairs ``layer``."""


def photos_for(graph: Graph, most: int = PHOTOS) -> int:
    """How many photos are used: ``most``, or fewer where a network's maps are very large."""
    return int(np.clip(MEMORY // (2 * 4 * peak_activation(graph)), 8, most))


def repair_layers(
    graph: Graph,
    quantized: Graph,
    inputs: Array,
    repair: Repair,
    *,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Repairs the weighted layers of a quantized network against its float self, in order.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same network with `QuantParams`.
        inputs: network inputs, float32 NHWC; no labels.
        repair: what is done to each layer.
        device: torch device.
        advance: told about progress.

    Returns:
        The quantized network with other biases; its `QuantParams` are the same.
    """
    # Activations that are fused into a layer are applied here: weights act before them.
    exact = place(Network(join_swishes(_bare(graph))), device).eval()
    exact_nodes = {node.name: node for node in exact.graph.nodes}
    rounded = place(Simulation(_bare(quantized)), device).eval()
    readers = _Readers(graph)
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2).to(device)
    wanted = {graph.input: x}
    found = {graph.input: rounded.round(graph.input, x)}
    last = graph.last_uses()
    weights = dict(quantized.weights)
    for done, node in enumerate(graph.nodes, 1):
        with torch.no_grad():
            z = _run(rounded.network, node, found)
            if node.name not in exact_nodes:  # the gate of a swish
                found[node.name] = rounded.round_(node.name, z)
                continue
            y = _run(exact, exact_nodes[node.name], wanted)
        if isinstance(node, WeightedNode):
            layer = Layer(node, y, z, partial(readers.slope, node))
            weights[f"{node.name}/bias"], z = repair(layer)
        if isinstance(node, SpatialNode):
            y, z = ACTIVATIONS[node.activation](y), ACTIVATIONS[node.activation](z)
        wanted[node.name], found[node.name] = y, rounded.round_(node.name, z)
        for name in {name for name in node.inputs if last[name] == node.name}:
            wanted.pop(name, None)
            del found[name]
        if advance:
            advance(done, len(graph.nodes))
    return replace(quantized, weights=weights)


@torch.no_grad()
def _run(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    """One node on all photos."""
    return network.run_node(node, [values[name] for name in node.inputs])


def _bare(graph: Graph) -> Graph:
    """The network with the activations that are fused into its layers left out."""
    nodes = tuple(
        replace(node, activation="linear") if isinstance(node, SpatialNode) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


class _Readers:
    """Knows which activation reads each layer, fused or written out."""

    def __init__(self, graph: Graph) -> None:
        sigmoids = {n.name: n.inputs[0] for n in graph.nodes if isinstance(n, Activation)}
        self.sigmoids = set(sigmoids.values())
        self.swishes = {sigmoids[gate] for gate in swishes(graph).values()}

    def slope(self, node: WeightedNode, y: Tensor) -> Tensor | None:
        """The derivative of the activation at what the layer gives it; None without one."""
        if node.name in self.sigmoids:
            gate = y.sigmoid()
            if node.name in self.swishes:
                return gate * (1 + y * (1 - gate))
            return gate * (1 - gate)
        kind = node.activation if isinstance(node, SpatialNode) else "linear"
        if kind == "relu":
            return (y > 0).to(y.dtype)
        if kind == "relu6":
            return ((y > 0) & (y < 6)).to(y.dtype)
        return None
