"""What of a photo's boxes a network's input shows."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.boxes.targets import MOST, mirrored, no_targets, to_targets, without_hidden
from edgekit.data.placement import place


def shown(boxes: Boxes, size: tuple[int, int] = (200, 100), fit: str = "stretch") -> np.ndarray:
    targets = to_targets(boxes, place(size, 50, fit))
    assert (targets.shape, targets.dtype) == ((MOST, 5), np.float32)
    count = (targets[:, 4] >= 0).sum()
    assert (targets[count:] == [0, 0, 0, 0, -1]).all()
    return targets[:count]


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("stretch", [0.1, 0.2, 0.5, 0.6]),
        ("pad", [0.26, 0.2, 0.46, 0.6]),  # 25 rows of 50 from the 12th on
        ("crop", [0.1, 0, 0.5, 0.7]),  # the middle 100 columns
    ],
)
def test_boxes_are_fractions_of_the_input(fit: str, expected: list[float]) -> None:
    found = shown(make_boxes([[10, 40, 50, 120]], [7]), fit=fit)
    if fit == "pad":
        expected = [(12 + 25 * 0.1) / 50, 0.2, (12 + 25 * 0.5) / 50, 0.6]
    np.testing.assert_allclose(found, [[*expected, 7]], atol=1e-6)


def test_what_is_cut_off_but_for_a_tenth_is_left_out() -> None:
    # The input shows columns 50 to 150.
    boxes = [[10, left, 50, left + 50] for left in (0, 4, 6, 30, 144, 146, 160)]
    found = shown(make_boxes(boxes, range(7)), fit="crop")
    assert found[:, 4].tolist() == [2, 3, 4]
    np.testing.assert_allclose(found[:, [1, 3]], [[0, 0.06], [0, 0.3], [0.94, 1]], atol=1e-6)


def test_a_box_of_less_than_a_pixel_is_left_out() -> None:
    # 4 x 2 pixels of the photo are one of the input.
    boxes = [[0, 0, 1.9, 40], [0, 0, 40, 3.9], [0, 0, 2.1, 4.1], [5, 5, 5, 5]]
    assert shown(make_boxes(boxes, range(4)))[:, 4].tolist() == [2]


def test_crowds_are_left_out_and_of_too_many_the_first_count() -> None:
    count = 150
    boxes = make_boxes([[0, 0, 50, 50]] * count, range(count))
    crowds = np.arange(count) % 4 == 1
    found = shown(Boxes(boxes.corners, boxes.classes, crowds, boxes.areas))
    assert found[:, 4].tolist() == np.flatnonzero(~crowds)[:MOST].tolist()


def test_a_photo_without_boxes() -> None:
    assert len(shown(make_boxes([], []))) == 0
    np.testing.assert_array_equal(mirrored(no_targets()), no_targets())


def test_mirrored_boxes_are_as_far_from_the_other_side() -> None:
    targets = to_targets(make_boxes([[10, 40, 50, 120]], [7]), place((200, 100), 50, "stretch"))
    flipped = mirrored(targets)
    np.testing.assert_allclose(flipped[0], [0.1, 0.4, 0.5, 0.8, 7], atol=1e-6)
    np.testing.assert_array_equal(flipped[1:], targets[1:])
    np.testing.assert_allclose(mirrored(flipped), targets, atol=1e-6)


def test_a_box_that_is_hidden_but_for_a_tenth_is_left_out() -> None:
    boxes = make_boxes([[0, 0, 100, 40], [0, 60, 100, 100], [0, 160, 100, 200]], [3, 4, 5])
    targets = to_targets(boxes, place((200, 100), 50, "stretch"))
    hidden = np.zeros((50, 50), bool)
    hidden[:46, :10] = True  # 92 % of the first
    hidden[:44, 15:25] = True  # 88 % of the second
    left = without_hidden(targets, hidden)
    np.testing.assert_array_equal(left[:2], targets[1:3])
    assert (left[2:] == no_targets()[2:]).all()
