"""Detectors as a checkpoint of google/automl holds them."""

from dataclasses import replace

import numpy as np
from narrow import narrow
from state_dicts import to_tensorflow

from edgekit.converters.weights import automl
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph

DECODER = EfficientDet(16, 2, 1)


def network(name="b0", **changes):
    """A variant, and a network of it whose edges have weights of their own."""
    spec = narrow(name).with_decoder(replace(DECODER, **changes))
    graph = build_graph(spec, classes=3, resolution=32, seed=5)
    rng = np.random.default_rng(0)
    edges = {
        name: rng.normal(size=array.shape).astype(np.float32)
        for name, array in graph.weights.items()
        if name.endswith("/weights")
    }
    return spec, replace(graph, weights={**graph.weights, **edges})


def variables(graph, backbone="efficientnet-b0/"):
    """What a checkpoint holds, with a scalar for each edge."""
    found = to_tensorflow(graph, automl.names(graph, backbone))
    edges = {name: found.pop(name) for name in list(found) if name.endswith("/WSM")}
    for name, values in edges.items():
        for number, value in enumerate(values):
            found[f"{name}_{number}" if number else name] = np.float32(value)
    return found
