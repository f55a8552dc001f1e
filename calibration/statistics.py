"""Bias correction without photos: from what batch normalizations remember of the training set.

A batch normalization says how its output was distributed: mean beta, standard deviation gamma.
Behind its activation that gives the mean of what the next layer reads, and times the rounding
error of that layer's kernel the shift of its output (Nagel et al. 2019, arXiv 1906.04721,
section 4.2 and appendix C, where the ReLU has a closed form; here a quadrature serves any
activation). Errors of rounded activations it cannot know: `edgekit.calibration.bias` takes those
out too, and needs photos for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node, WeightedNode, activation_of, row_of
from edgekit.networks.quantization import Reals, reals

#: Nodes and weights of the quadrature over a standard normal distribution.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(64)

ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard-swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard-sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}


def expected_means(graph: Graph, input_mean: Reals) -> dict[str, Reals]:
    """The mean of every tensor over photos and positions, by channel, as far as it is known.

    Channels of a product are taken as independent, and a layer without a batch normalization as
    constant.

    Args:
        graph: as trained, with its batch normalizations.
        input_mean: of the network's input, [channels].

    Returns:
        float64 [channels] by tensor.
    """
    means: dict[str, Reals] = {graph.input: np.asarray(input_mean, np.float64)}
    for node in graph.nodes:
        mean = row_of(MEANS, node, "expected mean")
        means[node.name] = mean(graph, node, [means[name] for name in node.inputs])
    return means


def _of_layer(graph: Graph, node: WeightedNode, inputs: list[Reals]) -> Reals:
    values = {name: a.astype(np.float64) for name, a in graph.node_weights(node).items()}
    kind = activation_of(node)
    if node.batch_norm is None:
        return ACTIVATIONS[kind](_through(values["kernel"], inputs[0]) + values.get("bias", 0))
    spread = np.abs(values["gamma"])[:, None] * NODES
    seen = ACTIVATIONS[kind](values["beta"][:, None] + spread)
    expected: Reals = (seen * WEIGHTS).sum(1) / WEIGHTS.sum()
    return expected


def _of_input(graph: Graph, node: Node, inputs: list[Reals]) -> Reals:
    return inputs[0]


def _of_weighted_sum(graph: Graph, node: nodes.WeightedSum, inputs: list[Reals]) -> Reals:
    shares = np.maximum(graph.node_weights(node)["weights"].astype(np.float64), 0)
    total = np.tensordot(shares, np.stack(inputs), 1) / (shares.sum() + node.epsilon)
    return ACTIVATIONS[node.activation](total)


def _of_concat(graph: Graph, node: nodes.Concat, inputs: list[Reals]) -> Reals:
    lengths = [graph.shapes[name][0] for name in node.inputs]
    if len(graph.shapes[node.name]) == 2:  # rows: the same columns of each
        return np.average(np.stack(inputs), axis=0, weights=lengths)
    return np.concatenate(inputs)


MEANS: dict[type[Node], Callable[[Graph, Any, list[Reals]], Reals]] = {
    **dict.fromkeys((nodes.Conv2D, nodes.DepthwiseConv2D, nodes.FullyConnected), _of_layer),
    nodes.Activation: lambda graph, node, inputs: ACTIVATIONS[node.kind](inputs[0]),
    nodes.Add: lambda graph, node, inputs: ACTIVATIONS[node.activation](inputs[0] + inputs[1]),
    nodes.WeightedSum: _of_weighted_sum,
    nodes.Mul: lambda graph, node, inputs: inputs[0] * inputs[1],
    **dict.fromkeys((nodes.Mean, nodes.AveragePool2D, nodes.Flatten), _of_input),
    # The mean is not that of the largest; but no layer reads a maximum without a sum before it.
    nodes.MaxPool2D: _of_input,
    nodes.Rows: lambda graph, node, inputs: inputs[0].reshape(-1, node.columns).mean(0),
    **dict.fromkeys((nodes.Resize, nodes.Tile), _of_input),
    nodes.Concat: _of_concat,
    # Of the scores: the classes themselves, which no layer reads, have no mean.
    nodes.ArgMax: _of_input,
}


def _through(kernel: NDArray[Any], mean: Reals) -> Reals:
    """What a constant input of these means gives, at a place without padding; [filters]."""
    if kernel.ndim == 3:  # depthwise, HWC
        result: Reals = kernel.sum((0, 1)) * mean
    else:
        result = mean @ kernel.reshape(-1, *kernel.shape[-2:]).sum(0)
    return result


def correct_biases(trained: Graph, quantized: Graph, input_mean: Reals) -> Graph:
    """Takes the mean error that rounded kernels bring out of every bias.

    Args:
        trained: the network with its batch normalizations.
        quantized: the same, prepared, with `QuantParams`.
        input_mean: of the quantized network's input, [channels].

    Returns:
        The quantized network with other biases; nothing else changes.
    """
    means = expected_means(trained, np.zeros(len(input_mean)))
    means[trained.input] = np.asarray(input_mean, np.float64)
    weights = dict(quantized.weights)
    for node in quantized.nodes:
        if not isinstance(node, WeightedNode) or f"{node.name}/kernel" not in quantized.quant:
            continue
        kernel = quantized.weights[f"{node.name}/kernel"]
        error = reals(kernel, quantized.quant[f"{node.name}/kernel"]) - kernel
        source = node.inputs[0]
        if source not in means:  # a swish or sigmoid that was written out behind its layer
            source = source.rpartition("_")[0]
        shift = _through(error.astype(np.float64), means[source])
        weights[f"{node.name}/bias"] = (weights[f"{node.name}/bias"] - shift).astype(np.float32)
    return replace(quantized, weights=weights)
