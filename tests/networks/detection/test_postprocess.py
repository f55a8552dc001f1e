"""The numpy form of TFLite's detection operator: equal to recorded answers, and to LiteRT's."""

import math
from dataclasses import replace

import numpy as np
import pytest
from places import SHARED
from prerequisites import needs

from edgekit.networks.detection.postprocess import (
    PostProcess,
    decode_boxes,
    highest,
    post_process,
    suppress,
)

ORACLE = SHARED / "oracle/detection"
#: As the oracle's README has them.
KINDS = {
    "fast": PostProcess(4, 10, nms_score_threshold=0.05),
    "fast_3perdet": PostProcess(4, 10, 3, nms_score_threshold=0.05),
    "fast_noscore": PostProcess(4, 25),
    "regular": PostProcess(4, 10, nms_score_threshold=0.05, use_regular_nms=True),
    "fast_background_ssd": PostProcess(
        3, 10, nms_score_threshold=0.3, nms_iou_threshold=0.6, scales=(10, 10, 5, 5)
    ),
}


@needs("shared", ORACLE.is_dir())
@pytest.mark.parametrize("scores", ["scores", "scores_ties"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_tensorflow_to_the_bit(kind, scores):
    told = np.load(ORACLE / f"postprocess_{kind}.npz")
    found = post_process(
        told["boxes"][0],
        told[scores][0],
        told["anchors_cyxhw"],
        KINDS[kind],
        later_class_first=True,  # recorded with TensorFlow 2.15
    )
    ties = scores.removeprefix("scores")
    assert found.found == told[f"out_count{ties}"][0]
    assert (found.boxes == told[f"out_boxes_yxyx{ties}"][0]).all()
    assert (found.classes == told[f"out_classes{ties}"][0]).all()
    assert (found.scores == told[f"out_scores{ties}"][0]).all()


def boxes_at(*corners):
    """Anchors of these corners, and offsets that leave them as they are."""
    sides = np.array(corners, np.float32)
    anchors = np.concatenate(
        [(sides[:, :2] + sides[:, 2:]) / 2, sides[:, 2:] - sides[:, :2]], axis=1
    )
    return np.zeros_like(anchors), anchors


#: Two that overlap by 9/11, and one apart.
THREE = boxes_at((0, 0, 10, 10), (0, 1, 10, 11), (20, 20, 30, 30))
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.1]], np.float32)


def test_a_box_suppresses_those_of_other_classes_unless_each_is_alone():
    options = PostProcess(2, 3)
    fast = post_process(THREE[0], SCORES, THREE[1], options)
    assert fast.found == 2
    assert fast.rows()[:, 4:].tolist() == [
        [pytest.approx(0.9), 0],
        [pytest.approx(0.3), 0],
        [0, 0],
    ]
    alone = post_process(THREE[0], SCORES, THREE[1], replace(options, use_regular_nms=True))
    assert alone.classes.tolist() == [0, 1, 0]
    assert alone.scores.tolist() == pytest.approx([0.9, 0.8, 0.3])
    assert alone.boxes[1].tolist() == [0, 1, 10, 11]


def test_a_class_has_no_more_boxes_than_it_may():
    options = PostProcess(2, 3, use_regular_nms=True, detections_per_class=1)
    found = post_process(THREE[0], SCORES, THREE[1], options)
    assert found.found == 2
    assert found.classes[:2].tolist() == [0, 1]


def test_scores_below_the_threshold_are_dropped():
    found = post_process(THREE[0], SCORES, THREE[1], PostProcess(2, 3, nms_score_threshold=0.5))
    assert found.found == 1
    assert not found.rows()[1:].any()


def test_a_column_more_is_the_background():
    found = post_process(THREE[0], SCORES, THREE[1], PostProcess(1, 3))
    assert found.classes.tolist() == [0, 0, 0]
    assert found.scores.tolist() == pytest.approx([0.8, 0.1, 0])


def test_equal_scores_of_two_classes_are_in_the_order_of_a_version():
    scores = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.5]], np.float32)
    options = PostProcess(2, 6, use_regular_nms=True)
    now = post_process(THREE[0], scores, THREE[1], options)
    then = post_process(THREE[0], scores, THREE[1], options, later_class_first=True)
    assert now.classes[: now.found].tolist() == [0, 1, 1, 0]
    assert then.classes[: then.found].tolist() == [1, 1, 0, 0]


def test_offsets_are_relative_to_the_anchor_and_divided_by_the_scales():
    anchors = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    offsets = np.array([[1, -2, math.log(2), 0]], np.float32)
    boxes = decode_boxes(offsets, anchors, (1, 2, 1, 1))
    assert boxes[0] == pytest.approx([0.5, 0.25, 0.9, 0.35])


def test_boxes_without_area_suppress_nothing():
    corners = np.array([[0, 0, 0, 5], [0, 0, 0, 5], [0, 0, 5, 5]], np.float32)
    scores = np.array([0.3, 0.2, 0.1], np.float32)
    assert suppress(corners, scores, 3, lowest=0, overlap=0.5).tolist() == [0, 1, 2]


def test_a_box_beyond_all_numbers_is_kept_as_the_operator_keeps_it():
    offsets = np.array([[0, 0, 2000, 0], [0, 0, 0, 0]], np.float32)
    anchors = np.array([[0.5, 0.5, 1, 1]] * 2, np.float32)
    found = post_process(offsets, np.array([[0.9], [0.8]], np.float32), anchors, PostProcess(1, 2))
    assert found.found == 2
    assert found.boxes[0].tolist() == [-math.inf, 0, math.inf, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nms_iou_threshold": 0.0},
        {"nms_iou_threshold": 1.5},
        {"max_detections": -1},
        {"max_classes_per_detection": 0},
        {"num_classes": 4},
    ],
)
def test_what_the_operator_refuses_is_refused(wrong):
    with pytest.raises(ValueError):
        post_process(THREE[0], SCORES, THREE[1], replace(PostProcess(2, 3), **wrong))


def test_an_anchor_with_a_negative_side_is_refused():
    with pytest.raises(ValueError, match="negative side"):
        post_process(THREE[0], SCORES, -THREE[1], PostProcess(2, 3))


def test_the_highest_come_first():
    values = np.array([3, 9, 1, 7, 8], np.float32)
    assert highest(values, 1) == [1]
    assert highest(values, 3) == [1, 4, 3]
    assert highest(np.ones(4), 3) == [0, 1, 2]  # as recorded by the oracle


def test_of_many_boxes_the_first_are_looked_at_first_and_nothing_changes():
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 1, (300, 4)).astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    scores = rng.random(300).astype(np.float32)
    limits = {"lowest": 0, "overlap": 0.3}
    wanted = suppress(corners, scores, 40, first=300, **limits)
    assert len(wanted) == 40
    for first in (1, 20, 100):  # 100 have all that are wanted, 20 have not
        assert (suppress(corners, scores, 40, first=first, **limits) == wanted).all()
    assert len(suppress(corners, scores, 300, **limits)) < 300
