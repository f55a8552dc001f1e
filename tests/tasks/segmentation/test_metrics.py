"""Figures of maps: the oracle's, and some that are counted by hand."""

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.bootstrap import deviation, interval
from edgekit.tasks.segmentation import metrics
from edgekit.tasks.segmentation.kept import keep

#: Two photos of one row: the answers, and the masks.
ANSWERS = np.array([[[0, 0, 1, 1]], [[1, 1, 1, 2]]])
MASKS = np.array([[[0, 0, 0, 1]], [[1, 1, 255, 0]]], np.uint8)


@pytest.mark.parametrize("ignored", ["", "_ignore255"])
def test_figures_are_the_oracles(oracle, ignored):
    masks = oracle.arrays[f"target{ignored}"].astype(np.uint8)
    kept = keep(oracle.arrays["logits"].transpose(0, 2, 3, 1))
    found = metrics.total(metrics.sums(metrics.counted(kept, masks)))
    present = oracle.arrays[f"per_class_iou{ignored}"][:3]
    np.testing.assert_allclose(metrics.iou(found), [*present, np.nan])
    dice = oracle.arrays[f"per_class_dice{ignored}"][:3]
    np.testing.assert_allclose(metrics.dice(found), [*dice, np.nan])
    assert metrics.mean_iou(found) == pytest.approx(oracle.values[f"miou_present{ignored}"])
    wanted = oracle.values[f"pixel_accuracy{ignored}"]
    assert metrics.pixel_accuracy(found) == pytest.approx(wanted)


def test_sums_are_over_the_set_and_a_class_in_no_mask_does_not_count():
    found = metrics.total(metrics.sums(metrics.confusions(keep(ANSWERS), MASKS, 3)))
    assert found.right.tolist() == [2, 3, 0]
    assert found.true.tolist() == [4, 3, 0]
    assert found.answered.tolist() == [2, 4, 1]
    np.testing.assert_allclose(metrics.iou(found), [2 / 4, 3 / 4, np.nan])
    assert metrics.mean_iou(found) == (2 / 4 + 3 / 4) / 2
    assert metrics.pixel_accuracy(found) == 5 / 7


def test_no_mask_gives_no_number():
    found = metrics.total(metrics.sums(metrics.confusions(keep(ANSWERS[:0]), MASKS[:0], 3)))
    assert np.isnan(metrics.mean_iou(found))
    assert np.isnan(metrics.pixel_accuracy(found))
    ignored = metrics.sums(metrics.confusions(keep(ANSWERS), np.full_like(MASKS, 255), 3))
    assert np.isnan(metrics.mean_iou(metrics.total(ignored)))


def test_smaller_maps_are_enlarged_to_their_masks():
    masks = np.zeros((1, 4, 4), np.uint8)
    masks[:, :, 2:] = 1
    answers = np.array([[[0, 1], [0, 1]]])
    assert metrics.confusions(keep(answers), masks, 2)[0].tolist() == [[8, 0], [0, 8]]
    assert metrics.agreement(keep(masks), keep(answers)) == 1


@pytest.mark.parametrize(
    ("answers", "masks", "text"),
    [
        (ANSWERS, MASKS[:1], "2 maps and 1 masks"),
        (ANSWERS, MASKS + np.uint8(3) * (MASKS != 255), "a mask has the class 4"),
    ],
)
def test_what_does_not_belong_together_is_refused(answers, masks, text):
    with pytest.raises(UsageError, match=text):
        metrics.confusions(keep(answers), masks, 3)


def test_an_interval_is_as_wide_as_photos_differ():
    rng = np.random.default_rng(1)
    right = rng.binomial(100, 0.8, (400, 1))
    found = metrics.Sums(right, np.full((400, 1), 100), right)
    drawn = metrics.Bootstrap.of(400)
    low, high = interval(metrics.mean_iou(drawn.resampled(found)))
    mean, error = right.mean() / 100, right.std() / 100 / 20
    assert low == pytest.approx(mean - 1.96 * error, abs=3e-4)
    assert high == pytest.approx(mean + 1.96 * error, abs=3e-4)
    again = metrics.Bootstrap.of(400).resampled(found)
    assert interval(metrics.mean_iou(again)) == [low, high]
    assert np.isnan(interval(metrics.mean_iou(metrics.total(found))[None] * np.nan)).all()


def test_photos_that_are_lost_alike_give_a_sharp_difference():
    rng = np.random.default_rng(2)
    right = rng.binomial(100, 0.6, (200, 1)).astype(float)
    true = np.full((200, 1), 100.0)
    before, after = (metrics.Sums(values, true, values) for values in (right, right - 2))
    drawn = metrics.Bootstrap.of(200)
    scores = [metrics.mean_iou(drawn.resampled(found)) for found in (before, after)]
    assert deviation(scores[0] - scores[1]) < 1e-9 < deviation(scores[0])
