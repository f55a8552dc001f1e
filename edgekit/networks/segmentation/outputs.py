"""Where a segmentation network ends: its logits, drawn for other classes, or the classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.errors import whole
from edgekit.networks.builder import output_shape
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, Shape
from edgekit.networks.segmentation.layers import LOGITS


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
