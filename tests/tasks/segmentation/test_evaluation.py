"""The maps of the forms of a network are counted class by class."""

import json

import numpy as np
import pytest

from edgekit.tasks.segmentation.evaluation import evaluate_maps
from edgekit.tasks.segmentation.kept import keep

NAMES = ("sky", "road", "car")
MASKS = np.array([[[0, 0, 0, 1], [1, 1, 255, 0]]], np.uint8)
BEFORE = np.array([[[0, 0, 0, 1], [1, 0, 1, 0]]])
AFTER = np.array([[[0, 0, 1, 1], [1, 0, 1, 2]]])


def test_each_form_has_its_figures_by_class():
    found = evaluate_maps({"fp32-torch": keep(BEFORE), "w8a8-tflite": keep(AFTER)}, MASKS, NAMES)
    sky, road, car = found["per_class"]
    assert sky["iou"] == [4 / 5, 2 / 5]
    assert sky["dice"] == [8 / 9, 4 / 7]
    assert sky["drop_pp"] == pytest.approx(40)
    assert road["iou"] == [2 / 3, 2 / 4]
    assert car["iou"] == [None, None]
    assert car["drop_pp"] is None
    assert [score["share"] for score in found["per_class"]] == [4 / 7, 3 / 7, 0]
    assert [score["color"] for score in found["per_class"]] == ["#000000", "#800000", "#008000"]
    assert found["present"] == 2
    assert found["confused"] == [{"truth": "road", "answer": "sky", "share": 1 / 3}]
    assert json.loads(json.dumps(found)) == found


def test_a_network_alone_has_no_drop():
    found = evaluate_maps({"fp32-torch": keep(BEFORE)}, MASKS, NAMES)
    assert found["forms"] == ["fp32-torch"]
    assert all(score["drop_pp"] is None for score in found["per_class"])
