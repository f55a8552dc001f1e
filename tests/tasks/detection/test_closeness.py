"""How near detections are to a reference's, by hand and by resampled truths."""

import numpy as np
import pytest
from detections import PEAKS, detected, labelled, scene

from edgekit.errors import UsageError
from edgekit.tasks.detection.closeness import (
    credit,
    expected_drop,
    expected_drops,
    find_again,
    kl_by_photo,
    pairs,
)
from edgekit.tasks.detection.kept import kept_type
from edgekit.tasks.detection.matching import LIMITS, match
from edgekit.tasks.detection.precision import average_precisions, mean_precision

BOX, OTHER = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
NEAR = (0.1, 0.1, 0.5, 0.46)  # nine tenths of BOX


def test_detections_are_found_again_with_their_class_place_and_half_their_score():
    one = detected([(*BOX, 0.9, 0), (*OTHER, 0.8, 1), (*BOX, 0.2, 2)])
    for rows, share in (
        ([(*BOX, 0.9, 0), (*OTHER, 0.8, 1)], 1),
        ([(*NEAR, 0.5, 0), (*OTHER, 0.3, 1)], 0.5),  # the second has not half of its score
        ([(*BOX, 0.9, 1), (*OTHER, 0.8, 1)], 0.5),  # another class
        ([(*OTHER, 0.9, 0), (*OTHER, 0.8, 2)], 0),
        ([], 0),
    ):
        assert find_again(one, detected(rows)).share == pytest.approx(share)
    again = find_again(one, detected([(*NEAR, 0.5, 0)]))
    assert again.share == 0.5
    assert again.iou == pytest.approx(0.9)
    assert again.score_difference == pytest.approx(-0.4)


def test_one_detection_is_not_found_twice():
    one = detected([(*BOX, 0.9, 0), (*NEAR, 0.8, 0)])
    assert find_again(one, detected([(*BOX, 0.9, 0)])).share == 0.5
    found, overlaps = pairs(one["detections"], one["detections"])
    assert found[0, :3].tolist() == [0, 1, -1]
    assert overlaps[0, :3] == pytest.approx([1, 1, 0])


def test_where_the_reference_answers_nothing_so_shall_the_other():
    nothing, unsure = detected([]), detected([(*BOX, 0.2, 0)])
    assert find_again(nothing, unsure).share == 1
    assert find_again(nothing, detected([(*BOX, 0.4, 0)])).share == 0
    assert np.isnan(find_again(nothing[:0], nothing[:0]).share)


def test_the_divergence_is_the_weighed_sum_over_the_peaks():
    rng = np.random.default_rng(0)
    one, other = detected([], []), detected([], [])
    one["peaks"], other["peaks"] = rng.normal(-3, 3, (2, 2, PEAKS))
    found = kl_by_photo(one, other)
    p, q = (1 / (1 + np.exp(-kept["peaks"].astype(float))) for kept in (one, other))
    each = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert found == pytest.approx((np.maximum(p, q) * each).sum(1) / (1 + p.sum(1)), rel=1e-6)
    assert kl_by_photo(one, one) == pytest.approx(0, abs=1e-12)


def test_a_broken_photo_has_no_divergence_and_a_file_of_detections_neither():
    one, other = detected([], []), detected([], [])
    other["peaks"][1, 3] = np.nan
    found = kl_by_photo(one, other)
    assert found[0] == 0
    assert np.isnan(found[1])
    ends = np.zeros(2, kept_type(3, 0))
    assert np.isnan(kl_by_photo(one, ends)).all()
    assert np.isnan(kl_by_photo(ends, ends)).all()
    with pytest.raises(UsageError, match="2 and 1 photos"):
        kl_by_photo(one, other[:1])
    with pytest.raises(UsageError, match="3 and 2 classes"):
        kl_by_photo(one, np.zeros(2, kept_type(2, PEAKS)))


def test_alike_answers_let_expect_no_loss_and_worse_ones_more():
    kept, _ = scene(40, 3, seed=1)
    assert expected_drop(kept, kept) == 0
    drops = []
    for shift in (0.002, 0.02, 0.2):
        other = kept.copy()
        noise = np.random.default_rng(0).normal(0, shift, (40, 100, 4))
        sides = other["detections"][..., 2:4] - other["detections"][..., :2]
        other["detections"][..., :4] += noise * np.concatenate([sides, sides], -1)
        drops.append(expected_drop(kept, other))
    assert 0 < drops[0] < drops[1] < drops[2] < 1
    nothing = kept.copy()
    nothing["detections"] = 0
    assert 0.2 < expected_drop(kept, nothing) < 1
    assert np.isnan(expected_drop(nothing, kept))


def test_scores_in_another_order_let_expect_a_loss():
    one = detected([(*BOX, 0.9, 0), (*OTHER, 0.1, 0)])
    other = detected([(*OTHER, 0.9, 0), (*BOX, 0.1, 0)])
    assert expected_drop(one, other) > 0.1
    fewer = detected([(*BOX, 0.9, 0)])
    assert 0 < expected_drop(one, fewer) < 0.1


def test_the_credit_of_a_box_is_its_chance_to_be_right():
    """Against truths that are drawn as the model has them."""
    rng = np.random.default_rng(0)
    offsets = rng.uniform(0, 0.5, 200_000)
    for overlap in (1.0, 0.97, 0.8, 0.4):
        reached = 1 - np.sqrt(offsets**2 + (1 - overlap) ** 2)
        chance = [(reached >= limit).mean() for limit in LIMITS]
        assert credit(np.array([overlap]))[0] == pytest.approx(chance, abs=5e-3)


def test_the_expected_loss_is_that_of_drawn_truths():
    """Truths are drawn from the reference's scores with its own boxes: AP50 of both, in the mean.

    At an IoU of 0.5 the model takes each of them as right.
    """
    rng = np.random.default_rng(0)
    cells = [(y, x, y + 0.1, x + 0.1) for y in np.arange(0, 1, 0.1) for x in np.arange(0, 1, 0.1)]
    photos = []
    for _ in range(8):
        scores = np.sort(1 / (1 + np.exp(-rng.normal(-2, 2, 100))))[::-1]
        places = rng.permutation(100)
        photos.append(
            [(*cells[place], score, place % 2) for place, score in zip(places, scores, strict=True)]
        )
    one = detected(*photos)
    other = detected(*([row for row in rows if rng.random() < 0.7] for rows in photos))
    drops = []
    for _ in range(60):
        truths = labelled(
            *([(*row[:4], row[5]) for row in rows if rng.random() < row[4]] for rows in photos)
        )
        first, second = (
            mean_precision(average_precisions(match(form, truths)), 0) for form in (one, other)
        )
        drops.append(first - second)
    error = np.std(drops) / np.sqrt(60)
    assert 0.05 < np.mean(drops) < 0.5
    assert expected_drops(one, other)[0] == pytest.approx(np.mean(drops), abs=0.01 + 3 * error)
