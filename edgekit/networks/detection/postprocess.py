"""What TFLite's operator ``TFLite_Detection_PostProcess`` computes, in numpy, bit for bit.

Source: tensorflow/lite/kernels/detection_postprocess.cc. Boxes are decoded in float64 and rounded
to float32, in which overlaps are computed; scores are sorted stably. Checked against TensorFlow
2.15 and LiteRT 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.networks.graph import Graph
from edgekit.networks.nodes import DetectionPostProcess

Floats = NDArray[np.float32]
#: So many of the best boxes are looked at first: they most often have all that are wanted.
FIRST = 500


@dataclass(frozen=True)
class PostProcess:
    """The operator's options; but for the scales, under the operator's names.

    Attributes:
        num_classes: of the scores; where they have a column more, the first is the background's.
        max_detections: boxes in the answer at most.
        max_classes_per_detection: classes that a box is returned with, each in a row of its own.
        detections_per_class: boxes that are kept of a class at most where each is suppressed alone.
        nms_score_threshold: the lowest score that counts.
        nms_iou_threshold: two boxes that overlap more are one.
        use_regular_nms: whether boxes of different classes may overlap: each class is suppressed
            alone. If not, a box has its best class only, and suppresses those of all others.
        scales: what y, x, height and width of the encoded boxes are divided by.
    """

    num_classes: int
    max_detections: int = 100
    max_classes_per_detection: int = 1
    detections_per_class: int = 100
    nms_score_threshold: float = -math.inf
    nms_iou_threshold: float = 0.5
    use_regular_nms: bool = False
    scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)


class Detections(NamedTuple):
    """The operator's answer: ``max_detections * max_classes_per_detection`` rows, zeros at the end.

    Attributes:
        boxes: float32 [rows, 4]: top, left, bottom, right, in the anchors' unit.
        classes: float32 [rows], indices from 0, the background not counted.
        scores: float32 [rows], the highest first, or the highest of each group of
            ``max_classes_per_detection``.
        found: boxes, each with ``max_classes_per_detection`` rows where overlaps are suppressed
            over all classes, and with one where each class is suppressed alone.
    """

    boxes: Floats
    classes: Floats
    scores: Floats
    found: int

    def rows(self) -> Floats:
        """All as one, float32 [rows, 6]: box, score, class."""
        return np.concatenate([self.boxes, self.scores[:, None], self.classes[:, None]], axis=1)


def options_of(graph: Graph, node: DetectionPostProcess) -> PostProcess:
    """The options of TFLite's operator for such a node."""
    return PostProcess(
        num_classes=graph.shapes[node.inputs[1]][-1],
        max_detections=node.max_detections,
        detections_per_class=node.max_detections,
        nms_score_threshold=node.score_threshold,
        nms_iou_threshold=node.iou_threshold,
        use_regular_nms=node.per_class,
    )


def post_process(
    boxes: Floats,
    scores: Floats,
    anchors: Floats,
    options: PostProcess,
    *,
    later_class_first: bool = False,
) -> Detections:
    """Decodes a detector's boxes for one photo, and keeps the best of those that overlap.

    Args:
        boxes: float32 [n, 4 or more]: y, x, height and width relative to the anchors; what is
            behind them is not read.
        scores: float32 [n, classes], or with the background before them.
        anchors: float32 [n, 4]: centre y, centre x, height, width.
        options: of the operator.
        later_class_first: which of equal scores of two classes comes first with regular NMS: that
            of the later class in TensorFlow 2.15, of the earlier one in LiteRT 2.3 (on one
            thread; with several, it depends on which thread had which class).

    Raises:
        ValueError: an option or a shape is none that the operator takes, or an anchor has a
            negative side.
    """
    _check(boxes, scores, anchors, options)
    corners = decode_boxes(boxes, anchors, options.scales)
    if (corners[:, :2] > corners[:, 2:]).any():
        raise ValueError("an anchor has a negative side")
    scores = scores[:, scores.shape[1] - options.num_classes :]
    most = options.max_detections * options.max_classes_per_detection
    answer = Detections(
        np.zeros((most, 4), np.float32), np.zeros(most, np.float32), np.zeros(most, np.float32), 0
    )
    if options.use_regular_nms:
        return _by_class(answer, corners, scores, options, later_class_first)
    return _over_all_classes(answer, corners, scores, options)


def _check(boxes: Floats, scores: Floats, anchors: Floats, options: PostProcess) -> None:
    """Raises ValueError for what the operator refuses."""
    count = len(anchors)
    if anchors.shape != (count, 4) or len(boxes) != count or len(scores) != count:
        raise ValueError(f"boxes {boxes.shape}, scores {scores.shape}, anchors {anchors.shape}")
    if boxes.shape[1] < 4 or scores.shape[1] - options.num_classes not in (0, 1):
        raise ValueError(f"{options.num_classes} classes, scores {scores.shape}")
    if not 0 < options.nms_iou_threshold <= 1:
        raise ValueError(f"a threshold of overlap of {options.nms_iou_threshold}")
    if min(options.max_detections, options.detections_per_class) < 0:
        raise ValueError("a negative number of detections")
    if options.max_classes_per_detection < 1 or options.num_classes < 1:
        raise ValueError("no class")


def decode_boxes(boxes: Floats, anchors: Floats, scales: Sequence[float]) -> Floats:
    """Corners of encoded boxes: ``centre = offset / scale * side + anchor's centre``.

    Args:
        boxes: float32 [n, 4 or more]: y, x, height, width.
        anchors: float32 [n, 4]: centre y, centre x, height, width.
        scales: of y, x, height, width.

    Returns:
        float32 [n, 4]: top, left, bottom, right.
    """
    steps = boxes[:, :4].astype(np.float64) / np.asarray(scales, np.float32).astype(np.float64)
    wide = anchors.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        centers = (steps[:, :2] * wide[:, 2:] + wide[:, :2]).astype(np.float32)
        halves = (0.5 * np.exp(steps[:, 2:]) * wide[:, 2:]).astype(np.float32)
        return np.concatenate([centers - halves, centers + halves], axis=1)


def suppress(
    corners: Floats,
    scores: Floats,
    most: int,
    *,
    lowest: float,
    overlap: float,
    first: int = FIRST,
) -> NDArray[np.int64]:
    """Indices of the boxes that no better one overlaps, the best first.

    Args:
        corners: float32 [n, 4]: top, left, bottom, right.
        scores: float32 [n]; of equal ones the first is the better.
        most: indices at most.
        lowest: score that counts.
        overlap: intersection over union above which the worse box is dropped.
        first: boxes that are looked at before all others; no other answer comes of it.
    """
    kept = np.flatnonzero(scores >= np.float32(lowest))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    chosen: list[int] = []
    for count in (first, len(order)):  # what is chosen of the first ones is chosen of all
        chosen = _choose(corners, order[:count], most, overlap)
        if len(chosen) == most or count >= len(order):
            break
    return np.array(chosen, np.int64)


def _choose(corners: Floats, order: NDArray[np.int64], most: int, overlap: float) -> list[int]:
    chosen: list[int] = []
    while len(order) and len(chosen) < most:
        best, order = order[0], order[1:]
        chosen.append(int(best))
        order = order[~(_overlaps(corners[best], corners[order]) > np.float32(overlap))]
    return chosen


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of a box with each of others, float32; 0 where one has no area."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        own = (box[2] - box[0]) * (box[3] - box[1])
        areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
        ends, begins = np.minimum(box[2:], others[:, 2:]), np.maximum(box[:2], others[:, :2])
        sides = np.maximum(ends - begins, np.float32(0))
        common = sides[:, 0] * sides[:, 1]
        shares: Floats = np.where((areas <= 0) | (own <= 0), 0, common / (own + areas - common))
    return shares


def _over_all_classes(
    answer: Detections, corners: Floats, scores: Floats, options: PostProcess
) -> Detections:
    """What the operator calls fast: suppression over all classes, of boxes with their best."""
    chosen = suppress(
        corners,
        scores.max(axis=1),
        options.max_detections,
        lowest=options.nms_score_threshold,
        overlap=options.nms_iou_threshold,
    )
    per_box = options.max_classes_per_detection
    classes = min(per_box, options.num_classes)
    for place, index in enumerate(chosen):
        best = highest(scores[index], classes)
        begin = place * per_box
        answer.boxes[begin : begin + classes] = corners[index]
        answer.classes[begin : begin + classes] = best
        answer.scores[begin : begin + classes] = scores[index][best]
    return answer._replace(found=len(chosen))


def _by_class(
    answer: Detections,
    corners: Floats,
    scores: Floats,
    options: PostProcess,
    later_class_first: bool,
) -> Detections:
    """What the operator calls regular: each class is suppressed alone, then the best of all."""
    most = options.max_detections
    best = np.zeros((0, 2), np.int64)  # box and class
    for column in range(options.num_classes):
        chosen = suppress(
            corners,
            scores[:, column],
            min(options.detections_per_class, most),
            lowest=options.nms_score_threshold,
            overlap=options.nms_iou_threshold,
        )
        own = np.stack([chosen, np.full_like(chosen, column)], axis=1)
        both = np.concatenate([own, best] if later_class_first else [best, own])
        order = np.argsort(-scores[both[:, 0], both[:, 1]], kind="stable")
        best = both[order[:most]]
    indices, classes = best.T
    count = len(best)
    answer.boxes[:count] = corners[indices]
    answer.classes[:count] = classes
    answer.scores[:count] = scores[indices, classes]
    return answer._replace(found=count)


def highest(values: NDArray[Any], count: int) -> list[int]:
    """Indices of the highest values, the highest first.

    Of ties, one index is the first; several are in the order in which ``std::partial_sort`` of
    GNU's C++ library leaves them: a heap of the first ``count`` values is built, each higher one
    takes the place of its lowest, and the heap is emptied.
    """
    if count == 1:
        return [int(np.argmax(values))]
    heap = list(range(count))
    for place in reversed(range(count // 2)):
        _sift(heap, values, place, heap[place], count)
    for index in range(count, len(values)):
        if values[index] > values[heap[0]]:
            _sift(heap, values, 0, index, count)
    for last in reversed(range(1, count)):
        item, heap[last] = heap[last], heap[0]
        _sift(heap, values, 0, item, last)
    return heap


def _sift(heap: list[int], values: NDArray[Any], top: int, item: int, length: int) -> None:
    """Puts an item into a heap with the lowest value on top, at ``top`` or below.

    The lower child moves up all the way down (of ties the right one), and the item climbs from
    there (Floyd's variant).
    """
    hole = top
    while (right := 2 * hole + 2) < length:
        child = right - 1 if values[heap[right]] > values[heap[right - 1]] else right
        heap[hole], hole = heap[child], child
    if right == length:  # a left child alone
        heap[hole], hole = heap[right - 1], right - 1
    while hole > top and values[heap[(hole - 1) // 2]] > values[item]:
        parent = (hole - 1) // 2
        heap[hole], hole = heap[parent], parent
    heap[hole] = item
