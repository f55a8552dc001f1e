"""What is counted as a mistake in a photo."""

import numpy as np
import pytest
from detections import detected, labelled

from edgekit.tasks.detection.matching import match
from edgekit.tasks.detection.mistakes import count_mistakes, lost_boxes

BOX, OTHER = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
TRUTHS = labelled([(*BOX, 0), (*OTHER, 1)], [])


def test_missed_boxes_and_false_detections_are_counted():
    rows = [(*BOX, 0.9, 0), (*BOX, 0.5, 0), (*OTHER, 0.2, 1), (*BOX, 0.1, 2)]
    found = count_mistakes(match(detected(rows, [(*BOX, 0.4, 0)]), TRUTHS))
    assert found.boxes.tolist() == [2, 0]
    assert found.found.tolist() == [1, 0]
    assert found.false.tolist() == [1, 1]
    assert found.loss == pytest.approx([0.1 + 0.8 + 0.5, 0.4])


def test_a_box_that_only_the_first_form_finds_is_lost():
    whole, unsure, other = (
        match(detected(rows, []), TRUTHS)
        for rows in (
            [(*BOX, 0.9, 0), (*OTHER, 0.8, 1)],
            [(*BOX, 0.9, 0), (*OTHER, 0.2, 1)],
            [(*OTHER, 0.9, 1)],
        )
    )
    assert lost_boxes(whole, whole).tolist() == [0, 0]
    assert lost_boxes(whole, unsure).tolist() == [1, 0]
    assert lost_boxes(unsure, other).tolist() == [1, 0]
    assert lost_boxes(other, whole).tolist() == [0, 0]
    nothing = match(detected([], []), TRUTHS)
    assert lost_boxes(nothing, nothing).tolist() == [0, 0]
    assert np.array_equal(lost_boxes(whole, nothing), [2, 0])
