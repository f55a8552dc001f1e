"""AP from matches is the library's, for all photos and for resampled ones."""

import dataclasses

import numpy as np
import pytest
from detections import detected, labelled, scene

from edgekit.tasks.detection import precision as module
from edgekit.tasks.detection.coco import evaluate_coco
from edgekit.tasks.detection.matching import AT_50, AT_75, match
from edgekit.tasks.detection.precision import (
    average_precisions,
    histogram,
    mean_precision,
    score_histogram,
)

KEPT, TRUTHS = scene(80, 4, seed=1)
MATCHES = match(KEPT, TRUTHS)


def test_all_figures_are_the_library_s():
    library, found = evaluate_coco(KEPT, TRUTHS), average_precisions(MATCHES)
    assert 0.1 < library.ap() < 0.9
    assert mean_precision(found) == pytest.approx(library.ap(), abs=1e-12)
    for limit in (AT_50, AT_75):
        assert mean_precision(found, limit) == pytest.approx(library.ap(limit), abs=1e-12)
    for k in range(4):
        assert found[k].mean() == pytest.approx(library.ap(category=k), abs=1e-12)


def test_a_set_with_a_photo_twice_is_as_if_there_were_two():
    weights = np.random.default_rng(0).multinomial(80, np.full(80, 1 / 80), 3).astype(float)
    found = average_precisions(MATCHES, weights, at_once=500)  # a set at a time
    for own, weight in zip(found, weights, strict=True):
        chosen = np.repeat(np.arange(80), weight.astype(int))
        again = average_precisions(match(KEPT[chosen], TRUTHS[chosen]))
        assert own == pytest.approx(again, abs=1e-12)


def test_a_class_without_a_box_does_not_count():
    truths = labelled([(0.1, 0.1, 0.5, 0.5, 0)])
    kept = detected([(0.1, 0.1, 0.5, 0.5, 0.9, 0), (0.1, 0.1, 0.5, 0.5, 0.8, 2)])
    found = average_precisions(match(kept, truths))
    assert np.isnan(found[1:]).all()
    assert mean_precision(found) == pytest.approx(1)
    assert np.isnan(mean_precision(average_precisions(match(kept, labelled([])))))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_over_photos_are_worth_the_same_within_a_thousandth(seed):
    kept, truths = scene(80, 4, seed)
    parts = [histogram(match(kept[part], truths[part])) for part in (slice(30), slice(30, None))]
    whole = [sum(values) for values in zip(*parts, strict=True)]
    assert len(whole) == 2 * 10 * 4 * module.BINS + 4
    assert whole == list(histogram(match(kept, truths)))
    assert score_histogram(whole) == pytest.approx(evaluate_coco(kept, truths).ap(), abs=1e-3)


def test_a_process_without_photos_adds_nothing():
    nothing = histogram(match(KEPT[:0], TRUTHS[:0]))
    assert len(nothing) == len(histogram(MATCHES))
    assert not any(nothing)
    assert np.isnan(score_histogram(nothing))


def test_scores_of_0_and_1_are_counted():
    kept = detected([(0.1, 0.1, 0.5, 0.5, 1.0, 0), (0.6, 0.6, 0.9, 0.9, 1e-30, 0)])
    sums = histogram(match(kept, labelled([(0.1, 0.1, 0.5, 0.5, 0)])))
    assert score_histogram(sums) == pytest.approx(1)
    assert sum(sums) == 10 + 20 + 1


def test_what_does_not_count_costs_nothing():
    """A crowd's detections with the highest scores change nothing."""
    truths = labelled([(0.1, 0.1, 0.5, 0.5, 0), (0.5, 0.5, 0.9, 0.9, 0)])
    boxes = dataclasses.replace(truths[0].boxes, crowds=np.array([False, True]))
    truths[0] = dataclasses.replace(truths[0], boxes=boxes)
    kept = detected([(0.6, 0.6, 0.8, 0.8, 0.9, 0), (0.1, 0.1, 0.5, 0.5, 0.5, 0)])
    matches = match(kept, truths)
    assert mean_precision(average_precisions(matches)) == pytest.approx(1)
    assert score_histogram(histogram(matches)) == pytest.approx(1)
