"""The task of detection keeps to the contract."""

import dataclasses

import numpy as np
import pytest
import torch
from detections import scene
from narrow import narrow

from edgekit.data.boxes.anchors import Anchors
from edgekit.data.boxes.shapes import BoxedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Wanted
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.tasks.detection.coco import evaluate_coco
from edgekit.tasks.detection.task import TASK
from edgekit.tasks.learning import Loss
from edgekit.tasks.registry import find_task

KEPT, TRUTHS = scene(30, 3, seed=6)
WORSE, _ = scene(30, 3, seed=6, shift=0.05)
SIDE = 64
RECORD = Preprocessing(
    SIDE,
    (127.0,) * 3,
    (128.0,) * 3,
    ("a", "b", "c"),
    task="detection",
    fit="stretch",
    anchors=Anchors(),
)


def graph(classes=3):
    spec = dataclasses.replace(narrow("lite0"), decoder=EfficientDet(8, 1, 1, "sum"))
    return build_graph(spec, classes=classes, resolution=SIDE, seed=0)


def test_the_task_is_found_by_its_name():
    assert find_task("detection") is TASK
    assert TASK.metric.key == "ap"
    assert TASK.metric.to_record({"val_score": 0.5, "mapped": 1}) == {"val_ap": 0.5, "mapped": 1}
    assert TASK.metric.from_record({"val_ap": 0.5, "mapped": 1}) == {"val_score": 0.5, "mapped": 1}


def test_processes_add_up_to_the_metric():
    parts = [TASK.tally(KEPT[part], TRUTHS[part]) for part in (slice(12), slice(12, None))]
    whole = TASK.score([sum(values) for values in zip(*parts, strict=True)])
    assert whole == pytest.approx(TASK.measure(KEPT, TRUTHS)["ap"], abs=2e-3)
    assert len(TASK.tally(KEPT[:0], TRUTHS[:0])) == len(parts[0])


def test_the_metric_of_all_photos_is_that_of_the_report_whatever_scores_are_equal():
    equal = KEPT.copy()
    equal["detections"][..., 4] = np.where(equal["detections"][..., 4] > 0, 0.99609375, 0)
    for kept in (KEPT, equal):
        assert TASK.metric_of(kept, TRUTHS) == pytest.approx(TASK.measure(kept, TRUTHS)["ap"])
    assert TASK.metric_of(equal, TRUTHS) != pytest.approx(TASK.metric_of(KEPT, TRUTHS), abs=0.01)


def test_a_row_has_the_metric_and_its_interval():
    figures = TASK.measure(WORSE, TRUTHS, KEPT)
    score, (low, high) = TASK.metric.value(figures), TASK.metric.interval(figures)
    assert low < score < high
    assert score == evaluate_coco(WORSE, TRUTHS).ap()
    assert figures["agreement"] == TASK.compare(KEPT, WORSE).agreement
    assert figures["kl"] == pytest.approx(TASK.compare(KEPT, WORSE).kl)
    assert figures["drop_pp"] > 0
    with pytest.raises(UsageError):
        TASK.measure(KEPT, TRUTHS[:2])


def test_a_network_s_outputs_are_kept_with_the_record():
    network = graph()
    outputs = np.random.default_rng(0).normal(size=(2, *network.output_shape)).astype(np.float32)
    kept = TASK.keep(outputs, RECORD)
    assert TASK.decode(kept).shape == (2, 100, 6)
    assert TASK.divergences(kept, kept) == pytest.approx([0, 0], abs=1e-12)
    ended = TASK.keep(TASK.decode(kept), RECORD)
    assert TASK.divergences(kept, ended) is None
    assert TASK.compare(kept, ended).agreement == 1
    with pytest.raises(UsageError, match="nothing says what the boxes are relative to"):
        TASK.tally(outputs, TRUTHS[:2])


def test_the_head_is_replaced_and_cannot_be_taken_off():
    network = graph()
    assert TASK.head.is_on(network)
    other = TASK.head.replace(network, 7, 0)
    assert other.classes == 7
    assert TASK.head.is_on(other)
    assert not TASK.head.is_on(build_graph(narrow("lite0"), classes=3, resolution=32, seed=None))
    for call in (lambda: TASK.head.remove(network), lambda: TASK.head.apply(network, KEPT)):
        with pytest.raises(UsageError, match="no embedding"):
            call()


def test_a_file_says_what_it_gives():
    network = graph()
    said = TASK.describe(network, ["cat", "dog", "cow"])
    assert said.text == (
        f"Object detection, 3 classes; the outputs are boxes and logits of "
        f"{network.output_shape[0]} anchors."
    )
    assert tuple(output.name for output in said.outputs) == network.outputs
    assert said.labels == ("cat", "dog", "cow")


def test_only_a_set_with_boxes_has_labels():
    boxed = BoxedShapes(4, 0, "train", 32)
    assert TASK.has_labels(boxed)
    assert not TASK.has_labels(SyntheticPhotos(4, 0, "train", 16))
    truths = TASK.labels(boxed, RECORD)
    assert [len(truth.boxes) for truth in truths] == [len(boxed.label(i)) for i in range(4)]
    assert truths[0].placement.side == SIDE
    weights = TASK.balanced_weights(boxed, 11)
    assert len(weights) == 11
    assert weights[10] == 1  # of no photo


def test_what_it_learns_by_takes_the_record_s_anchors():
    network = graph()
    outputs = torch.zeros(2, *network.output_shape, requires_grad=True)
    targets = TASK.learning.blank(2, SIDE, torch.device("cpu"))
    TASK.learning.loss(outputs, targets, Loss(anchors=RECORD.anchors)).backward()
    assert outputs.grad is not None
    assert outputs.grad.abs().max() > 0


def test_the_built_in_photos_have_boxes():
    splits = TASK.find_splits(Wanted(builtin_resolution=32))
    assert splits.builtin
    assert isinstance(splits.val, BoxedShapes)
    assert TASK.fingerprint(Wanted(builtin_resolution=32))
