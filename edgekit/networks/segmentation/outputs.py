"""Where a segmentation network ends: its logits, drawn for other classes, or the classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.errors import UsageError, did_you_mean, whole
from edgekit.networks.builder import output_shape
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import ArgMax, Conv2D, Node, Resize, Shape
from edgekit.networks.segmentation.layers import LOGITS

#: What a network may end with, the default first. ``logits``: of every pixel of the input;
#: ``logits-small``: without the last resize; ``classes``: the highest one's number, of the logits;
#: ``classes-fused``: that of the small logits, enlarged by the nearest pixel.
OUTPUTS = ("logits", "logits-small", "classes", "classes-fused")
#: The tensor of classes, and that of classes before the last resize.
CLASSES, CLASSES_SMALL = "classes", "classes_small"


def with_output(graph: Graph, output: str) -> Graph:
    """Returns the network with another end.

    Args:
        graph: float, prepared or quantized, as `edgekit.networks.efficientnet.architecture` builds
            it: ending with the logits of every pixel.
        output: one of `OUTPUTS`. A network without a last resize has the same small logits, and
            fused classes are its classes.

    Returns:
        The network. Logits are [height, width, classes]; classes are integers [height, width],
        fused ones [height, width, 1].

    Raises:
        UsageError: there is no such output.
    """
    if output not in OUTPUTS:
        raise UsageError(f"unknown output '{output}'", hint=did_you_mean(output, OUTPUTS))
    if graph.output in graph.class_tensors:
        raise TypeError(f"{graph.name} ends with classes already")
    last = graph.nodes[-1]
    if output == "logits-small":
        return _without_last(graph) if isinstance(last, Resize) else graph
    if output == "classes-fused" and isinstance(last, Resize):
        small = _without_last(graph)
        classes = ArgMax(name=CLASSES_SMALL, inputs=(small.output,), keep_dims=True)
        return _ending(small, classes, Resize(name=CLASSES, inputs=(classes.name,), size=last.size))
    if output == "logits":
        return graph
    return _ending(graph, ArgMax(name=CLASSES, inputs=(graph.output,)))


def _without_last(graph: Graph) -> Graph:
    """The network without its last node, which has no weights."""
    nodes = graph.nodes[:-1]
    kept = {name: shape for name, shape in graph.shapes.items() if name != graph.output}
    quant = {name: params for name, params in graph.quant.items() if name != graph.output}
    return replace(graph, nodes=nodes, shapes=kept, quant=quant)


def _ending(graph: Graph, *ends: Node) -> Graph:
    shapes = dict(graph.shapes)
    for node in ends:
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
    return replace(graph, nodes=(*graph.nodes, *ends), shapes=shapes)


def replace_logits(graph: Graph, classes: int, seed: int = 0) -> Graph:
    """Returns the network with a new, freshly drawn last convolution of ``classes`` logits.

    Args:
        graph: a float network whose logits are the convolution ``logits``; what is behind it only
            resizes.
        classes: number of logits per pixel.
        seed: of the weights.
    """
    old = logits_node(graph)
    nodes = tuple(
        replace(old, filters=whole("classes", classes)) if node is old else node
        for node in graph.nodes
    )
    shapes: dict[str, Shape] = dict(graph.shapes)
    for node in nodes[graph.nodes.index(old) :]:
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
    return draw_logits(replace(graph, nodes=nodes, shapes=shapes), seed)


def draw_logits(graph: Graph, seed: int) -> Graph:
    """Returns the network with a freshly drawn last convolution.

    Its kernel is uniform within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010), as
    smp's is: few classes would get first logits so large that training starts far from even odds.
    """
    node = logits_node(graph)
    depth = graph.shapes[node.inputs[0]][-1]
    shape = (node.kernel, node.kernel, depth, node.filters)
    limit = math.sqrt(6 / (node.kernel**2 * (depth + node.filters)))
    kernel = np.random.default_rng(seed).uniform(-limit, limit, shape).astype(np.float32)
    bias = np.zeros(node.filters, np.float32)
    drawn = {f"{LOGITS}/kernel": kernel, f"{LOGITS}/bias": bias}
    return replace(graph, weights={**graph.weights, **drawn})


def logits_node(graph: Graph) -> Conv2D:
    """The convolution that gives a value per class.

    Raises:
        TypeError: the network has none.
    """
    found = next((node for node in graph.nodes if node.name == LOGITS), None)
    if not isinstance(found, Conv2D):
        raise TypeError(f"{graph.name} is no network for segmentation")
    return found
