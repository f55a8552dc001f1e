"""Where a detector ends: with what it says of its anchors, or with boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgekit.data.boxes.anchors import Anchors
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.builder import output_shape
from edgekit.networks.detection.postprocess import Floats
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Activation, DetectionPostProcess
from edgekit.networks.quantization import SIGMOID_RANGES, activation_params

#: What a detector may end with, the default first. ``raw``: offsets and logits of each anchor;
#: ``detections``: boxes.
ENDS = ("raw", "detections")
#: The tensor of scores between 0 and 1, and that of boxes.
SCORES, DETECTIONS = "scores", "detections"
#: In a trained network most scores are below it, and a device has not to sort them; of an int8 one
#: they are below three of 256 steps. COCO AP hardly counts them: they come behind all others.
SCORE_THRESHOLD = 0.01


def with_end(graph: Graph, end: str) -> Graph:
    """Returns a detector with another end.

    A box has its best class only, and suppresses those of all others. Class by class, as
    `edgekit.tasks.detection.kept` does it, would find a little more; but with several threads
    TFLite's operator then loses a class (tensorflow/tensorflow issue 56058).

    Args:
        graph: float, prepared or quantized, as `edgekit.networks.efficientnet.architecture` builds
            it, with its origin.
        end: one of `ENDS`.

    Raises:
        UsageError: there is no such end, or nothing says what the offsets are relative to.
    """
    if end not in ENDS:
        raise UsageError(f"unknown output '{end}'", hint=did_you_mean(end, ENDS))
    if end == "raw":
        return graph
    spec = spec_of(graph)
    if spec is None or spec.anchors is None:
        raise UsageError(f"nothing says what the boxes of {graph.name} are relative to")
    return with_detections(graph, spec.anchors)


def with_detections(
    graph: Graph,
    anchors: Anchors,
    *,
    max_detections: int = 100,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = 0.5,
    per_class: bool = False,
) -> Graph:
    """Returns a detector that ends with boxes.

    The sigmoid has the type of the logits. Where they are int8, so are the scores, in steps of
    1/256: an accelerator computes that sigmoid, and nothing but what finds the boxes is left to
    the CPU. What is lost is at the ends, where a step of the logits changes the score by less than
    1/256; in between, the scores' steps are finer than the logits'.

    Args:
        graph: float, prepared or quantized; its outputs are offsets [A, 4] and logits [A, C].
        anchors: what the offsets are relative to.
        max_detections: rows of the result.
        score_threshold: the lowest score that counts.
        iou_threshold: two boxes that overlap more are one.
        per_class: whether boxes of different classes may overlap.

    Returns:
        The network; its output is [max_detections, 6] (`DetectionPostProcess`).

    Raises:
        TypeError: the network does not end with offsets and logits.
        ValueError: the anchors are not as many as the network's.
    """
    if len(graph.outputs) != 2:
        raise TypeError(f"{graph.name} does not end with offsets and logits")
    offsets, logits = graph.outputs
    height, width = graph.shapes[graph.input][:2]
    centers = centers_of(anchors, height, width)
    if graph.shapes[offsets] != (len(centers), 4):
        raise ValueError(f"{len(centers)} anchors for {graph.name}'s {graph.shapes[offsets]}")
    sigmoid = Activation(name=SCORES, inputs=(logits,), kind="sigmoid")
    end = DetectionPostProcess(
        name=DETECTIONS,
        inputs=(offsets, SCORES),
        max_detections=max_detections,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        per_class=per_class,
    )
    shapes = {**graph.shapes, SCORES: graph.shapes[logits]}
    shapes[DETECTIONS] = output_shape(end, [shapes[name] for name in end.inputs])
    return replace(
        graph,
        nodes=(*graph.nodes, sigmoid, end),
        shapes=shapes,
        weights={**graph.weights, **dict.fromkeys(end.weight_names(), centers)},
        quant={**graph.quant, **_scores(graph.quant.get(logits))},
    )


def _scores(logits: QuantParams | None) -> Mapping[str, QuantParams]:
    """The parameters of the scores, beside those of the logits."""
    if logits is None:
        return {}
    return {SCORES: activation_params(*SIGMOID_RANGES[logits.dtype], logits.dtype)}


def centers_of(anchors: Anchors, height: int, width: int) -> Floats:
    """The anchors of an input, as TFLite's operator takes them.

    Args:
        anchors: of a network.
        height: of its input in pixels.
        width: likewise.

    Returns:
        float32 [A, 4]: centre y, centre x, height and width in fractions of the input.
    """
    sides = np.array([height, width, height, width], np.float64)
    corners = anchors.boxes(height, width).astype(np.float64) / sides
    begins, ends = corners[:, :2], corners[:, 2:]
    return np.concatenate([(begins + ends) / 2, ends - begins], axis=1).astype(np.float32)
