"""Freshly drawn weights of a detector, and its class predictor for other classes.

Source: google/automl 6a54c87, ``efficientdet/tf2/efficientdet_keras.py``: the heads' kernels come
from ``tf.initializers.variance_scaling()``, a normal distribution that is cut at two deviations,
with a variance of 1 / fan_in; the pyramid's are Keras' default, uniform within
``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010).
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from edgekit.errors import whole
from edgekit.networks.builder import output_shape
from edgekit.networks.detection.bifpn import is_pyramid
from edgekit.networks.detection.heads import CLASS, is_head
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, Concat, Conv2D, Node, Rows, Shape

#: What an anchor's first score is: most show nothing (Lin et al. 2017, arXiv 1708.02002, 4.1).
PRIOR = 0.01
#: Deviation of a standard normal distribution that is cut at 2 and -2 (TensorFlow's
#: ``VarianceScaling``).
CUT_DEVIATION = 0.87962566103423978


def draw_detector(graph: Graph, seed: int) -> Graph:
    """Returns the network with freshly drawn pyramid and heads; the backbone stays as it is."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for node in graph.nodes:
        if is_pyramid(node.name) or is_head(node.name):
            for name in node.weight_names():
                if name.endswith("/kernel") and name not in drawn:
                    shape = graph.weights[name].shape
                    drawn[name] = (_cut_normal if is_head(node.name) else _uniform)(shape, rng)
    return _with_prior(replace(graph, weights={**graph.weights, **drawn}))


def replace_classes(graph: Graph, classes: int, seed: int = 0) -> Graph:
    """Returns the network with a freshly drawn class predictor of ``classes`` logits an anchor.

    That are the last 1x1 convolution, which all levels share; the depthwise one before it does not
    depend on the classes.

    Args:
        graph: a float network, as `edgekit.networks.efficientnet.architecture` builds it.
        classes: number of logits.
        seed: of the weights.
    """
    count, before = whole("classes", classes), graph.classes
    predictors = [node for node in graph.nodes if _is_predictor(node)]
    if not predictors:
        raise TypeError(f"{graph.name} is no detector")
    nodes: list[Node] = []
    shapes: dict[str, Shape] = dict(graph.shapes)
    changed: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Conv2D) and node in predictors:
            node = replace(node, filters=node.filters // before * count)
        elif isinstance(node, Rows) and changed.issuperset(node.inputs):
            node = replace(node, columns=count)
        elif not (isinstance(node, Concat) and changed.issuperset(node.inputs)):
            nodes.append(node)
            continue
        changed.add(node.name)
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
        nodes.append(node)
    name, _ = predictors[0].weight_names()
    depth = graph.shapes[predictors[0].inputs[0]][-1]
    shape = (1, 1, depth, shapes[predictors[0].name][-1])
    kernel = _cut_normal(shape, np.random.default_rng(seed))
    weights = {**graph.weights, name: kernel}
    return _with_prior(replace(graph, nodes=tuple(nodes), shapes=shapes, weights=weights))


def _is_predictor(node: Node) -> bool:
    return isinstance(node, Conv2D) and bool(re.fullmatch(rf"{CLASS}_p\d+", node.name))


def _with_prior(graph: Graph) -> Graph:
    """The network whose every first score is `PRIOR`, and whose boxes are the anchors."""
    first = next(node for node in graph.nodes if _is_predictor(node))
    _, bias = first.weight_names()
    filters = graph.shapes[first.name][-1]
    prior = np.full(filters, -math.log((1 - PRIOR) / PRIOR), np.float32)
    return replace(graph, weights={**graph.weights, bias: prior})


def _fans(shape: Shape) -> tuple[int, int]:
    """Inputs and outputs of a kernel as TensorFlow counts them; a depthwise one is [h, w, c, 1]."""
    *window, inputs, outputs = shape if len(shape) == 4 else (*shape, 1)
    return math.prod(window) * inputs, math.prod(window) * outputs


def _uniform(shape: Shape, rng: np.random.Generator) -> Array:
    limit = math.sqrt(6 / sum(_fans(shape)))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _cut_normal(shape: Shape, rng: np.random.Generator) -> Array:
    values = rng.standard_normal(shape)
    while (out := np.abs(values) > 2).any():
        values[out] = rng.standard_normal(np.count_nonzero(out))
    deviation = math.sqrt(1 / _fans(shape)[0]) / CUT_DEVIATION
    return (values * deviation).astype(np.float32)
