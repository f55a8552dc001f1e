"""Boxes of photos, and where detections are in them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.placement import place
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.tasks.detection.truth import class_weights, photo_corners, read_truths, size_of

RECORD = Preprocessing(64, (0.0,) * 3, (1.0,) * 3, ("a", "b"), fit="stretch")


class Pair:
    """Two photos of 40 by 20 pixels, the second without a box."""

    def __len__(self):
        return 2

    def load(self, index, shrink=None):
        assert shrink is not None
        times = shrink((40, 20))
        return Image.new("RGB", (40 // times, 20 // times))

    def label(self, index):
        return make_boxes([[1, 2, 3, 4]] * (1 - index), [1] * (1 - index))


def test_each_photo_has_its_boxes_and_its_place():
    found = read_truths(Pair(), RECORD, workers=2)
    assert [len(truth.boxes) for truth in found] == [1, 0]
    assert found[0].placement == RECORD.place((40, 20))


def test_sizes_are_asked_for_or_seen_while_a_photo_is_decoded():
    class Sized(Pair):
        def size(self, index):
            return (7, 9)

    class Whole(Pair):
        def load(self, index, shrink=None):
            return Image.new("RGB", (11, 5))

    assert [size_of(photos, 0) for photos in (Pair(), Sized(), Whole())] == [
        (40, 20),
        (7, 9),
        (11, 5),
    ]


@pytest.mark.parametrize(("fit", "box"), [("stretch", (5, 10, 15, 30)), ("pad", (0, 10, 20, 30))])
def test_a_detection_is_put_back_onto_the_photo(fit, box):
    """The middle half of the input; of a padded one, all of the photo's height."""
    placement = place((40, 20), 64, fit)
    middle = np.array([[[0.25, 0.25, 0.75, 0.75]]])
    assert photo_corners(middle, [placement])[0, 0].tolist() == pytest.approx(box)


def test_of_a_crop_the_part_is_put_back():
    placement = place((40, 20), 64, "crop", 1.0)
    whole = photo_corners(np.array([[[0.0, 0, 1, 1]]]), [placement])[0, 0]
    assert whole.tolist() == [0, 10, 20, 30]


def test_boxes_are_cut_at_the_photo():
    placement = place((40, 20), 64, "stretch")
    assert photo_corners(np.array([[[-1, -1, 2, 2]]]), [placement]).tolist() == [[[0, 0, 20, 40]]]
    with pytest.raises(UsageError, match="do not belong together"):
        photo_corners(np.zeros((2, 1, 4)), [placement])


def test_a_rare_class_weighs_more():
    class Uneven(Pair):
        def label(self, index):
            boxes = make_boxes([[0, 0, 1, 1]] * 4, [0, 0, 0, 1])
            return replace(boxes, crowds=np.array([False, False, False, index == 1]))

    # Six boxes of class 0 and one of 1, whose other is a crowd.
    assert class_weights(Uneven(), 3) == pytest.approx((7 / 18, 7 / 3, 1))
    assert isinstance(Uneven().label(0), Boxes)
