"""A quantized network that can learn: fake quantization where the integers will stand.

Weights, biases and step sizes learn through straight-through gradients. The scheme stays: what
comes out is the same Graph with other integers and other activation scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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


class QuantizedNetwork(GraphModule):
    """A quantized Graph that can learn: kernels, biases and the scales of activations.

    Zero points stay; a scale moves both ends of its range alike. Fixed ranges stay: the input's,
    which is that of its bytes, and the sigmoids', which the operator prescribes. A tensor that has
    its scale from another learns with that one. Nothing is dropped out in training.

    Args:
        graph: with `QuantParams` on every tensor and weight.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.network = Network(_without_dropout(graph))
        self.network.drop_connect = False
        fixed = {graph.input, *(n.name for n in graph.nodes if isinstance(n, Activation))}
        self.owners = scale_owners(graph)
        self.roundings = roundings(graph)
        self.params = {
            name: graph.quant[name]
            for name in (graph.input, *(n.name for n in graph.nodes))
            if name not in graph.class_tensors
        }
        self.log_scales = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(math.log(params.scale[0])))
                for name, params in self.params.items()
                if name not in fixed and name not in self.owners
            }
        )
        for node in graph.nodes:
            if isinstance(node, WeightedNode):
                layer = self.network.layers[node.name]
                kernel = torch.tensor(graph.quant[f"{node.name}/kernel"].scale)
                # Torch's layouts have the output channel first.
                shape = (-1, *(1,) * (cast(Tensor, layer.kernel).dim() - 1))
                parametrize.register_parametrization(layer, "kernel", _Grid(kernel.reshape(shape)))
                units = InSteps(self.params[node.name].scale[0])
                parametrize.register_parametrization(layer, "bias", units)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to what `Network` gives."""
        return self.network.run(x, self._round)

    def _round(self, name: str, tensor: Tensor) -> Tensor:
        if name in self.graph.class_tensors:
            return tensor
        params = self.params[name]
        owner = self.owners.get(name, name)
        if owner in self.log_scales:
            scale = self.log_scales[owner].exp()
        else:
            scale = torch.tensor(params.scale[0], device=tensor.device)
        return round_through(tensor, scale, params, self.roundings.get(name, Tensor.round_))

    def to_graph(self) -> Graph:
        """Returns the quantized Graph with the present weights and scales."""
        scales = {name: float(scale.detach()) for name, scale in self.log_scales.items()}
        graph = replace(self.graph, weights=self.network.to_graph().weights)
        return with_scales(graph, {name: math.exp(scale) for name, scale in scales.items()})


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
