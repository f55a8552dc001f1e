"""Outlines count as found where they are within the tolerance."""

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.segmentation.boundary import boundary_f1
from edgekit.tasks.segmentation.kept import keep


def square(side=40, shift=0, size=12, label=1):
    mask = np.zeros((1, side, side), np.uint8)
    mask[:, 10 + shift : 10 + shift + size, 10 : 10 + size] = label
    return mask


@pytest.mark.parametrize(("shift", "found"), [(0, 1.0), (1, 1.0), (15, 0.0)])
def test_an_outline_may_be_off_by_a_pixel(shift, found):
    assert boundary_f1(keep(square(shift=shift)), square()) == found


def test_the_tolerance_grows_with_the_diagonal():
    large, moved = square(400, size=100), square(400, shift=4, size=100)
    assert boundary_f1(keep(moved), large) == 1  # 0.0075 * 566 = 4.2
    assert boundary_f1(keep(square(400, shift=7, size=100)), large) < 0.9


def test_an_outline_that_is_not_answered_is_missed():
    assert boundary_f1(keep(np.zeros_like(square())), square()) == 0
    assert boundary_f1(keep(square(label=2)), square()) == pytest.approx(0.5)  # the background's


def test_a_naive_count_gives_the_same():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (2, 9, 11)).astype(np.uint8).repeat(3, 1).repeat(3, 2)
    answers = np.where(rng.random(masks.shape) < 0.1, rng.integers(0, 3, masks.shape), masks)
    masks[0, :5] = 255
    assert boundary_f1(keep(answers), masks) == pytest.approx(naive(answers, masks), abs=1e-12)


def naive(answers, masks, radius=1):
    scores = []
    for answer, mask in zip(answers, masks, strict=True):
        answer = np.where(mask == 255, 255, answer)
        for label in range(3):
            wanted, given = (outline(values, label) for values in (mask, answer))
            if not wanted:
                continue
            hits = [near(point, wanted, radius) for point in given]
            reached = [near(point, given, radius) for point in wanted]
            precision, recall = (sum(x) / max(len(x), 1) for x in (hits, reached))
            both = precision + recall
            scores.append(2 * precision * recall / both if both else 0.0)
    return np.mean(scores)


def outline(values, label):
    found = []
    for y, x in np.argwhere(values == label):
        for i, j in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= i < values.shape[0] and 0 <= j < values.shape[1]
            if inside and values[i, j] not in (label, 255):
                found.append((y, x))
                break
    return found


def near(point, others, radius):
    return any((point[0] - y) ** 2 + (point[1] - x) ** 2 <= radius**2 for y, x in others)


def test_without_an_outline_there_is_no_number():
    plain = np.zeros((2, 8, 8), np.uint8)
    assert np.isnan(boundary_f1(keep(plain), plain))
    assert np.isnan(boundary_f1(keep(plain[:0]), plain[:0]))
    with pytest.raises(UsageError, match="not of the same photos"):
        boundary_f1(keep(plain), plain[:1])
