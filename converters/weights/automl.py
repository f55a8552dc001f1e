"""Names of Google's EfficientDets: TensorFlow's checkpoints, 1 and 2, and Keras' HDF5 files.

Source: google/automl 6a54c87, ``efficientdet/tf2/efficientdet_keras.py``. All have the same names.
A checkpoint of a training has a moving average of every variable, as a classifier's has
(`edgekit.converters.weights.tf1`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgekit.converters.weights import tf1
from edgekit.converters.weights.decoder_in_file import check_detector
from edgekit.converters.weights.detector_names import count, names_of
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import (
    TENSORFLOW,
    TENSORFLOW_SUFFIXES,
    Plan,
    Request,
    Source,
    input_assumption,
    matching,
)
from edgekit.data.boxes.anchors import Anchors
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, Shape

_NODE = "fpn_cells/cell_{cell}/fnode{node}"
_LATERAL = _NODE + "/resample_0_{offset}_{number}"
_AFTER = _NODE + "/op_after_combine{number}"
_REPEAT = "{head}_net/{head}-{repeat}"
_PREDICT = "{head}_net/{head}-predict"
TABLE = {
    "coarse": {
        "kernel": "resample_p{level}/conv2d/kernel",
        "bias": "resample_p{level}/conv2d/bias",
        "norm": "resample_p{level}/bn",
    },
    "lateral": {
        "kernel": f"{_LATERAL}/conv2d/kernel",
        "bias": f"{_LATERAL}/conv2d/bias",
        "norm": f"{_LATERAL}/bn",
    },
    "sum": {"weights": f"{_NODE}/WSM"},
    "depthwise": {"kernel": f"{_AFTER}/conv/depthwise_kernel"},
    "pointwise": {
        "kernel": f"{_AFTER}/conv/pointwise_kernel",
        "bias": f"{_AFTER}/conv/bias",
        "norm": f"{_AFTER}/bn",
    },
    "repeat-depthwise": {"kernel": f"{_REPEAT}/depthwise_kernel"},
    "repeat-pointwise": {
        "kernel": f"{_REPEAT}/pointwise_kernel",
        "bias": f"{_REPEAT}/bias",
        "norm": "{head}_net/{head}-{repeat}-bn-{level}",
    },
    "predict-depthwise": {"kernel": f"{_PREDICT}/depthwise_kernel"},
    "predict-pointwise": {"kernel": f"{_PREDICT}/pointwise_kernel", "bias": f"{_PREDICT}/bias"},
}
#: A weight of a weighted sum: each edge has a variable of its own, numbered but for the first.
EDGE = rf"(.*/WSM)(?:_(\d+))?((?:{tf1.SHADOW})?)"


def with_joined_edges(file: WeightFile) -> WeightFile:
    """The same file, in which the weights of a sum are one tensor, called as the first of them."""
    edges: dict[str, dict[int, str]] = {}
    for name in file.shapes:
        if (match := re.fullmatch(EDGE, name)) is not None:
            edges.setdefault(f"{match[1]}{match[3]}", {})[int(match[2] or 0)] = name
    single = {name for parts in edges.values() for name in parts.values()}
    shapes: dict[str, Shape] = {n: s for n, s in file.shapes.items() if n not in single}

    def fetch(name: str) -> Array:
        if name not in edges:
            return file.fetch(name)
        return np.array([file.fetch(part) for _, part in sorted(edges[name].items())]).reshape(-1)

    joined: dict[str, Shape] = {name: (len(parts),) for name, parts in edges.items()}
    return replace(file, shapes=shapes | joined, fetch=fetch)


def names(graph: Graph, prefix: str) -> dict[str, str]:
    """Maps our weight names to theirs, for every weight of a detector.

    Args:
        graph: its structure.
        prefix: of the backbone's names, such as ``efficientnet-b0/``.
    """
    backbone = tuple(node for node in graph.nodes if is_backbone(node.name))
    ours = tf1.names(replace(graph, nodes=backbone))
    table = {full: f"{prefix}{theirs}" for full, theirs in ours.items()}
    return table | names_of(graph, TABLE, TENSORFLOW_SUFFIXES, "/")


def detector_in(shapes: Mapping[str, Shape], anchors: Anchors) -> EfficientDet:
    """The detector that a file holds, but for the anchors, of which it knows their levels."""
    levels = count(r"box_net/box-0-bn-(\d+)/gamma", shapes)
    last = levels - 1 if levels else anchors.levels[-1]
    return EfficientDet(
        channels=shapes["box_net/box-predict/depthwise_kernel"][2],
        cells=count(r"fpn_cells/cell_(\d+)/.*", shapes),
        repeats=count(r"box_net/box-(\d+)/pointwise_kernel", shapes),
        fusion="fast" if any(re.fullmatch(EDGE, name) for name in shapes) else "sum",
        anchors=replace(anchors, levels=tuple(range(anchors.levels[0], last + 1))),
    )


def _plan(file: WeightFile, request: Request) -> Plan:
    theirs = detector_in(file.shapes, request.spec.anchors or Anchors())
    spec = replace(request.spec, decoder=check_detector(file, request, theirs))
    graph = build_graph(spec, classes=1, resolution=32, seed=None)
    (stem,) = tf1.SIGNS[0]
    prefix = min((n.removesuffix(stem) for n in file.shapes if n.endswith(stem)), key=len)
    raw = {ours: tf1.spelled(name, file.shapes) for ours, name in names(graph, prefix).items()}
    if request.ema:
        chosen, notes = tf1.averaged(raw, file.shapes, request.advice)
    else:
        chosen, notes = raw, ("raw weights, no EMA",)
    pairs = set(raw.values()) | {name + tf1.SHADOW for name in raw.values()}
    ignored = matching(tf1.SLOTS, file.shapes) | matching(tf1.COUNTERS, file.shapes)
    why = "a checkpoint does not say; they are those that the variant was published with"
    return Plan(
        chosen,
        spec,
        rf"({re.escape(prefix)}|fpn_cells/|resample_p|class_net/|box_net/).*",
        ignored | (pairs & file.shapes.keys()) | _unread(file, prefix),
        notes,
        (input_assumption(spec, why), f"anchors of {theirs.anchors.scale:g} strides: {why}"),
    )


def _unread(file: WeightFile, prefix: str) -> frozenset[str]:
    """A backbone's head, which some files have and no detector reads."""
    return matching(rf"{re.escape(prefix)}head/.*", file.shapes)


SIGNS = (("class_net/class-predict/pointwise_kernel", "box_net/box-predict/pointwise_kernel"),)
SOURCE = Source(
    "automl",
    SIGNS,
    _plan,
    TENSORFLOW,
    separator="/",
    has_decoder=lambda file: True,
    view=with_joined_edges,
)
