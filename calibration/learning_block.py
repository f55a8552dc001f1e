"""A block of a quantized network that can learn, with kernels between integers.

Source: the soft rounding h(V) of AdaRound, Nagel et al. 2020 (arXiv 2004.10568), equations 23 and
24; rounding a part of the values alone, QDrop, Wei et al. 2022 (arXiv 2203.05740), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgekit.calibration.blocks import Block
from edgekit.calibration.quantized_network import LearningGraph
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, Array, WeightedNode
from edgekit.networks.quantization import WEIGHT_MAX, scale_owners
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network, Tap, to_torch

#: The stretch of the soft rounding, so that it reaches 0 and 1 (AdaRound, section 3.2).
GAMMA, ZETA = -0.1, 1.1
#: Values that are drawn at once, to round or not: a tensor takes a stretch of them.
DRAWN = 2**24

#: Values by tensor, of some photos.
Values = dict[str, Tensor]


def run_block(block: Block, network: Network, inputs: Values, tap: Tap | None = None) -> Values:
    """Maps a block's inputs to its outputs, NCHW.

    Args:
        block: the part of a network.
        network: that has its layers.
        inputs: of the block.
        tap: may replace every node's output.
    """
    values = dict(inputs)
    for node in block.nodes:
        tensor = network.run_node(node, [values[name] for name in node.inputs])
        values[node.name] = tap(node.name, tensor) if tap else tensor
    return {name: values[name] for name in block.outputs}


class Coins:
    """Draws which values are rounded: stretches of one long draw, which takes far less time.

    Args:
        share: of the values that are rounded.
        generator: of the draw, and of where stretches begin.
        device: torch device.
        drawn: values in the draw.
    """

    def __init__(
        self,
        share: float,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        drawn: int = DRAWN,
    ) -> None:
        self.drawn = (torch.rand(drawn, generator=generator) < share).float().to(device)
        self.length, self.generator = drawn, generator

    def __call__(self, like: Tensor) -> Tensor:
        """1 where a value is rounded, else 0: float, of the shape and the layout of ``like``."""
        count = like.numel()
        start = int(torch.randint(0, self.length, (), generator=self.generator))
        if start + count > len(self.drawn):
            self.drawn = self.drawn.repeat(math.ceil((start + count) / len(self.drawn)))
        flat = self.drawn[start : start + count]
        if like.dim() != 4:
            return flat.view(like.shape)
        n, channels, height, width = like.shape
        return flat.view(n, height, width, channels).permute(0, 3, 1, 2)


class _Soft(nn.Module):
    """A kernel whose weights are between two integers, until it is hard; a parametrization."""

    def __init__(self, kernel: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("floor", (kernel / scale).floor())
        self.register_buffer("scale", scale)
        self.hard = False

    def share(self, v: Tensor) -> Tensor:
        """How far each weight is from the integer below to the one above, 0 to 1."""
        if self.hard:
            return (v >= 0).to(v.dtype)
        return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    def forward(self, v: Tensor) -> Tensor:
        """The kernel."""
        steps = cast(Tensor, self.floor) + self.share(v)
        return steps.clamp(-WEIGHT_MAX, WEIGHT_MAX) * cast(Tensor, self.scale)

    def right_inverse(self, kernel: Tensor) -> Tensor:
        """The variables behind the rounding, at which the kernel is what it is."""
        share = kernel / cast(Tensor, self.scale) - cast(Tensor, self.floor)
        return torch.logit((share.clamp(1e-4, 1 - 1e-4) - GAMMA) / (ZETA - GAMMA))


class LearningBlock(LearningGraph):
    """A block of a quantized network that can learn; its Graph is that of the whole network.

    Args:
        graph: the quantized network.
        block: the part of it.
        kernels: of the float network.
        device: torch device.
    """

    def __init__(
        self, graph: Graph, block: Block, kernels: Mapping[str, Array], device: torch.device
    ) -> None:
        network = place(Network(replace(graph, nodes=block.nodes)), device).eval()
        super().__init__(graph, network, _scales_that_learn(graph, block))
        self.block = block
        self.log_scales.to(device)
        self.soft: list[_Soft] = []
        #: Biases in steps, and the variables behind the rounding of kernels.
        self.biases: list[Tensor] = []
        self.kernels: list[Tensor] = []
        for node in block.nodes:
            if not isinstance(node, WeightedNode):
                continue
            layer = network.layers[node.name]
            kernel = to_torch(node, torch.tensor(kernels[f"{node.name}/kernel"])).to(device)
            cast(Tensor, layer.kernel).data.copy_(kernel)
            self.soft.append(_Soft(kernel, self.kernel_scale(node)))
            self.learn_layer(node, self.soft[-1])
            learning = cast(Any, layer).parametrizations
            self.biases.append(learning.bias.original)
            self.kernels.append(learning.kernel.original)

    def forward(self, values: Values, coins: Coins | None = None) -> Values:
        """Maps a block's inputs to its outputs; without coins all values are rounded."""

        def round_(name: str, tensor: Tensor) -> Tensor:
            return self.round(name, tensor, coins(tensor) if coins else None)

        return run_block(self.block, self.network, values, round_)

    @property
    def scales(self) -> list[Tensor]:
        """The logarithms of activation scales."""
        return list(self.log_scales.values())

    def harden(self) -> None:
        """Fixes the kernels: each weight is the integer that it is nearer to."""
        for soft in self.soft:
            soft.hard = True
        for kernel in self.kernels:
            kernel.requires_grad_(False)

    def indecision(self, exponent: float) -> Tensor:
        """The regulariser: how far the weights are from integers, a mean from 0 to 1."""
        shares = [soft.share(v) for soft, v in zip(self.soft, self.kernels, strict=True)]
        distances = [(1 - (2 * share - 1).abs().pow(exponent)).sum() for share in shares]
        return torch.stack(distances).sum() / sum(share.numel() for share in shares)


def _scales_that_learn(graph: Graph, block: Block) -> list[str]:
    """Not those that are prescribed, nor one that an earlier block's tensor has as well."""
    owners, own = scale_owners(graph), {node.name for node in block.nodes}
    first = graph.nodes.index(block.nodes[0])
    earlier = {graph.input, *(node.name for node in graph.nodes[:first])}
    held = {owners[name] for name in earlier & owners.keys()}
    sigmoids = {node.name for node in block.nodes if isinstance(node, Activation)}
    return sorted(own - sigmoids - held - owners.keys())
