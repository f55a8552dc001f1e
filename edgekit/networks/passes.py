"""Rewrites of a Graph that keep what it computes: what a converter or a quantizer needs first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Activation,
    Add,
    Array,
    Conv2D,
    DepthwiseConv2D,
    Mul,
    Node,
    Shape,
    WeightedNode,
    WeightedSum,
    activation_of,
)

Triple = tuple[float, float, float]
InputMethod = Literal["depthwise", "common-zero"]

#: What a convolution can carry in its own fused activation, in TFLite and in its delegates.
FUSED_ACTIVATIONS = frozenset({"linear", "relu", "relu6"})


def fold_batch_norm(graph: Graph) -> Graph:
    """Folds every batch normalization into the kernel and bias before it.

    A layer with neither gets a bias of zeros, so that every layer has one; and one that has
    another's weights gets its own.
    Computed in float64 and rounded once, so that the result differs from the original by
    float32 rounding only.
    """
    weights: dict[str, Array] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        values = {name: a.astype(np.float64) for name, a in graph.node_weights(node).items()}
        if isinstance(node, WeightedNode):
            if node.batch_norm is not None:
                gain = values["gamma"] / np.sqrt(values["variance"] + node.batch_norm)
                offset = values["mean"] - values.get("bias", 0.0)
                # Every kernel layout has the output channels last.
                values = {
                    "kernel": values["kernel"] * gain,
                    "bias": values["beta"] - offset * gain,
                }
            elif not node.use_bias:
                values["bias"] = np.zeros(values["kernel"].shape[-1])
            node = replace(node, batch_norm=None, use_bias=True, biased_norm=False, weights_of="")
        nodes.append(node)
        weights |= {f"{node.name}/{name}": a.astype(np.float32) for name, a in values.items()}
    return replace(graph, nodes=tuple(nodes), weights=weights)


def expand_sums(graph: Graph) -> Graph:
    """Writes weighted sums out as sums of two of what 1x1 depthwise convolutions have scaled.

    Such a convolution is a multiplication by a constant: it is in every runtime and on every chip,
    its int8 kernel is exact, and nothing is lost where its output's steps are as many times those
    of its input. Computed in float64 and rounded once.
    """
    nodes: list[Node] = []
    shapes, weights = dict(graph.shapes), dict(graph.weights)
    for node in graph.nodes:
        if not isinstance(node, WeightedSum):
            nodes.append(node)
            continue
        (name,) = node.weight_names()
        shares = np.maximum(weights.pop(name).astype(np.float64), 0)
        shares /= shares.sum() + node.epsilon
        total, shape = "", graph.shapes[node.name]
        for number, (source, share) in enumerate(zip(node.inputs, shares, strict=True)):
            scaled = DepthwiseConv2D(name=f"{node.name}_scaled{number}", inputs=(source,))
            weights[f"{scaled.name}/kernel"] = np.full((1, 1, shape[-1]), share, np.float32)
            weights[f"{scaled.name}/bias"] = np.zeros(shape[-1], np.float32)
            nodes.append(scaled)
            shapes[scaled.name] = shape
            if total:
                is_last = number == len(shares) - 1
                total = node.name if is_last else f"{node.name}_sum{number}"
                kind = node.activation if is_last else "linear"
                inputs = (nodes[-2].name, scaled.name)
                nodes.append(Add(name=total, inputs=inputs, activation=kind))
                shapes[total] = shape
            else:
                total = scaled.name
    return replace(graph, nodes=tuple(nodes), shapes=shapes, weights=weights)


class _Rewriting:
    """A Graph that is written again, node by node, with others in between."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.shapes, self.weights = dict(graph.shapes), dict(graph.weights)

    def add(self, node: Node, shape: Shape) -> str:
        """Appends a node; returns the name of its output."""
        self.nodes.append(node)
        self.shapes[node.name] = shape
        return node.name

    def add_line(self, name: str, x: str, slope: float, offset: float, activation: str) -> str:
        """Appends a 1x1 depthwise convolution that computes ``slope * x + offset`` of every value.

        It is in every runtime and on every chip, and its int8 kernel is exact.
        """
        depth = self.shapes[x][-1]
        self.weights[f"{name}/kernel"] = np.full((1, 1, depth), slope, np.float32)
        self.weights[f"{name}/bias"] = np.full(depth, offset, np.float32)
        return self.add(
            DepthwiseConv2D(name=name, inputs=(x,), activation=activation), self.shapes[x]
        )

    def change_output(self, node: WeightedNode, slope: float, offset: float) -> None:
        """Makes a layer give ``slope * y + offset``: by its weights, or its normalization's."""
        normalized = node.batch_norm is not None
        for suffix in ("gamma", "beta") if normalized else ("kernel", "bias"):
            name = f"{node.name}/{suffix}"
            moved = offset if suffix in ("beta", "bias") else 0.0
            values = self.weights[name].astype(np.float64) * slope + moved
            self.weights[name] = values.astype(np.float32)


def _write_linear(graph: _Rewriting, node: Node, activation: str = "linear") -> str:
    changed = replace(node, activation=activation)  # type: ignore[call-arg]
    return graph.add(changed, graph.shapes[node.name])


def _write_sigmoid(graph: _Rewriting, node: Node) -> str:
    x = _write_linear(graph, node)
    gate = Activation(name=f"{x}_sigmoid", inputs=(x,), kind="sigmoid")
    return graph.add(gate, graph.shapes[x])


def _write_swish(graph: _Rewriting, node: Node) -> str:
    gate = _write_sigmoid(graph, node)
    inputs = (node.name, gate)
    return graph.add(Mul(name=f"{node.name}_swish", inputs=inputs), graph.shapes[gate])


def _write_hard_sigmoid(graph: _Rewriting, node: Node) -> str:
    """A layer gives ``relu6(x + 3)``; a sixth of it has, in int8, the same integers."""
    if isinstance(node, WeightedNode):
        graph.change_output(node, 1.0, 3.0)
        ramp = _write_linear(graph, node, "relu6")
    else:
        ramp = graph.add_line(f"{node.name}_ramp", _write_linear(graph, node), 1.0, 3.0, "relu6")
    return graph.add_line(f"{node.name}_hardsigmoid", ramp, 1 / 6, 0.0, "linear")


def _write_hard_swish(graph: _Rewriting, node: Node) -> str:
    """A layer gives a sixth of x, which is multiplied by ``relu6(x + 3)``."""
    if isinstance(node, WeightedNode):
        graph.change_output(node, 1 / 6, 0.0)
        sixth = _write_linear(graph, node)
    else:
        sixth = graph.add_line(
            f"{node.name}_sixth", _write_linear(graph, node), 1 / 6, 0.0, "linear"
        )
    ramp = graph.add_line(f"{node.name}_ramp", sixth, 6.0, 3.0, "relu6")
    return graph.add(Mul(name=f"{node.name}_hardswish", inputs=(sixth, ramp)), graph.shapes[ramp])


#: Activations that are written out: how a node that ends with one is appended.
EXPANSIONS: dict[str, Callable[[_Rewriting, Node], str]] = {
    "sigmoid": _write_sigmoid,
    "swish": _write_swish,
    "hard-sigmoid": _write_hard_sigmoid,
    "hard-swish": _write_hard_swish,
}


def expand_activations(graph: Graph) -> Graph:
    """Writes out what no integer kernel fuses: sigmoid, and swish as ``x * sigmoid(x)``.

    Their hard relatives become 1x1 depthwise convolutions, ReLU6 and products, as not every target
    has HARD_SWISH.
    """
    renamed: dict[str, str] = {}
    written = _Rewriting(graph)
    for node in graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        kind = activation_of(node)
        if kind in FUSED_ACTIVATIONS:
            written.add(node, graph.shapes[node.name])
        else:
            renamed[node.name] = EXPANSIONS[kind](written, node)
    return replace(
        graph, nodes=tuple(written.nodes), shapes=written.shapes, weights=written.weights
    )


def swishes(graph: Graph) -> dict[str, str]:
    """The products that `expand_activations` wrote a swish out as, to their gates.

    Nothing else reads the gate.
    """
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    gates = {
        node.name: node.inputs[0]
        for node in graph.nodes
        if isinstance(node, Activation) and node.kind == "sigmoid" and readers[node.name] == 1
    }
    return {
        node.name: node.inputs[1]
        for node in graph.nodes
        if isinstance(node, Mul) and gates.get(node.inputs[1]) == node.inputs[0]
    }


def join_swishes(graph: Graph, kept: Collection[str] = ()) -> Graph:
    """Makes a swish that was written out one operator again: for a float network that only runs.

    It has the product's name. A fused swish takes half of the time on a CPU, and its gradient a
    third.

    Args:
        graph: the network.
        kept: tensors that somebody wants to see; their swishes stay as they are.
    """
    joined = {name: gate for name, gate in swishes(graph).items() if gate not in kept}
    gone = set(joined.values())
    nodes = (
        Activation(name=node.name, inputs=(node.inputs[0],), kind="swish")
        if node.name in joined
        else node
        for node in graph.nodes
        if node.name not in gone
    )
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in gone}
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def absorb_normalization(
    graph: Graph, mean: Triple, std: Triple, method: InputMethod
) -> tuple[Graph, float, float]:
    """Makes the input's normalization one that an 8-bit input's scale and zero point can hold.

    A quantized input tensor is ``(pixel - zero) * scale`` with one integer ``zero`` for all
    channels. Where the normalization is not of that form, the difference moves into the network:

    - ``depthwise``: a 1x1 depthwise convolution in front normalises raw pixels. Exact in reals;
      its output is rounded to 8 bits once.
    - ``common-zero``: the input is ``pixel - zero`` and the stem takes the rest. No extra
      operator and no rounding; only the padding differs, which then stands for ``zero``
      instead of each channel's mean.

    Args:
        graph: a network whose batch normalizations are folded.
        mean: per channel, in pixel units.
        std: per channel, in pixel units.
        method: how the rest is absorbed.

    Returns:
        The network, its input's common mean (an integer) and its input's common std.
    """
    if len({*mean}) == len({*std}) == 1 and mean[0] == round(mean[0]):
        return graph, mean[0], std[0]
    stem = graph.nodes[0]
    if not isinstance(stem, Conv2D):
        raise TypeError(f"the first node of {graph.name} is a {type(stem).__name__}")
    gain = 1 / np.asarray(std, np.float64)
    offset = -np.asarray(mean, np.float64) * gain
    if method == "depthwise":
        return _normalize_in_front(graph, stem, gain, offset), 0.0, 1.0
    zero = float(round(sum(mean) / 3))
    first_kernel, first_bias = stem.weight_names()
    kernel = graph.weights[first_kernel].astype(np.float64)
    shift = np.einsum("hwio,i->o", kernel, zero * gain + offset)
    weights = {
        **graph.weights,
        first_kernel: (kernel * gain[:, None]).astype(np.float32),
        first_bias: (graph.weights[first_bias] + shift).astype(np.float32),
    }
    return replace(graph, weights=weights), zero, 1.0


def _normalize_in_front(graph: Graph, stem: Conv2D, gain: Array, offset: Array) -> Graph:
    front = DepthwiseConv2D(name="normalize", inputs=(graph.input,), kernel=1)
    weights: Mapping[str, Array] = {
        "normalize/kernel": gain.astype(np.float32).reshape(1, 1, 3),
        "normalize/bias": offset.astype(np.float32),
        **graph.weights,
    }
    return replace(
        graph,
        nodes=(front, replace(stem, inputs=(front.name,)), *graph.nodes[1:]),
        shapes={**graph.shapes, front.name: graph.shapes[graph.input]},
        weights=weights,
    )


#: Passes that make a trained network ready to be quantized, in order.
PREPARE: tuple[Callable[[Graph], Graph], ...] = (
    fold_batch_norm,
    expand_sums,
    expand_activations,
)


def prepare(graph: Graph) -> Graph:
    """Applies `PREPARE`."""
    for step in PREPARE:
        graph = step(graph)
    return graph
