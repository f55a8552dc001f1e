"""The plan of a plain module: a Graph as steps, each a layer of torch, for fixed photo sizes.

`edgekit.converters.torch.builder` makes the module of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.networks import nodes
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, Node, SpatialNode, WeightedNode, activation_of, row_of
from edgekit.networks.quantization import LIMITS, WEIGHT_MAX, reals
from edgekit.networks.schemes import W8_DYNAMIC, scheme_of

#: By the names in a Graph; a linear one is no step.
ACTIVATIONS = {
    **{"relu": "ReLU", "relu6": "ReLU6", "swish": "SiLU", "sigmoid": "Sigmoid"},
    **{"hard-swish": "Hardswish", "hard-sigmoid": "Hardsigmoid"},
}


@dataclass(frozen=True)
class Plan:
    """What `builder.build` is called with.

    Attributes:
        steps: JSON values.
        arrays: the module's state dict.
    """

    steps: dict[str, Any]
    arrays: dict[str, Array] = field(repr=False)


def make_plan(graph: Graph, *, fake_quantize: bool = False) -> Plan:
    """Plans a module of float tensors NCHW.

    Args:
        graph: any network.
        fake_quantize: round kernels, biases and tensors to their integers.

    Raises:
        UsageError: nothing in the network is quantized, or it is rounded photo by photo.
    """
    if fake_quantize:
        _demand_scales(graph)
    return _Planner(graph, fake_quantize).plan()


def _demand_scales(graph: Graph) -> None:
    if not graph.quant:
        raise UsageError(f"{graph.name} is not quantized", hint="fake_quantize=False")
    if scheme_of(graph) == W8_DYNAMIC:
        raise UsageError(
            f"{graph.name} has no scales for its activations",
            cause="they are rounded photo by photo",
            hint="quantize it as w8a8-static",
        )


class _Planner:
    """Collects steps and arrays, in the order of the Graph's nodes."""

    def __init__(self, graph: Graph, fake_quantize: bool) -> None:
        self.graph = graph
        self.quant: Mapping[str, QuantParams] = graph.quant if fake_quantize else {}
        self.steps: list[dict[str, Any]] = []
        self.arrays: dict[str, Array] = {}
        #: By tensor of the Graph, the step that writes its values.
        self.written = {graph.input: graph.input}

    def plan(self) -> Plan:
        """All of it."""
        graph = self.graph
        self.finish(graph.input, graph.input)
        for node in graph.nodes:
            inputs = [self.written[name] for name in node.inputs]
            row = row_of(OPERATORS, node, "torch layer", nodes.ENDS_TFLITE)
            self.finish(node.name, row(self, node, inputs))
        plan = {
            "name": "".join(c if c.isalnum() else "_" for c in graph.name),
            "input": graph.input,
            "outputs": [self.written[name] for name in graph.outputs],
            "steps": self.steps,
        }
        return Plan(plan, self.arrays)

    def add(self, name: str, kind: str, inputs: Iterable[str] = (), **settings: Any) -> str:
        """Appends a step; returns its name."""
        step = {"name": name, "kind": kind, "inputs": list(inputs), "settings": settings}
        self.steps.append(step)
        return name

    def finish(self, tensor: str, step: str) -> None:
        """Notes which step writes a tensor of the Graph, behind its rounding."""
        self.written[tensor] = self.round(tensor, step, f"{tensor}_rounded")

    def round(self, tensor: str, step: str, name: str) -> str:
        """Rounds what a step writes to the grid of a tensor, where that has one."""
        params = self.quant.get(tensor)
        if params is None:
            return step
        low, high = LIMITS[params.dtype]
        return self.add(
            name,
            "fake_quantize",
            [step],
            scale=params.scale[0],
            zero_point=params.zero_point[0],
            quant_min=low,
            quant_max=high,
        )

    def activate(self, node: Node, step: str) -> str:
        """Applies a node's fused activation."""
        kind = activation_of(node)
        if kind == "linear":
            return step
        return self.add(f"{node.name}_{kind.replace('-', '')}", ACTIVATIONS[kind], [step])

    def weigh(self, node: WeightedNode, source: str, layer: _Layer) -> str:
        """Adds a layer, with its kernel and its bias or batch normalization."""
        values = self.graph.node_weights(node)
        if f"{node.name}/kernel" in self.quant:
            return self._weigh_rounded(node, source, layer)
        self.arrays[f"{node.name}.weight"] = LAYOUTS[type(node)](values["kernel"])
        if "bias" in values:
            self.arrays[f"{node.name}.bias"] = values["bias"]
            return self.add(node.name, layer.kind, [source], **layer.sizes, **layer.settings)
        settings = layer.sizes | layer.settings | {"bias": False}
        step = self.add(node.name, layer.kind, [source], **settings)
        if node.batch_norm is None:
            return step
        name = f"{node.name}_norm"
        for ours, theirs in _STATISTICS.items():
            self.arrays[f"{name}.{theirs}"] = values[ours]
        self.arrays[f"{name}.num_batches_tracked"] = np.array(0, np.int64)
        count = len(values["beta"])
        return self.add(name, "BatchNorm2d", [step], num_features=count, eps=node.batch_norm)

    def _weigh_rounded(self, node: WeightedNode, source: str, layer: _Layer) -> str:
        """The same with a kernel that is rounded at each run, and a bias that is already."""
        kernel, bias = node.weight_names()
        params = self.quant[kernel]
        # Rounding what is on the grid keeps it there, whatever a runtime's way with ties.
        values = LAYOUTS[type(node)](reals(self.graph.weights[kernel], params))
        weight = self.attach(f"{node.name}_weight", values, "parameter")
        limits = {"quant_min": -WEIGHT_MAX, "quant_max": WEIGHT_MAX}
        name = f"{node.name}_weight_rounded"
        if params.axis is None:
            settings = {"scale": params.scale[0], "zero_point": 0, **limits}
            rounded = self.add(name, "fake_quantize", [weight], **settings)
        else:
            scales = np.asarray(params.scale, np.float32)
            points = np.zeros(len(scales), np.int32)
            scale = self.attach(f"{node.name}_weight_scale", scales, "buffer")
            point = self.attach(f"{node.name}_weight_zero_point", points, "buffer")
            inputs = [weight, scale, point]
            rounded = self.add(name, "fake_quantize_channels", inputs, axis=0, **limits)
        values = self.graph.weights[bias]
        if bias in self.quant:
            values = reals(values, self.quant[bias])
        offset = self.attach(f"{node.name}_bias", values, "parameter")
        inputs = [source, rounded, offset]
        return self.add(node.name, layer.kind.lower(), inputs, **layer.settings)

    def attach(self, name: str, values: Array, kind: str) -> str:
        """Adds an array as an attribute of its own."""
        self.arrays[name] = values
        return self.add(name, kind)


@dataclass(frozen=True)
class _Layer:
    """A weighted layer of torch.

    Attributes:
        kind: of the module; in lower case that of the function.
        sizes: keywords of the module alone.
        settings: keywords of both.
    """

    kind: str
    sizes: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


def _convolve(planner: _Planner, node: SpatialNode, inputs: list[str]) -> str:
    (source,), (tensor,) = inputs, node.inputs
    sides, channels = planner.graph.shapes[tensor][:2], planner.graph.shapes[tensor][2]
    filters = planner.graph.shapes[node.name][2]
    padding = _own_padding(node, sides)
    if padding is None:
        (top, bottom), (left, right) = (node.pads(side) for side in sides)
        source = planner.add(f"{node.name}_pad", "pad", [source], pad=[left, right, top, bottom])
        # Zero is on the grid; runtimes want the rounding there too, to pad integers.
        source = planner.round(tensor, source, f"{node.name}_pad_rounded")
    groups = channels if isinstance(node, nodes.DepthwiseConv2D) else 1
    sizes = {"in_channels": channels, "out_channels": filters, "kernel_size": node.kernel}
    settings = {"stride": node.stride, "padding": padding or [0, 0], "groups": groups}
    if node.dilation > 1:
        settings["dilation"] = node.dilation
    step = planner.weigh(node, source, _Layer("Conv2d", sizes, settings))
    return planner.activate(node, step)


def _own_padding(node: SpatialNode, sides: tuple[int, ...]) -> list[int] | None:
    """The zeros on each side that a convolution of torch can add itself; None where it cannot."""
    padding = []
    for side in sides:
        before, after = node.pads(side)
        windows = (side + 2 * before - node.reach) // node.stride + 1
        # It pads as much behind; what no window reaches there changes nothing.
        if after > before or windows != -(-side // node.stride):
            return None
        padding.append(before)
    return padding


def _connect(planner: _Planner, node: nodes.FullyConnected, inputs: list[str]) -> str:
    length = planner.graph.shapes[node.inputs[0]][-1]
    sizes = {"in_features": length, "out_features": node.units}
    return planner.weigh(node, inputs[0], _Layer("Linear", sizes))


def _activate(planner: _Planner, node: nodes.Activation, inputs: list[str]) -> str:
    return planner.add(node.name, ACTIVATIONS[node.kind], inputs)


def _add(planner: _Planner, node: nodes.Add, inputs: list[str]) -> str:
    return planner.activate(node, planner.add(node.name, "add", inputs))


def _multiply(planner: _Planner, node: nodes.Mul, inputs: list[str]) -> str:
    return planner.add(node.name, "mul", inputs)


def _average(planner: _Planner, node: nodes.Mean, inputs: list[str]) -> str:
    mean = planner.add(f"{node.name}_map", "AdaptiveAvgPool2d", inputs, output_size=1)
    if node.keep_dims:
        return mean
    # Integer kernels take means that are maps: they are rounded as such.
    mean = planner.round(node.name, mean, f"{node.name}_map_rounded")
    return planner.add(node.name, "Flatten", [mean], start_dim=1)


def _pool(planner: _Planner, node: nodes.AveragePool2D, inputs: list[str]) -> str:
    return planner.add(node.name, "AvgPool2d", inputs, kernel_size=list(node.kernel))


def _pool_largest(planner: _Planner, node: nodes.MaxPool2D, inputs: list[str]) -> str:
    (tensor,) = node.inputs
    sides = planner.graph.shapes[tensor][:2]
    settings: dict[str, Any] = {"kernel_size": node.kernel, "stride": node.stride}
    for ceil_mode in (False, True):
        padding = _own_pool_padding(node, sides, ceil_mode)
        if padding is not None:
            settings |= {"padding": padding, "ceil_mode": ceil_mode}
            return planner.add(node.name, "MaxPool2d", inputs, **settings)
    (top, bottom), (left, right) = (node.pads(side) for side in sides)
    value = float(np.finfo(np.float32).min)
    pad = [left, right, top, bottom]
    source = planner.add(f"{node.name}_pad", "pad", inputs, pad=pad, value=value)
    source = planner.round(tensor, source, f"{node.name}_pad_rounded")
    return planner.add(node.name, "MaxPool2d", [source], **settings)


def _own_pool_padding(
    node: nodes.MaxPool2D, sides: tuple[int, ...], ceil_mode: bool
) -> list[int] | None:
    """What a pool of torch adds on each side itself, and never finds; None where it cannot.

    It adds as much behind; with ``ceil_mode`` a last window may also reach beyond that.
    """
    padding = []
    for side in sides:
        before, _ = node.pads(side)
        room = side + 2 * before - node.kernel
        windows = -(-room // node.stride) + 1 if ceil_mode else room // node.stride + 1
        if ceil_mode and (windows - 1) * node.stride >= side + before:
            windows -= 1  # one that begins behind the map
        if 2 * before > node.kernel or windows != -(-side // node.stride):
            return None
        padding.append(before)
    return padding


def _turn_into_rows(planner: _Planner, node: nodes.Rows, inputs: list[str]) -> str:
    turned = planner.add(f"{node.name}_turned", "permute", inputs, dims=[0, 2, 3, 1])
    # Integer kernels move integers: what is between two of them is rounded, too.
    turned = planner.round(node.name, turned, f"{node.name}_turned_rounded")
    shape = [-1, *planner.graph.shapes[node.name]]
    return planner.add(node.name, "reshape", [turned], shape=shape)


def _flatten(planner: _Planner, node: nodes.Flatten, inputs: list[str]) -> str:
    return planner.add(node.name, "Flatten", inputs, start_dim=1)


def _concatenate(planner: _Planner, node: nodes.Concat, inputs: list[str]) -> str:
    return planner.add(node.name, "cat", inputs, dim=1)


#: By method: keywords of torch's interpolation.
RESIZES: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest"},
    "bilinear-corners": {"mode": "bilinear", "align_corners": True},
    "bilinear-half-pixel": {"mode": "bilinear", "align_corners": False},
}


def _resize(planner: _Planner, node: nodes.Resize, inputs: list[str]) -> str:
    settings = {"size": list(node.size), **RESIZES[node.method]}
    if node.name not in planner.graph.class_tensors:
        return planner.add(node.name, "interpolate", inputs, **settings)
    # torch resizes no integers of 64 bits.
    real = planner.add(f"{node.name}_float", "float", inputs)
    resized = planner.add(f"{node.name}_resized", "interpolate", [real], **settings)
    return planner.add(node.name, "long", [resized])


def _tile(planner: _Planner, node: nodes.Tile, inputs: list[str]) -> str:
    return planner.add(node.name, "tile", inputs, dims=[1, 1, *node.size])


def _arg_max(planner: _Planner, node: nodes.ArgMax, inputs: list[str]) -> str:
    return planner.add(node.name, "argmax", inputs, dim=1, keepdim=node.keep_dims)


#: Adds a node's steps; returns the last, which writes the node's tensor before it is rounded.
OPERATORS: dict[type[Node], Callable[[_Planner, Any, list[str]], str]] = {
    nodes.Conv2D: _convolve,
    nodes.DepthwiseConv2D: _convolve,
    nodes.FullyConnected: _connect,
    nodes.Activation: _activate,
    nodes.Add: _add,
    nodes.Mul: _multiply,
    nodes.Mean: _average,
    nodes.AveragePool2D: _pool,
    nodes.MaxPool2D: _pool_largest,
    nodes.Flatten: _flatten,
    nodes.Rows: _turn_into_rows,
    nodes.Concat: _concatenate,
    nodes.Resize: _resize,
    nodes.Tile: _tile,
    nodes.ArgMax: _arg_max,
}
_STATISTICS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
#: From a kernel's layout in the Graph to torch's, output channel first.
LAYOUTS: dict[type[Node], Callable[[Array], Array]] = {
    nodes.Conv2D: lambda k: k.transpose(3, 2, 0, 1),
    nodes.DepthwiseConv2D: lambda k: k.transpose(2, 0, 1)[:, np.newaxis],
    nodes.FullyConnected: lambda k: k.T,
}
