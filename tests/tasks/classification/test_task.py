"""Classification answers what the contract asks."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.tasks.classification.metrics import expected_drop, kl_by_photo, wilson_interval
from edgekit.tasks.classification.task import TASK
from edgekit.tasks.learning import Loss
from edgekit.tasks.task import Metric

LOGITS = np.array([[3, 1, 0], [0, 2, 1], [1, 0, 5], [4, 3, 0]], np.float32)
LABELS = np.array([0, 1, 2, 1])
WORSE = LOGITS[:, ::-1].copy()


def test_sums_of_parts_give_the_score_of_all():
    parts = [TASK.tally(LOGITS[part], LABELS[part]) for part in (slice(0, 1), slice(1, 4))]
    assert TASK.score([sum(sums) for sums in zip(*parts, strict=True)]) == 0.75
    assert TASK.tally(LOGITS[:0], LABELS[:0]) == (0, 0)
    assert np.isnan(TASK.score((0, 0)))


def test_a_row_has_the_metric_its_interval_and_the_paired_difference():
    figures = TASK.measure(WORSE, LABELS, LOGITS)
    assert TASK.metric.value(figures) == 0.25
    assert TASK.metric.interval(figures) == wilson_interval(1, 4)
    assert figures["drop_pp"] == 50
    assert figures["drop_se_pp"] == pytest.approx(25)
    alone = TASK.measure(WORSE, LABELS)
    assert alone["drop_pp"] is alone["agreement"] is alone["kl"] is None
    with pytest.raises(UsageError):
        TASK.measure(WORSE, LABELS[:3])


def test_outputs_are_compared_without_labels():
    same, other = TASK.compare(LOGITS, LOGITS), TASK.compare(LOGITS, WORSE)
    assert same == (1, 0, 0)
    assert other.agreement == 0.25
    assert other.kl == pytest.approx(kl_by_photo(LOGITS, WORSE).mean())
    assert other.expected_drop == expected_drop(LOGITS, WORSE)
    assert TASK.divergences(LOGITS, WORSE).tolist() == kl_by_photo(LOGITS, WORSE).tolist()


def test_the_head_is_taken_off_replaced_and_applied():
    spec = scale_spec(find_spec("lite0"), width=0.1, depth=0.1)
    graph = build_graph(spec, classes=3, resolution=32, seed=0)
    embedding = TASK.head.remove(graph)
    assert TASK.head.is_on(graph)
    assert not TASK.head.is_on(embedding)
    assert TASK.head.replace(graph, 5, 0).classes == 5
    features = np.ones((2, embedding.classes), np.float32)
    kernel, bias = (graph.weights[f"logits/{name}"] for name in ("kernel", "bias"))
    assert np.array_equal(TASK.head.apply(graph, features), features @ kernel + bias)


def test_a_file_with_a_head_has_labels_and_one_without_has_none():
    graph = build_graph(find_spec("lite0"), classes=2, resolution=32, seed=None)
    said = TASK.describe(graph, ["a", "b"])
    assert said.labels == ("a", "b")
    assert said.text == "Image classifier, 2 classes; the output is logits."
    assert [output.name for output in said.outputs] == ["logit"]
    headless = TASK.describe(TASK.head.remove(graph), ["a", "b"])
    assert headless.labels == ()
    assert headless.text.startswith("Image embedding of 1280 numbers")
    assert [output.name for output in headless.outputs] == ["embedding"]


def test_the_loss_takes_labels_and_what_was_mixed():
    learning, outputs = TASK.learning, torch.from_numpy(LOGITS)
    labels = torch.from_numpy(LABELS)
    one_hot = torch.from_numpy(learning.targets(LABELS, 3))
    for targets in (labels, one_hot):
        loss = learning.loss(outputs, targets, Loss(smoothing=0.1))
        torch.testing.assert_close(loss, F.cross_entropy(outputs, labels, label_smoothing=0.1))
    inputs = torch.zeros(4, 3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    _, mixed = learning.mix(inputs, labels, 3, mixup=0.2, cutmix=0.0, generator=generator)
    torch.testing.assert_close(mixed.sum(1), torch.ones(4))
    blank = learning.blank(4, 8, torch.device("cpu"))
    assert torch.isfinite(learning.loss(outputs, blank, Loss()))
    assert float(learning.distillation(outputs, outputs)) == pytest.approx(0, abs=1e-7)
    assert float(learning.distillation(torch.from_numpy(WORSE), outputs)) == pytest.approx(
        TASK.compare(LOGITS, WORSE).kl, rel=1e-5
    )


def test_a_teacher_names_its_answers_and_how_sure_it_is():
    probabilities = TASK.learning.probabilities(LOGITS)
    answers, confidence = TASK.learning.confidence(probabilities)
    assert answers.tolist() == TASK.decode(LOGITS).tolist() == [0, 1, 2, 0]
    assert confidence.tolist() == probabilities.max(1).tolist()


def test_the_labels_of_photos_are_their_classes():
    photos = SyntheticPhotos(5, 0, "train", 16)
    record = Preprocessing(16, (127.0,) * 3, (128.0,) * 3, ())
    assert TASK.labels(photos, record).tolist() == photos.labels.tolist()


def test_scores_have_the_metrics_name_in_records():
    metric = Metric("miou", "mIoU", "mIoU")
    record = metric.to_record({"epoch": 1, "val_score": 0.5})
    assert record == {"epoch": 1, "val_miou": 0.5}
    assert metric.from_record(record) == {"epoch": 1, "val_score": 0.5}
