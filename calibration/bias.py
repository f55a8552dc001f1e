"""Bias correction: takes out of every layer the mean error that quantization brought into it.

Most activations of a swish network are small, lie within one step of their grid and round the
same way, so their errors add up to a shift of the next layer's output instead of cancelling. The
bias of that layer can take the shift out, layer after layer, each seeing the inputs that the
corrected layers before it really give (Nagel et al. 2019, arXiv 1906.04721, section 4.2, with
photos instead of statistics).

Not every error counts. A convolution that a sigmoid or a swish reads has values far out where the
activation is flat, clipped or coarsely rounded without any harm, and a plain mean is theirs: it
ruins EfficientNetV2-B0 (KL divergence 1.9 where 0.03 stood before). So errors are weighted by the
square of the activation's slope: least squares of what comes out of the activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from edgekit.calibration.simulate import Simulation
from edgekit.cost import peak_activation
from edgekit.devices import place
from edgekit.graph import Activation, Array, Graph, Mul, Node, SpatialNode, WeightedNode
from edgekit.network import ACTIVATIONS, Network

#: Photos whose means are taken. EfficientNetV2-B0's divergence from fp32 with 16, 32, 64, 128
#: and 200 of them: 0.0130, 0.0110, 0.0105, 0.0095, 0.0098.
PHOTOS = 128
#: Bytes that the tensors of all photos may take, of both networks.
MEMORY = 2**31
#: Photos that run through a layer at once.
CHUNK = 16
#: Share of an average channel's weight that is added to every channel's, against division by 0.
RIDGE = 1e-3

#: Told the layers done and the layers in all.
Advance = Callable[[int, int], None]


def photos_for(graph: Graph) -> int:
    """How many photos are used: `PHOTOS`, or fewer where a network's maps are very large."""
    return int(np.clip(MEMORY // (2 * 4 * peak_activation(graph)), 8, PHOTOS))


def correct_biases(
    graph: Graph,
    quantized: Graph,
    inputs: Array,
    *,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Corrects the biases of a quantized network against its float self.

    Args:
        graph: the float network, prepared (`edgekit.passes.prepare`).
        quantized: the same network with `QuantParams`.
        inputs: network inputs, float32 NHWC; no labels.
        device: torch device.
        advance: told about progress.

    Returns:
        The quantized network with other biases; nothing else changes.
    """
    # Activations that are fused into a layer are applied here: a bias acts before them.
    exact = place(Network(_bare(graph)), device).eval()
    rounded = place(Simulation(_bare(quantized)), device).eval()
    readers = _Readers(graph)
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2).to(device)
    wanted = {graph.input: x}
    found = {graph.input: rounded.round(graph.input, x)}
    last = graph.last_uses()
    weights = dict(quantized.weights)
    with torch.inference_mode():
        for done, node in enumerate(graph.nodes, 1):
            y = _run(exact, node, wanted)
            z = _run(rounded.network, node, found)
            if isinstance(node, WeightedNode):
                shift = _shift(z - y, readers.slope(node, y))
                weights[f"{node.name}/bias"] = weights[f"{node.name}/bias"] - shift.cpu().numpy()
                z = z - shift.view(1, -1, *(1,) * (z.dim() - 2))
            if isinstance(node, SpatialNode):
                y, z = ACTIVATIONS[node.activation](y), ACTIVATIONS[node.activation](z)
            wanted[node.name], found[node.name] = y, rounded.round(node.name, z)
            for name in {name for name in node.inputs if last[name] == node.name}:
                del wanted[name], found[name]
            if advance:
                advance(done, len(graph.nodes))
    return replace(quantized, weights=weights)


def _run(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    """One node on all photos, a chunk at a time."""
    inputs = [values[name] for name in node.inputs]
    chunks = range(0, len(inputs[0]), CHUNK)
    return torch.cat([network.run_node(node, [x[i : i + CHUNK] for x in inputs]) for i in chunks])


def _shift(error: Tensor, slope: Tensor | None) -> Tensor:
    """The constant per channel that takes most of the error out, in the least squares sense."""
    axes = [axis for axis in range(error.dim()) if axis != 1]
    if slope is None:
        return error.mean(axes)
    weight = slope.square()
    # Where the activation is flat nearly everywhere, a few values would decide: do little.
    doubt = RIDGE * weight.mean() * weight[:, 0].numel()
    return (error * weight).sum(axes) / (weight.sum(axes) + doubt)


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
        self.sigmoids = {n.inputs[0]: n.name for n in graph.nodes if isinstance(n, Activation)}
        products = (n.inputs for n in graph.nodes if isinstance(n, Mul))
        self.swishes = {
            name
            for name, gate in chain(products)
            if name in self.sigmoids and gate == self.sigmoids[name]
        }

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
