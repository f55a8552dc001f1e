"""Overlaps that are counted by hand."""

import numpy as np
import pytest

from edgekit.tasks.detection.iou import areas, coverage, iou

ONE = np.array([[0.0, 0, 2, 2], [0, 0, 0, 0]])
OTHER = np.array([[1.0, 1, 3, 4], [0, 0, 2, 2], [5, 5, 6, 6]])


def test_intersection_over_union():
    assert iou(ONE, OTHER) == pytest.approx(np.array([[1 / 9, 1, 0], [0, 0, 0]]))
    assert iou(np.stack([ONE, ONE]), OTHER).shape == (2, 2, 3)
    assert iou(ONE.astype(np.float32), OTHER.astype(np.float32)).dtype == np.float32


def test_two_boxes_without_area_do_not_overlap():
    assert iou(ONE[1:], ONE[1:]).tolist() == [[0.0]]


def test_a_crowd_covers_a_share_of_a_detection():
    assert coverage(ONE, OTHER)[0] == pytest.approx([0.25, 1, 0])
    assert areas(OTHER).tolist() == [6, 4, 1]
