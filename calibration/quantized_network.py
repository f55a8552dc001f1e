"""A quantized network that can learn: fake quantization where the integers will stand.

Weights, biases and step sizes learn through straight-through gradients. The scheme stays: what
comes out is the same Graph with other integers and other activation scales.

Source: learned step sizes, Esser et al. 2020 (LSQ, arXiv 1902.08153), equations 1 to 3.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgekit.calibration.simulate import Rounding, roundings
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Activation, FullyConnected, WeightedNode
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, WEIGHT_MAX, bias_params, scale_owners
from edgekit.networks.torch_network import GraphModule, Network


class _Round(torch.autograd.Function):
    """Rounds and clips to integers; the gradient passes where nothing was clipped.

    The step size gets LSQ's gradient (equation 3): the rounding error inside, the limit outside.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, low: int, high: int, round_: Rounding
    ) -> Tensor:
        steps = x / scale
        rounded = round_(steps.clone()).clamp_(low, high)
        inside = (steps >= low) & (steps <= high)
        ctx.save_for_backward(inside, torch.where(inside, rounded - steps, rounded))
        return rounded * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        inside, slope = ctx.saved_tensors
        return grad * inside, (grad * slope).sum(), None, None, None


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


class _Units(nn.Module):
    """A bias kept in steps of the layer's output, so that one rate suits all layers."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, steps: Tensor) -> Tensor:
        return steps * self.scale

    def right_inverse(self, bias: Tensor) -> Tensor:
        return bias / self.scale


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
                units = _Units(self.params[node.name].scale[0])
                parametrize.register_parametrization(layer, "bias", units)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalised photos, float [n, 3, height, width], to what `Network` gives."""
        return self.network.run(x, self._round)

    def _round(self, name: str, tensor: Tensor) -> Tensor:
        if name in self.graph.class_tensors:
            return tensor
        params = self.params[name]
        zero_point = params.zero_point[0]
        owner = self.owners.get(name, name)
        if owner in self.log_scales:
            scale = self.log_scales[owner].exp()
        else:
            scale = torch.tensor(params.scale[0], device=tensor.device)
        low, high = INT8_MIN - zero_point, INT8_MAX - zero_point
        round_ = self.roundings.get(name, Tensor.round_)
        return cast(Tensor, _Round.apply(tensor, scale, low, high, round_))  # type: ignore[no-untyped-call]

    def to_graph(self) -> Graph:
        """Returns the quantized Graph with the present weights and scales."""
        quant = dict(self.graph.quant)
        for name, log_scale in self.log_scales.items():
            scale = float(np.float32(math.exp(float(log_scale.detach()))))
            quant[name] = QuantParams((scale,), self.params[name].zero_point)
        quant |= {name: quant[owner] for name, owner in self.owners.items()}
        for node in self.graph.nodes:
            if isinstance(node, WeightedNode):
                quant[f"{node.name}/bias"] = bias_params(
                    quant[node.inputs[0]].scale[0], quant[f"{node.name}/kernel"]
                )
        return replace(self.graph, weights=self.network.to_graph().weights, quant=quant)


def _without_dropout(graph: Graph) -> Graph:
    nodes = tuple(
        replace(node, dropout=0.0) if isinstance(node, FullyConnected) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)
