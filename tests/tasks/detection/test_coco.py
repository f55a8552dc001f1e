"""COCO's figures: pycocotools' of a file of annotations and one of results."""

import json

import numpy as np
import pytest
from detections import detected, labelled, scene

from edgekit.errors import UsageError
from edgekit.tasks.detection.coco import evaluate_coco, evaluate_records
from edgekit.tasks.detection.matching import AT_50, AT_75


def test_all_figures_are_those_of_pycocotools(folder):
    truth, detections, wanted = (
        json.loads((folder / f"coco_{name}.json").read_text("utf-8"))
        for name in ("gt", "detections", "result")
    )
    found = evaluate_records(truth, detections)
    assert {
        "AP": found.ap(),
        "AP50": found.ap(AT_50),
        "AP75": found.ap(AT_75),
        "APs": found.ap(area="small"),
        "APm": found.ap(area="medium"),
        "APl": found.ap(area="large"),
        "AR1": found.ar(1),
        "AR10": found.ar(10),
        "AR100": found.ar(),
        "ARs": found.ar(area="small"),
        "ARm": found.ar(area="medium"),
        "ARl": found.ar(area="large"),
    } == pytest.approx(wanted["stats"], abs=1e-9)
    for place, figures in enumerate(wanted["per_class"].values()):
        assert found.ap(category=place) == pytest.approx(figures["AP"], abs=1e-9)
        assert found.ap(AT_50, category=place) == pytest.approx(figures["AP50"], abs=1e-9)


def test_detections_on_all_boxes_are_worth_all():
    truths = labelled([(0.1, 0.1, 0.5, 0.5, 0)], [(0.2, 0.2, 0.9, 0.3, 1)])
    kept = detected([(0.1, 0.1, 0.5, 0.5, 0.9, 0)], [(0.2, 0.2, 0.9, 0.3, 0.8, 1)])
    found = evaluate_coco(kept, truths)
    assert found.ap() == pytest.approx(1)
    assert found.ap(category=2) is None
    assert found.ap(area="small") == pytest.approx(1)  # 70 by 10 pixels
    assert found.ap(area="large") is None
    assert found.curve(AT_50) == pytest.approx([1] * 101)


def test_half_the_boxes_are_worth_half_of_recall():
    truths = labelled([(0.1, 0.1, 0.5, 0.5, 0), (0.6, 0.6, 0.9, 0.9, 0)])
    found = evaluate_coco(detected([(0.1, 0.1, 0.5, 0.5, 0.9, 0)]), truths)
    assert found.ap() == pytest.approx(51 / 101)
    assert found.ar() == pytest.approx(0.5)


def test_nothing_detected_is_worth_nothing_and_no_box_no_figure():
    truths = labelled([(0.1, 0.1, 0.5, 0.5, 0)])
    assert evaluate_coco(detected([]), truths).ap() == 0
    nothing = evaluate_coco(detected([(0.1, 0.1, 0.5, 0.5, 0.9, 0)]), labelled([]))
    assert nothing.ap() is nothing.ap(AT_50) is nothing.curve(AT_75) is nothing.ar() is None
    assert evaluate_coco(detected(), labelled()).ap() is None


def test_a_class_that_the_network_has_not_is_refused():
    kept, truths = scene(2, 3, crowds=0)
    truths[1].boxes.classes[:] = 3
    with pytest.raises(UsageError, match="a box has the class 3, and there are 3"):
        evaluate_coco(kept, truths)
    assert np.isfinite(kept["detections"]).all()
