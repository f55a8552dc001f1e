"""COCO's rule of which detection is of which box."""

import dataclasses

import numpy as np
import pytest
from detections import detected, labelled, scene

from edgekit.errors import UsageError
from edgekit.tasks.detection.matching import LIMITS, assign, match

BOX = (0.1, 0.1, 0.5, 0.5)
HALF = np.array([0.5])


def test_each_box_is_given_once_to_the_best_detection():
    overlaps = np.array([[[0.9, 0.6], [0.8, 0.7], [0.95, 0.95]]])
    assert assign(overlaps, HALF)[0, :, 0].tolist() == [0, 1, -1]
    # At 0.75 the second one has no box left, and the third takes the other.
    assert assign(overlaps, np.array([0.5, 0.75]))[0, :, 1].tolist() == [0, -1, 1]


def test_an_overlap_of_the_limit_is_enough_and_of_equal_ones_the_last_counts():
    assert assign(np.array([[[0.5, 0.5]]]), HALF).tolist() == [[[1]]]
    assert assign(np.array([[[0.4999, -1]]]), HALF).tolist() == [[[-1]]]
    assert assign(np.ones((1, 1, 1)), np.array([1.0])).tolist() == [[[0]]]
    assert assign(np.zeros((2, 3, 0)), HALF).shape == (2, 3, 1)


def test_a_second_detection_of_a_box_and_another_class_are_wrong():
    kept = detected([(*BOX, 0.9, 0), (*BOX, 0.8, 0), (*BOX, 0.7, 1)])
    found = match(kept, labelled([(*BOX, 0)]))
    assert found.right[:, 0].tolist() == [True, False, False]
    assert found.found.tolist() == [0, -1, -1]
    assert not found.ignored.any()
    assert found.wanted.tolist() == [[1, 0, 0]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_what_is_found_in_a_crowd_does_not_count():
    truths = labelled([(*BOX, 0), (0.5, 0.5, 0.9, 0.9, 0)])
    boxes = dataclasses.replace(truths[0].boxes, crowds=np.array([False, True]))
    truths[0] = dataclasses.replace(truths[0], boxes=boxes)
    inside = (0.6, 0.6, 0.7, 0.7)
    kept = detected([(*BOX, 0.9, 0), (*inside, 0.8, 0), (*inside, 0.7, 0), (*inside, 0.6, 1)])
    found = match(kept, truths)
    assert found.ignored[:, 0].tolist() == [False, True, True, False]
    assert found.right[:, 0].tolist() == [True, False, False, False]
    assert found.wanted.tolist() == [[1, 0, 0]]


def test_overlaps_decide_up_to_which_limit_a_detection_is_right():
    moved = (0.1, 0.1, 0.5, 0.4)  # three quarters of the box
    found = match(detected([(*moved, 0.9, 0)]), labelled([(*BOX, 0)], size=(400, 400)))
    assert found.right[0].tolist() == [bool(limit < 0.751) for limit in LIMITS]


def test_many_photos_are_matched_as_each_alone():
    kept, truths = scene(70, 3, seed=2)  # more than are matched at once
    whole = match(kept, truths)
    for photo in (0, 63, 64, 69):
        alone = match(kept[[photo]], truths[[photo]])
        own = whole.photos == photo
        assert np.array_equal(alone.right, whole.right[own])
        assert np.array_equal(alone.ignored, whole.ignored[own])
        assert np.array_equal(alone.wanted[0], whole.wanted[photo])


def test_arrays_that_do_not_belong_together_are_refused():
    kept, truths = scene(3, 2)
    with pytest.raises(UsageError, match="3 and labels of 2 photos"):
        match(kept, truths[:2])
    with pytest.raises(UsageError, match="a box has the class 5, and there are 3"):
        match(detected([]), labelled([(*BOX, 5)]))
    assert match(kept[:0], truths[:0]).wanted.shape == (0, 2)
