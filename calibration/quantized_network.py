"""A quantized network that can learn: fake quantization where the integers will stand.

Weights, biases and step sizes learn through straight-through gradients. The scheme stays: what
comes out is the same Graph with other integers and other activation scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgekit.calibration.simulate import roundings
from edgekit.calibration.straight_through import InSteps, round_through
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, FullyConnected, WeightedNode
from edgekit.networks.quantization import WEIGHT_MAX, bias_params, scale_owners
from edgekit.networks.torch_network import GraphModule, Network


class _Grid(nn.Module):
    """A kernel kept in steps of its per-channel grid, and rounded to it when it is used."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, steps: Tensor) -> Tensor:
        rounded = steps.detach().round().clamp_(-WEIGHT_MAX, WEIGHT_MAX)
        return (steps + (rounded - steps.detach())) * cast(Tensor, self.scale)

    def right_inverse(self, kernel: Tensor) -> Tensor:
        return kernel / cast(Tensor, self.scale)


class LearningGraph(GraphModule):
    """A quantized Graph, or a part of one, whose biases and scales of activations learn.

    Zero points stay; a scale moves both ends of its range alike. A tensor that has its scale from
    another learns with that one.

    Args:
        graph: with `QuantParams` on every tensor and weight.
        network: that computes it, or the part of it.
        scales: tensors whose scales learn; none of one that has its scale from another.
    """

    def __init__(self, graph: Graph, network: Network, scales: Iterable[str]) -> None:
        super().__init__()
        self.graph, self.network = graph, network
        self.owners, self.roundings = scale_owners(graph), roundings(graph)
        self.log_scales = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(math.log(graph.quant[name].scale[0])))
                for name in scales
            }
        )

    def learn_layer(self, node: WeightedNode, kernel: nn.Module) -> None:
        """Makes a layer's parameters variables that learn: of a kernel as its parametrization says.

        Its bias is in steps of its output (`InSteps`).
        """
        layer = self.network.layers[node.name]
        parametrize.register_parametrization(layer, "kernel", kernel)
        units = InSteps(self.graph.quant[node.name].scale[0])
        parametrize.register_parametrization(layer, "bias", units)

    def kernel_scale(self, node: WeightedNode) -> Tensor:
        """The scales of a kernel's channels in a shape that is broadcast over torch's layout."""
        kernel = cast(Tensor, self.network.layers[node.name].kernel)
        scale = torch.tensor(self.graph.quant[f"{node.name}/kernel"].scale, device=kernel.device)
        # Torch's layouts have the output channel first.
        return scale.reshape(-1, *(1,) * (kernel.dim() - 1))

    def round(self, name: str, tensor: Tensor, some: Tensor | None = None) -> Tensor:
        """Rounds the tensor ``name``, or some of its values (`round_through`)."""
        if name in self.graph.class_tensors:
            return tensor
        params, owner = self.graph.quant[name], self.owners.get(name, name)
        if owner in self.log_scales:
            scale = self.log_scales[owner].exp()
        else:
            scale = torch.tensor(params.scale[0], device=tensor.device)
        round_ = self.roundings.get(name, Tensor.round_)
        return round_through(tensor, scale, params, round_, some)

    def to_graph(self) -> Graph:
        """Returns the quantized Graph with the present weights and scales."""
        weights = {**self.graph.weights, **self.network.to_graph().weights}
        scales = {name: math.exp(scale.item()) for name, scale in self.log_scales.items()}
        return with_scales(replace(self.graph, weights=weights), scales)


class QuantizedNetwork(LearningGraph):
    """A quantized Graph that can learn: kernels, biases and the scales of activations.

    Fixed ranges stay: the input's, which is that of its bytes, and the sigmoids', which the
    operator prescribes. Nothing is dropped out in training.

    Args:
        graph: with `QuantParams` on every tensor and weight.
    """

    def __init__(self, graph: Graph) -> None:
        network = Network(_without_dropout(graph))
        network.drop_connect = False
        fixed = {n.name for n in graph.nodes if isinstance(n, Activation)} | graph.class_tensors
        owned = scale_owners(graph).keys()
        names = (node.name for node in graph.nodes)
        super().__init__(graph, network, [n for n in names if n not in fixed and n not in owned])
        for node in graph.nodes:
            if isinstance(node, WeightedNode):
                self.learn_layer(node, _Grid(self.kernel_scale(node)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to what `Network` gives."""
        return self.network.run(x, self.round)


def with_scales(graph: Graph, scales: Mapping[str, float]) -> Graph:
    """A quantized Graph with other scales of activations, and of what has its scale from them.

    Args:
        graph: with `QuantParams` on every tensor and weight.
        scales: by tensor; none of one that has its scale from another.
    """
    quant = dict(graph.quant)
    for name, scale in scales.items():
        quant[name] = replace(quant[name], scale=(float(np.float32(scale)),))
    quant |= {n: quant[owner] for n, owner in scale_owners(graph).items() if owner in scales}
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            kernel = quant[f"{node.name}/kernel"]
            quant[f"{node.name}/bias"] = bias_params(quant[node.inputs[0]].scale[0], kernel)
    return replace(graph, quant=quant)


def _without_dropout(graph: Graph) -> Graph:
    nodes = tuple(
        replace(node, dropout=0.0) if isinstance(node, FullyConnected) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)
