"""Distillation without labels: the quantized network learns to answer as the float one does.

Fake quantization stands where the integers will stand, weights, biases and step sizes learn
through straight-through gradients, and the float network is the teacher. The scheme stays: what
comes out is the same Graph with other integers and other activation scales.

Sources: learned step sizes, Esser et al. 2020 (LSQ, arXiv 1902.08153), equations 1 to 3;
distillation, Hinton et al. 2015 (arXiv 1503.02531) at temperature 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from edgekit.calibration.affine import INT8_MAX, INT8_MIN, WEIGHT_MAX, bias_params
from edgekit.devices import place
from edgekit.errors import EdgekitError
from edgekit.graph import Activation, Graph, QuantParams, WeightedNode
from edgekit.network import Network

#: Told the steps done, the steps in all, and a few words on how it goes.
Advance = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Distillation:
    """How the quantized network learns. Rates are at their peak; they fall as a cosine to 0.

    Attributes:
        steps: batches to learn from.
        weight_rate: of kernels and biases, in integer steps: of the kernel's own grid, and of
            the layer's output.
        scale_rate: of the logarithm of activation scales.
        warmup: share of the steps in which the rates rise.
        average: decay of the averaged parameters, which are what is kept.
    """

    steps: int = 300
    weight_rate: float = 0.02
    scale_rate: float = 1e-3
    warmup: float = 0.05
    average: float = 0.98

    def rate(self, step: int) -> float:
        """Share of the peak rates at a step, counted from 0."""
        rise = (step + 1) / (self.warmup * self.steps + 1)
        return min(rise, 1.0) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


class _Round(torch.autograd.Function):
    """Rounds and clips to integers; the gradient passes where nothing was clipped.

    The step size gets LSQ's gradient (equation 3): the rounding error inside, the limit outside.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        steps = x / scale
        rounded = steps.round().clamp_(low, high)
        inside = (steps >= low) & (steps <= high)
        ctx.save_for_backward(inside, torch.where(inside, rounded - steps, rounded))
        return rounded * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        inside, slope = ctx.saved_tensors
        return grad * inside, (grad * slope).sum(), None, None


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


class QuantizedNetwork(nn.Module):
    """A quantized Graph that can learn: kernels, biases and the scales of activations.

    Zero points stay; a scale moves both ends of its range alike. Fixed ranges stay: the input's,
    which is that of its bytes, and the sigmoids', which the operator prescribes.

    Args:
        graph: with `QuantParams` on every tensor and weight.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.network = Network(graph)
        fixed = {graph.input, *(n.name for n in graph.nodes if isinstance(n, Activation))}
        self.params = {
            name: graph.quant[name] for name in (graph.input, *(n.name for n in graph.nodes))
        }
        self.log_scales = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(math.log(params.scale[0])))
                for name, params in self.params.items()
                if name not in fixed
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
        """Maps normalised photos, float [n, 3, height, width], to logits, float [n, classes]."""
        return cast(Tensor, self.network(x, self._round))

    def _round(self, name: str, tensor: Tensor) -> Tensor:
        params = self.params[name]
        zero_point = params.zero_point[0]
        if name in self.log_scales:
            scale = self.log_scales[name].exp()
        else:
            scale = torch.tensor(params.scale[0], device=tensor.device)
        low, high = INT8_MIN - zero_point, INT8_MAX - zero_point
        return cast(Tensor, _Round.apply(tensor, scale, low, high))  # type: ignore[no-untyped-call]

    def to_graph(self) -> Graph:
        """Returns the quantized Graph with the present weights and scales."""
        quant = dict(self.graph.quant)
        for name, log_scale in self.log_scales.items():
            scale = float(np.float32(math.exp(float(log_scale.detach()))))
            quant[name] = QuantParams((scale,), self.params[name].zero_point)
        for node in self.graph.nodes:
            if isinstance(node, WeightedNode):
                quant[f"{node.name}/bias"] = bias_params(
                    quant[node.inputs[0]].scale[0], quant[f"{node.name}/kernel"]
                )
        return replace(self.network.to_graph(), quant=quant)


def distill(
    teacher: Graph,
    student: Graph,
    batches: Iterable[Tensor],
    settings: Distillation,
    *,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Teaches a quantized network the float network's answers.

    Args:
        teacher: the float network.
        student: the same network, quantized.
        batches: inputs, float NCHW, as many as there are steps; no labels.
        settings: rates and steps.
        device: torch device.
        advance: told about progress.

    Returns:
        The student, with other weights and activation scales.

    Raises:
        EdgekitError: the loss is no longer a number.
    """
    judge = place(Network(teacher), device).eval()
    network = place(QuantizedNetwork(student), device).eval()  # nothing is dropped out
    scales = list(network.log_scales.values())
    others = list(network.network.parameters())
    optimizer = torch.optim.Adam([{"params": others}, {"params": scales}], betas=(0.9, 0.99))
    average = {name: p.detach().clone() for name, p in network.named_parameters()}
    for step, batch in zip(range(settings.steps), batches, strict=False):
        share = settings.rate(step)
        for group, rate in zip(
            optimizer.param_groups, (settings.weight_rate, settings.scale_rate), strict=True
        ):
            group["lr"] = share * rate
        inputs = batch.to(device)
        with torch.no_grad():
            wanted = judge(inputs).log_softmax(1)
        found = network(inputs).log_softmax(1)
        loss = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
        if not torch.isfinite(loss):
            raise EdgekitError("distillation diverged: the loss is not a number")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay = min(settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                average[name].lerp_(parameter, 1 - decay)
        if advance:
            advance(step + 1, settings.steps, f"KL {loss.item():.4f}")
    network.load_state_dict(average, strict=False)
    return network.to_graph()
