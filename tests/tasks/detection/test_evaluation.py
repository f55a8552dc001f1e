"""What is shown of detections class by class."""

import json

import pytest
from detections import detected, labelled, scene

from edgekit.errors import UsageError
from edgekit.tasks.detection.coco import evaluate_coco
from edgekit.tasks.detection.evaluation import evaluate_detections

KEPT, TRUTHS = scene(20, 3, seed=5)
WORSE, _ = scene(20, 3, seed=5, shift=0.05)
NAMES = ("cat", "dog", "<cow>")


def test_each_class_has_its_figures_by_form():
    found = evaluate_detections({"fp32-torch": KEPT, "w8a8-tflite": WORSE}, TRUTHS, NAMES)
    first, second = (evaluate_coco(kept, TRUTHS) for kept in (KEPT, WORSE))
    assert [one["label"] for one in found["per_class"]] == list(NAMES)
    for k, one in enumerate(found["per_class"]):
        assert one["ap"] == [first.ap(category=k), second.ap(category=k)]
        assert one["ap50"] == [first.ap(0, category=k), second.ap(0, category=k)]
        assert one["drop_pp"] == pytest.approx(100 * (one["ap"][0] - one["ap"][1]))
    crowds = sum(int(truth.boxes.crowds.sum()) for truth in TRUTHS)
    assert found["boxes"] == sum(len(truth.boxes) for truth in TRUTHS) - crowds
    assert len({one["color"] for one in found["per_class"]}) == 3
    json.dumps(found, allow_nan=False)


def test_curves_fall_and_their_mean_is_the_ap():
    found = evaluate_detections({"fp32-torch": KEPT}, TRUTHS, NAMES)
    assert [(curve["form"], curve["iou"]) for curve in found["curves"]] == [
        ("fp32-torch", 0.5),
        ("fp32-torch", 0.75),
    ]
    coco = evaluate_coco(KEPT, TRUTHS)
    for curve, limit in zip(found["curves"], (0, 5), strict=True):
        assert curve["precision"] == sorted(curve["precision"], reverse=True)
        assert sum(curve["precision"]) / 101 == pytest.approx(coco.ap(limit))


def test_a_class_without_a_box_has_no_figure():
    box = (0.1, 0.1, 0.5, 0.5)
    found = evaluate_detections(
        {"fp32-torch": detected([(*box, 0.9, 0)]), "int8": detected([])},
        labelled([(*box, 0)]),
        NAMES,
    )
    assert found["present"] == 1
    assert found["per_class"][0]["drop_pp"] == pytest.approx(100)
    assert found["per_class"][1]["ap"] == [None, None]
    assert found["per_class"][1]["drop_pp"] is None
    nothing = evaluate_detections({"fp32-torch": detected([])}, labelled([]), NAMES)
    assert nothing["curves"] == []


def test_arrays_of_other_photos_are_refused():
    with pytest.raises(UsageError, match="do not belong together"):
        evaluate_detections({"fp32-torch": KEPT}, TRUTHS[:2], NAMES)
