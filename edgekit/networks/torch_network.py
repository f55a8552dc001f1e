"""The only torch module: it executes a Graph, for training, evaluation and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.networks import depthwise, nodes
from edgekit.networks.detection.layer import BoxesOfAnchors
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, Node, SpatialNode, WeightedNode, row_of

#: Called with each tensor's name and value; what it returns is what the network goes on with.
Tap = Callable[[str, Tensor], Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "swish": F.silu,
    "sigmoid": torch.sigmoid,
    "hard-swish": F.hardswish,
    "hard-sigmoid": F.hardsigmoid,
}

#: The same; those that large maps go through overwrite them.
IN_PLACE = ACTIVATIONS | {
    "relu": torch.relu_,
    "relu6": partial(F.relu6, inplace=True),
    "swish": partial(F.silu, inplace=True),
    "hard-swish": partial(F.hardswish, inplace=True),
}


class GraphModule(nn.Module):
    """A module that was made of a Graph, and gives it back with what it has learned."""

    def to_graph(self) -> Graph:
        """Returns the Graph with the module's present weights."""
        raise NotImplementedError


class Network(GraphModule):
    """Executes a Graph on NCHW float tensors of any batch size.

    Args:
        graph: the network; its weights are copied.
        bn_momentum: share of a new batch in the moving statistics (torch's convention).

    Attributes:
        drop_connect: whether training drops residual branches at the nodes' rates.
    """

    def __init__(self, graph: Graph, *, bn_momentum: float = 0.01) -> None:
        super().__init__()
        self.graph = replace(graph, weights={})
        self.drop_connect = True
        self.layers = nn.ModuleDict()
        for node in graph.nodes:
            if isinstance(node, WeightedNode):
                owner = self.layers[node.weights_of] if node.weights_of else None
                self.layers[node.name] = _Layer(graph, node, bn_momentum, cast("_Layer", owner))
            elif isinstance(node, nodes.WeightedSum):
                self.layers[node.name] = _Shares(graph, node)
            elif isinstance(node, nodes.DetectionPostProcess):
                self.layers[node.name] = BoxesOfAnchors(graph, node)
        self._last_uses = graph.last_uses()

    def forward(self, x: Tensor) -> Tensor:
        """Returns the outputs for normalised photos, float [n, 3, height, width].

        That is logits, float [n, classes] or of maps [n, classes, height, width], or classes,
        int64 [n, height, width] or [n, 1, height, width] (`edgekit.networks.nodes.ArgMax`); of
        several outputs, which are rows, all columns: [n, rows, columns]; or boxes
        (`edgekit.networks.nodes.DetectionPostProcess`).
        """
        return self.run(x)

    def run(self, x: Tensor, tap: Tap | None = None, until: str | None = None) -> Tensor:
        """Runs the network, or a part of it, and shows what flows through.

        Args:
            x: normalised photos, float [n, 3, height, width].
            tap: sees, and may replace, the input and every node's output.
            until: the tensor to stop at.

        Returns:
            As `forward`, or the tensor ``until``.
        """
        graph = self.graph
        values = {graph.input: tap(graph.input, x) if tap else x}
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            if isinstance(node, nodes.Mean) and self.training:
                y = _mean_to_train(inputs[0], node.keep_dims)
            else:
                y = self.run_node(node, inputs)
            values[node.name] = tap(node.name, y) if tap else y
            if node.name == until:
                return values[until]
            for name in {name for name in node.inputs if self._last_uses[name] == node.name}:
                del values[name]
        return join([values[name] for name in graph.outputs])

    def run_node(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Computes one node's output from its inputs, NCHW."""
        return row_of(EXECUTIONS, node, "execution")(self, node, inputs)

    def drop_branch(self, x: Tensor, rate: float) -> Tensor:
        """Stochastic depth per sample, scaled to keep the mean (released code, ``utils.py``)."""
        if not (self.training and self.drop_connect) or rate == 0:
            return x
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype) >= rate
        return x * (keep.to(x.dtype) / (1 - rate))

    def to_graph(self) -> Graph:
        """Returns the Graph with the module's present weights."""
        weights: dict[str, Array] = {}
        for node in self.graph.nodes:
            if names := node.weight_names():
                values = cast("_Layer | _Shares | BoxesOfAnchors", self.layers[node.name]).export()
                weights |= {name: values[name.rpartition("/")[2]] for name in names}
        return replace(self.graph, weights=weights)


def join(outputs: Sequence[Tensor]) -> Tensor:
    """A network's outputs as one tensor: where there are several, all columns of their rows."""
    return outputs[0] if len(outputs) == 1 else torch.cat(list(outputs), -1)


def _run_layer(network: Network, node: WeightedNode, inputs: list[Tensor]) -> Tensor:
    return cast(Tensor, network.layers[node.name](inputs[0]))


def _run_add(network: Network, node: nodes.Add, inputs: list[Tensor]) -> Tensor:
    total = network.drop_branch(inputs[0], node.drop_connect) + inputs[1]
    return ACTIVATIONS[node.activation](total)


def _run_weighted_sum(network: Network, node: nodes.WeightedSum, inputs: list[Tensor]) -> Tensor:
    shares = cast(Tensor, network.layers[node.name]())
    total = inputs[0] * shares[0]
    for x, share in zip(inputs[1:], shares[1:], strict=True):
        total = total + x * share
    return ACTIVATIONS[node.activation](total)


def _run_max_pool(network: Network, node: nodes.MaxPool2D, inputs: list[Tensor]) -> Tensor:
    (x,) = inputs
    (top, bottom), (left, right) = (node.pads(side) for side in (x.shape[2], x.shape[3]))
    half = node.kernel // 2
    known = isinstance(top, int) and isinstance(left, int)  # else a stand-in of what records
    if known and {top, bottom, left, right} == {half}:
        return F.max_pool2d(x, node.kernel, node.stride, half)
    x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(x, node.kernel, node.stride)


def _run_rows(network: Network, node: nodes.Rows, inputs: list[Tensor]) -> Tensor:
    return inputs[0].permute(0, 2, 3, 1).reshape(inputs[0].shape[0], -1, node.columns)


EXECUTIONS: dict[type[Node], Callable[[Network, Any, list[Tensor]], Tensor]] = {
    **dict.fromkeys((nodes.Conv2D, nodes.DepthwiseConv2D, nodes.FullyConnected), _run_layer),
    nodes.Activation: lambda network, node, inputs: ACTIVATIONS[node.kind](inputs[0]),
    nodes.Add: _run_add,
    nodes.WeightedSum: _run_weighted_sum,
    nodes.Mul: lambda network, node, inputs: inputs[0] * inputs[1],
    nodes.Mean: lambda network, node, inputs: inputs[0].mean((2, 3), keepdim=node.keep_dims),
    nodes.AveragePool2D: lambda network, node, inputs: F.avg_pool2d(inputs[0], node.kernel),
    nodes.MaxPool2D: _run_max_pool,
    nodes.Flatten: lambda network, node, inputs: inputs[0].flatten(1),
    nodes.Rows: _run_rows,
    nodes.Concat: lambda network, node, inputs: torch.cat(inputs, 1),  # channels, or rows
    nodes.Resize: lambda network, node, inputs: RESIZES[node.method](inputs[0], node.size),
    nodes.Tile: lambda network, node, inputs: inputs[0].repeat(1, 1, *node.size),
    nodes.ArgMax: lambda network, node, inputs: inputs[0].argmax(1, keepdim=node.keep_dims),
    nodes.DetectionPostProcess: lambda network, node, inputs: network.layers[node.name](*inputs),
}


def _resize_nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.is_floating_point():
        return F.interpolate(x, size)
    for axis, (before, after) in enumerate(zip(x.shape[2:], size, strict=True), 2):
        # torch resizes no integers of 64 bits.
        places = torch.from_numpy(nodes.nearest_places(before, after)).to(x.device)
        x = x.index_select(axis, places)
    return x


def _resize_bilinear(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


#: By the names of `edgekit.networks.nodes.RESIZE_METHODS`.
RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "nearest": _resize_nearest,
    "bilinear-corners": partial(_resize_bilinear, align_corners=True),
    "bilinear-half-pixel": partial(_resize_bilinear, align_corners=False),
}


class _Layer(nn.Module):
    """A weighted node: kernel in torch's layout; a bias, a batch normalization, both or neither.

    The parameters of an ``owner`` are its own as well.
    """

    def __init__(
        self, graph: Graph, node: WeightedNode, momentum: float, owner: _Layer | None = None
    ) -> None:
        super().__init__()
        self.node = node
        values = {name: _tensor(array) for name, array in graph.node_weights(node).items()}
        self.kernel: nn.Parameter
        self.norm: nn.BatchNorm2d | None = None
        self.bias: nn.Parameter | None = None
        if owner is not None:
            self.kernel, self.bias = owner.kernel, owner.bias
        else:
            self.kernel = nn.Parameter(to_torch(node, values["kernel"]))
            if "bias" in values:
                self.bias = nn.Parameter(values["bias"])
        if node.batch_norm is not None:
            self.norm = nn.BatchNorm2d(len(values["beta"]), node.batch_norm, momentum)
            self.norm.weight.data = values["gamma"]
            self.norm.bias.data = values["beta"]
            self.norm.running_mean = values["mean"]
            self.norm.running_var = values["variance"]

    def forward(self, x: Tensor) -> Tensor:
        node = self.node
        x = row_of(LAYERS, node, "execution")(self, node, x)
        if self.norm is not None:
            x = self.norm(x)
        if not isinstance(node, SpatialNode):
            return x
        if torch.is_grad_enabled() or _is_traced(x):
            return ACTIVATIONS[node.activation](x)
        return IN_PLACE[node.activation](x)  # nobody else has x, and a new map costs time

    def export(self) -> dict[str, Array]:
        kernel = from_torch(self.node, self.kernel)
        values: dict[str, Tensor | None] = {"kernel": kernel, "bias": self.bias}
        if self.norm is not None:
            values["gamma"], values["beta"] = self.norm.weight, self.norm.bias
            values["mean"], values["variance"] = self.norm.running_mean, self.norm.running_var
        return {name: _array(tensor) for name, tensor in values.items() if tensor is not None}


class _Shares(nn.Module):
    """The weights of a `edgekit.networks.nodes.WeightedSum`."""

    def __init__(self, graph: Graph, node: nodes.WeightedSum) -> None:
        super().__init__()
        self.node = node
        self.weights = nn.Parameter(_tensor(graph.node_weights(node)["weights"]))

    def forward(self) -> Tensor:
        """What each map is multiplied by, [maps]."""
        weights = F.relu(self.weights)
        return weights / (weights.sum() + self.node.epsilon)

    def export(self) -> dict[str, Array]:
        return {"weights": _array(self.weights)}


def _connect(layer: _Layer, node: nodes.FullyConnected, x: Tensor) -> Tensor:
    return F.linear(F.dropout(x, node.dropout, layer.training), layer.kernel, layer.bias)


def _convolve(layer: _Layer, node: nodes.Conv2D, x: Tensor) -> Tensor:
    padding, x = _pad(x, node)
    return F.conv2d(x, layer.kernel, layer.bias, node.stride, padding, node.dilation)


def _convolve_depthwise(layer: _Layer, node: nodes.DepthwiseConv2D, x: Tensor) -> Tensor:
    height, width = (-(-side // node.stride) for side in (x.shape[2], x.shape[3]))
    widens = layer.training and node.dilation == 1
    if not _is_traced(x) and x.device.type == "cpu" and node.dilation == 1:
        pads = _pads(x, node)
        x = depthwise.at_least(x, node.kernel) if widens else x
        x = depthwise.convolve(x, layer.kernel, layer.bias, node.stride, pads)
    else:
        padding, x = _pad(x, node)
        x = depthwise.at_least(x, node.kernel) if widens else x
        groups = x.shape[1]
        x = F.conv2d(x, layer.kernel, layer.bias, node.stride, padding, node.dilation, groups)
    return x[..., :height, :width]


#: A layer's output before normalization and activation.
LAYERS: dict[type[Node], Callable[[_Layer, Any, Tensor], Tensor]] = {
    nodes.Conv2D: _convolve,
    nodes.DepthwiseConv2D: _convolve_depthwise,
    nodes.FullyConnected: _connect,
}
#: From a kernel's layout in the Graph to torch's, output channel first, and back.
LAYOUTS: dict[type[Node], tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    nodes.Conv2D: (lambda k: k.permute(3, 2, 0, 1), lambda k: k.permute(2, 3, 1, 0)),
    nodes.DepthwiseConv2D: (
        lambda k: k.permute(2, 0, 1).unsqueeze(1),  # HWC to C1HW
        lambda k: k.squeeze(1).permute(1, 2, 0),
    ),
    nodes.FullyConnected: (Tensor.t, Tensor.t),
}


def _is_traced(x: Tensor) -> bool:
    """Whether operations on x are recorded, to be run later on other values.

    torch.fx records with a stand-in for a tensor, torch.jit.trace with one for each size, and
    torch.export and torch.compile say that they do.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return True
    return torch.compiler.is_compiling() or isinstance(x, torch.fx.Proxy)


@torch.fx.wrap
def _mean_to_train(x: Tensor, keep_dims: bool) -> Tensor:
    """The mean of each map, with a gradient that is a view of a few numbers.

    That of torch's mean is a tensor as large as x, written only to be added to another one.
    """
    if x.dtype == torch.float16:  # whose sums may overflow
        return x.mean((2, 3), keepdim=keep_dims)
    return x.sum((2, 3), keepdim=keep_dims) / (x.shape[2] * x.shape[3])


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.detach().float().cpu().numpy(), order="C")


def to_torch(node: Node, kernel: Tensor) -> Tensor:
    """Puts a node's kernel from the Graph's layout into torch's, output channel first."""
    return LAYOUTS[type(node)][0](kernel).contiguous()


def from_torch(node: Node, kernel: Tensor) -> Tensor:
    """The inverse of `to_torch`."""
    return LAYOUTS[type(node)][1](kernel)


def _pads(x: Tensor, node: SpatialNode) -> depthwise.Pads:
    """Zeros around a map; below and to the right, also where no window reaches them."""
    half = node.reach // 2
    if node.reach % 2 and (node.padding == "symmetric" or node.stride == 1):
        return (half, half), (half, half)
    return node.pads(x.shape[2]), node.pads(x.shape[3])


def _pad(x: Tensor, node: SpatialNode) -> tuple[tuple[int, int], Tensor]:
    """Pads as the node says.

    Returns the symmetric padding that the convolution itself can do, and the input, padded
    here where that is not enough, or not known before the network runs.
    """
    (top, bottom), (left, right) = _pads(x, node)
    known = isinstance(top, int) and isinstance(left, int)  # else a stand-in of what records
    if known and top == bottom and left == right:
        return (top, left), x
    return (0, 0), F.pad(x, (left, right, top, bottom))
