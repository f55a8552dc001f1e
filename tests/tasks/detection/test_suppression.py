"""Of boxes that overlap the best one of each class stays."""

import numpy as np
import pytest

from edgekit.tasks.detection import suppression
from edgekit.tasks.detection.iou import iou
from edgekit.tasks.detection.suppression import suppress

BOXES = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [5, 0, 15, 10]], np.float32)


def test_the_best_of_a_class_stays():
    assert suppress(BOXES, np.zeros(4), 100).tolist() == [0, 3]
    assert suppress(BOXES, np.array([0, 0, 1, 0]), 100).tolist() == [0, 2, 3]
    assert suppress(BOXES, np.array([0, 1, 2, 3]), 2).tolist() == [0, 1]


@pytest.mark.parametrize(("limit", "kept"), [(1 / 3 - 1e-6, [0]), (1 / 3 + 1e-6, [0, 1])])
def test_only_more_overlap_than_the_limit_counts(limit, kept):
    assert suppress(BOXES[[0, 3]], np.zeros(2), 100, limit).tolist() == kept


def test_nothing_is_kept_of_nothing():
    assert suppress(BOXES[:0], np.zeros(0), 100).tolist() == []


def test_boxes_beyond_the_first_ones_are_found():
    """More copies of one box than are looked at first, and a box behind them all."""
    copies = np.repeat(BOXES[:1], suppression.FIRST + 10, axis=0)
    corners = np.concatenate([copies, BOXES[3:] + 100])
    assert suppress(corners, np.zeros(len(corners)), 100).tolist() == [0, len(corners) - 1]


def test_it_is_what_a_loop_over_pairs_finds():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 50, (800, 2))
    corners = np.concatenate([starts, starts + rng.uniform(5, 30, (800, 2))], 1).astype(np.float32)
    classes = rng.integers(0, 3, 800)
    kept = []
    for i in range(800):
        over = iou(corners[i : i + 1], corners[kept])[0]
        if not ((over > 0.5) & (classes[kept] == classes[i])).any():
            kept.append(i)
    assert suppress(corners, classes, 1000).tolist() == kept
    assert suppress(corners, classes, 60).tolist() == kept[:60]
