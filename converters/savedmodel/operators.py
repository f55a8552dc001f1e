"""The operators of a prepared float network in TensorFlow: a row for each node of a Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node, SpatialNode, WeightedNode, activation_of, row_of


@dataclass(frozen=True)
class Walk:
    """What the rows work with.

    Attributes:
        tf: the module tensorflow.
        graph: what `edgekit.networks.passes.prepare` gave, without scales.
        variables: its weights by their full names.
    """

    tf: Any
    graph: Graph
    variables: Mapping[str, Any]

    def run(self, photos: Any) -> list[Any]:
        """The outputs, in the Graph's order.

        Args:
            photos: normalised, float [n, height, width, 3].
        """
        found = {self.graph.input: photos}
        for node in self.graph.nodes:
            inputs = [found[name] for name in node.inputs]
            row = row_of(OPERATORS, node, "operator of TensorFlow", nodes.ENDS_TFLITE)
            found[node.name] = self.activate(activation_of(node), row(self, node, inputs))
        return [found[name] for name in self.graph.outputs]

    def activate(self, kind: str, x: Any) -> Any:
        """Applies an activation."""
        return ACTIVATIONS[kind](self.tf, x)

    def kernel(self, node: WeightedNode) -> Any:
        """The kernel of a node, in TensorFlow's layout, which is the Graph's."""
        return self.variables[f"{node.name}/kernel"]

    def bias(self, node: WeightedNode, x: Any) -> Any:
        """Adds the bias of a node."""
        return x + self.variables[f"{node.name}/bias"]

    def pads(self, node: nodes.WindowNode) -> list[list[int]]:
        """What is added in front of and behind each axis of a node's input."""
        sides = self.graph.shapes[node.inputs[0]][:2]
        return [[0, 0], *(list(node.pads(side)) for side in sides), [0, 0]]


#: By the names in a Graph.
ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "linear": lambda tf, x: x,
    "relu": lambda tf, x: tf.nn.relu(x),
    "relu6": lambda tf, x: tf.nn.relu6(x),
    "sigmoid": lambda tf, x: tf.sigmoid(x),
    "swish": lambda tf, x: x * tf.sigmoid(x),
    "hard-sigmoid": lambda tf, x: tf.nn.relu6(x + 3.0) / 6.0,
    "hard-swish": lambda tf, x: x * tf.nn.relu6(x + 3.0) / 6.0,
}


def _convolve(walk: Walk, node: nodes.Conv2D, inputs: list[Any]) -> Any:
    x = walk.tf.nn.conv2d(
        inputs[0], walk.kernel(node), node.stride, walk.pads(node), dilations=node.dilation
    )
    return walk.bias(node, x)


def _convolve_depthwise(walk: Walk, node: nodes.DepthwiseConv2D, inputs: list[Any]) -> Any:
    # Not told how much to pad: TensorFlow 2.21 forgets that where it joins a depthwise convolution
    # with its bias, as it does on an Intel Xeon with AMX, and then ends the process.
    x, padding = inputs[0], "SAME"
    if not walk.graph.has_same_padding(node):
        x, padding = walk.tf.pad(x, walk.pads(node)), "VALID"
    kernel, dilations = walk.kernel(node)[..., None], [node.dilation] * 2
    x = walk.tf.nn.depthwise_conv2d(x, kernel, _strides(node), padding, dilations=dilations)
    return walk.bias(node, x)


def _strides(node: SpatialNode) -> list[int]:
    return [1, node.stride, node.stride, 1]


def _connect(walk: Walk, node: nodes.FullyConnected, inputs: list[Any]) -> Any:
    return walk.bias(node, walk.tf.linalg.matmul(inputs[0], walk.kernel(node)))


def _pool_largest(walk: Walk, node: nodes.MaxPool2D, inputs: list[Any]) -> Any:
    tf = walk.tf
    padded = tf.pad(inputs[0], walk.pads(node), constant_values=inputs[0].dtype.min)
    return tf.nn.max_pool2d(padded, node.kernel, node.stride, "VALID")


def _pool(walk: Walk, node: nodes.AveragePool2D, inputs: list[Any]) -> Any:
    return walk.tf.nn.avg_pool2d(inputs[0], node.kernel, node.kernel, "VALID")


def _average(walk: Walk, node: nodes.Mean, inputs: list[Any]) -> Any:
    return walk.tf.reduce_mean(inputs[0], axis=[1, 2], keepdims=node.keep_dims)


def _reshape(walk: Walk, node: Node, inputs: list[Any]) -> Any:
    """To the shape that the Graph has for the node, of any batch."""
    return walk.tf.reshape(inputs[0], [-1, *walk.graph.shapes[node.name]])


def _concatenate(walk: Walk, node: nodes.Concat, inputs: list[Any]) -> Any:
    are_rows = len(walk.graph.shapes[node.name]) == 2
    return walk.tf.concat(inputs, axis=1 if are_rows else -1)


def _resize(walk: Walk, node: nodes.Resize, inputs: list[Any]) -> Any:
    tf, (x,) = walk.tf, inputs
    if node.method != "nearest":
        corners = node.method == "bilinear-corners"
        return tf.raw_ops.ResizeBilinear(
            images=x, size=node.size, align_corners=corners, half_pixel_centers=not corners
        )
    for axis, after in enumerate(node.size, 1):
        before = walk.graph.shapes[node.inputs[0]][axis - 1]
        x = tf.gather(x, nodes.nearest_places(before, after), axis=axis)
    return x


def _find_best(walk: Walk, node: nodes.ArgMax, inputs: list[Any]) -> Any:
    best = walk.tf.argmax(inputs[0], axis=-1)
    return best[..., None] if node.keep_dims else best


OPERATORS: dict[type[Node], Callable[[Walk, Any, list[Any]], Any]] = {
    nodes.Conv2D: _convolve,
    nodes.DepthwiseConv2D: _convolve_depthwise,
    nodes.FullyConnected: _connect,
    nodes.Activation: lambda walk, node, inputs: walk.activate(node.kind, inputs[0]),
    nodes.Add: lambda walk, node, inputs: inputs[0] + inputs[1],
    nodes.Mul: lambda walk, node, inputs: inputs[0] * inputs[1],
    nodes.Mean: _average,
    nodes.AveragePool2D: _pool,
    nodes.MaxPool2D: _pool_largest,
    nodes.Flatten: _reshape,
    nodes.Rows: _reshape,
    nodes.Concat: _concatenate,
    nodes.Resize: _resize,
    nodes.Tile: lambda walk, node, inputs: walk.tf.tile(inputs[0], [1, *node.size, 1]),
    nodes.ArgMax: _find_best,
}
