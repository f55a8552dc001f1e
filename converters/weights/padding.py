"""Tells from photos whether a network was trained with TensorFlow's padding or with torch's.

A state dict does not say how its convolutions pad, and both ways give plausible logits. But every
batch normalization remembers the mean and variance of what it saw in training. Run over photos,
the right padding gives statistics nearer to those than the wrong one, layer after layer.

Measured on 64 photos: EfficientNet-Lite0 on its own flowers 47 and 48 of 49 layers speak for the
right padding, EfficientNetV2-B0 on ImageNet 59 of 59, and on flowers, which it was not trained
on, 46 of 59. With its statistics recorded anew under torch's padding: none of 59 for the wrong
one. Epsilon cannot be told this way (about half of the layers speak for either).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgekit.networks.efficientnet.architecture import pyramid
from edgekit.networks.efficientnet.origin import origin_of, spec_of
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, SpatialNode

#: Share of the layers that must agree. Photos unlike those of the training still reach 0.78.
DECISIVE = 0.7


@dataclass(frozen=True)
class PaddingGuess:
    """What the layers say.

    Attributes:
        padding: ``same`` or ``symmetric``; None where the layers do not agree.
        share: of the layers that speak for ``same``.
        layers: how many there are.
    """

    padding: str | None
    share: float
    layers: int


def guess_padding(graph: Graph, inputs: Array) -> PaddingGuess:
    """Compares the statistics of both paddings with those that the weights remember.

    Of a network with a decoder the backbone alone is asked: its decoder may be freshly drawn.

    Args:
        graph: a trained network; where its batch normalizations are folded, nobody remembers.
        inputs: normalised photos, float [n, height, width, 3]; 64 of the kind that the network
            was trained on are enough.
    """
    same, symmetric = (
        _surprises(with_padding(graph, padding), inputs) for padding in ("same", "symmetric")
    )
    if not len(same):
        return PaddingGuess(None, 0.5, 0)
    share = float(np.mean(same < symmetric))
    padding = "same" if share >= DECISIVE else "symmetric" if share <= 1 - DECISIVE else None
    return PaddingGuess(padding, share, len(same))


def with_padding(graph: Graph, padding: str) -> Graph:
    """The same weights, padded the given way."""
    nodes = tuple(
        replace(node, padding=padding) if isinstance(node, SpatialNode) else node
        for node in graph.nodes
    )
    spec = spec_of(graph)
    origin = origin_of(replace(spec, padding=padding)) if spec else graph.origin
    return replace(graph, nodes=nodes, origin=origin)


def _surprises(graph: Graph, inputs: Array) -> Array:
    """Per layer, how far the photos' statistics are from the remembered ones.

    The Kullback-Leibler divergence of two normal distributions, as the median over channels.
    """
    import torch

    from edgekit.networks.torch_network import Network

    surprises: list[float] = []

    def compare(norm: torch.nn.BatchNorm2d, args: tuple[torch.Tensor, ...], _: object) -> None:
        mean, variance = args[0].mean((0, 2, 3)), args[0].var((0, 2, 3)) + 1e-8
        if norm.running_mean is None or norm.running_var is None:
            return
        theirs = norm.running_var + 1e-8
        shift = (mean - norm.running_mean) ** 2
        divergence = (torch.log(theirs / variance) + (variance + shift) / theirs - 1) / 2
        surprises.append(divergence.median().item())

    network = Network(graph).eval()
    spec = spec_of(graph)
    until = pyramid(graph)[-1] if spec and spec.decoder else None
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(compare)
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        network.run(x, until=until)
    return np.array(surprises)
