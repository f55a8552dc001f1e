"""The built-in shapes with boxes: from a seed, and boxed as tightly as can be."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from edgekit.data import synthetic
from edgekit.data.boxes import shapes
from edgekit.data.boxes.boxes import Boxes
from edgekit.data.boxes.shapes import LABELS, BoxedShapes
from edgekit.data.splits import photos_from_dict

PHOTOS = BoxedShapes(40, 0, "train", 64)


def all_boxes(photos: BoxedShapes) -> list[Boxes]:
    return [photos.label(i) for i in range(len(photos))]


def corners(photos: BoxedShapes) -> np.ndarray:
    return np.concatenate([boxes.corners for boxes in all_boxes(photos)])


def test_one_to_four_shapes_of_ten_classes() -> None:
    many = all_boxes(BoxedShapes(300, 1, "train", 64))
    assert np.bincount([len(boxes) for boxes in many]).tolist()[0] == 0
    assert min(np.bincount([len(boxes) for boxes in many])[1:]) > 50
    assert max(map(len, many)) == 4
    assert min(np.bincount(np.concatenate([boxes.classes for boxes in many]), minlength=10)) > 40
    assert [boxes.classes[0] for boxes in many[:12]] == [i % 10 for i in range(12)]
    assert LABELS == synthetic.LABELS
    assert PHOTOS.labels.tolist() == [-1] * 40


def test_boxes_are_in_the_photo_and_of_many_sizes() -> None:
    boxes = corners(BoxedShapes(300, 0, "val", 64)) / 64
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert 0.1 < sides.min() < 0.16
    assert 0.45 < sides.max() < 0.62
    assert 0.15 < np.median(sides) < 0.3


def test_boxes_overlap_little() -> None:
    for boxes in all_boxes(BoxedShapes(100, 0, "train", 64)):
        assert boxes.areas.min() > 0
        for one, other in combinations(range(len(boxes)), 2):
            low = np.maximum(boxes.corners[one, :2], boxes.corners[other, :2])
            high = np.minimum(boxes.corners[one, 2:], boxes.corners[other, 2:])
            common = (high - low).clip(0).prod()
            assert common <= 0.151 * boxes.areas[[one, other]].min()


def test_a_box_is_where_its_shape_is_drawn() -> None:
    for number in range(0, 40, 3):
        rng = PHOTOS.generator(shapes.VERSION, PHOTOS.members()[number])
        for shape in shapes._arrange(number % 10, rng):
            covered = synthetic.fill_outline(shape.polygons, 256) > 0.5
            rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
            drawn = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            # A tip is thinner than half a pixel: that of a crescent for the longest.
            np.testing.assert_allclose(shape.box * 256, drawn, atol=4)
            assert covered.sum() <= np.prod(shape.box[2:] - shape.box[:2]) * 256**2 * 1.02


def test_shapes_are_brighter_than_what_is_around() -> None:
    brighter = []
    for index, boxes in enumerate(all_boxes(PHOTOS)):
        image = np.array(PHOTOS.load(index)).mean(axis=-1)
        for (top, left, bottom, right), label in zip(boxes.corners, boxes.classes, strict=True):
            if LABELS[label] in ("disc", "square", "heart"):  # which fill most of their boxes
                middle = image[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2]
                brighter.append(middle.mean() > np.median(image))
    assert len(brighter) > 10
    assert np.mean(brighter) > 0.9


def test_a_photo_depends_on_seed_split_and_number_alone() -> None:
    again = BoxedShapes(80, 0, "train", 64)
    np.testing.assert_array_equal(corners(again.subset(range(40))), corners(PHOTOS))
    assert again.load(7).tobytes() == PHOTOS.load(7).tobytes()
    for other in (BoxedShapes(40, 1, "train", 64), BoxedShapes(40, 0, "val", 64)):
        assert other.load(7).tobytes() != PHOTOS.load(7).tobytes()
        assert other.digest() != PHOTOS.digest()


def test_the_scene_is_the_same_at_any_resolution() -> None:
    large = BoxedShapes(40, 0, "train", 192)
    np.testing.assert_allclose(corners(large) / 3, corners(PHOTOS), atol=1e-4)
    for index in range(6):
        small = np.array(PHOTOS.load(index), np.float32)
        shrunk = np.array(large.load(index).reduce(3), np.float32)
        assert np.abs(small - shrunk).mean() < 12


def test_what_is_given_out_is_the_callers_own() -> None:
    PHOTOS.load(0).paste((0, 0, 0), (0, 0, 64, 64))
    assert np.array(PHOTOS.load(0)).any()


def test_subset_and_record() -> None:
    part = PHOTOS.subset([7, 3]).subset([1])
    assert part.names == ("train-00003",)
    assert part.size(0) == part.load(0).size == (64, 64)
    np.testing.assert_array_equal(part.label(0).corners, PHOTOS.label(3).corners)
    read = photos_from_dict(json.loads(json.dumps(part.to_dict())))
    assert read.digest() == part.digest()
    np.testing.assert_array_equal(read.label(0).corners, PHOTOS.label(3).corners)


def test_no_such_photos() -> None:
    with pytest.raises(ValueError, match="no such photos"):
        BoxedShapes(4, 0, "x", 64)
