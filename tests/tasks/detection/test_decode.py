"""Candidates and their boxes: effdet's."""

import numpy as np
import pytest

from edgekit.tasks.detection.decode import corners_of, find_candidates
from edgekit.tasks.detection.kept import detect, to_centers


def test_the_candidates_are_the_oracle_s(oracle):
    for photo in range(2):
        found = find_candidates(oracle.outputs[photo, :, 4:])
        logits = oracle.maps["topk_logit"][photo, :, 0]
        assert np.array_equal(found.logits, logits)
        tied = np.isin(logits, logits[1:][np.diff(logits) == 0])  # any order is right
        assert tied.sum() <= 4
        assert np.array_equal(found.anchors[~tied], oracle.maps["topk_anchor"][photo][~tied])
        assert np.array_equal(found.classes[~tied], oracle.maps["topk_class"][photo][~tied])


def test_the_detections_are_the_oracle_s(oracle):
    centers = to_centers(oracle.anchors)
    for photo in range(2):
        found = detect(oracle.outputs[photo], centers)
        wanted = oracle.maps["detections"][photo]
        assert np.abs(found[:, [1, 0, 3, 2]] - wanted[:, :4]).max() < 1e-4  # of 995 pixels
        assert np.abs(found[:, 4] - wanted[:, 4]).max() < 2e-7
        assert np.array_equal(found[:, 5] + 1, wanted[:, 5])


def test_offsets_move_and_stretch_an_anchor():
    centers = np.array([[10, 20, 4, 8]], np.float32)
    assert corners_of(np.zeros((1, 4)), centers).tolist() == [[8, 16, 12, 24]]
    moved = corners_of(np.array([[0.5, -0.25, np.log(2), np.log(0.5)]]), centers)
    assert moved[0] == pytest.approx([8, 16, 16, 20])


def test_a_side_has_a_largest_size():
    found = corners_of(np.array([[0, 0, 1000, 1000]]), np.ones((1, 4), np.float32))
    assert np.isfinite(found).all()


def test_of_equal_logits_the_lower_pair_comes_first():
    found = find_candidates(np.array([[1, 3, 3], [3, 2, 0]]), 4)
    assert list(zip(found.anchors.tolist(), found.classes.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    ]
    assert found.logits.tolist() == [3, 3, 3, 2]


def test_what_is_no_number_is_no_candidate():
    logits = np.array([[np.nan, 1], [-np.inf, np.nan], [0, np.nan]])
    found = find_candidates(logits)
    assert found.logits.tolist() == [1, 0]
    assert found.anchors.tolist() == [0, 2]


def test_the_highest_pairs_are_found_among_many():
    logits = np.random.default_rng(1).normal(size=(300, 7)).astype(np.float32)
    found = find_candidates(logits, 50)
    assert np.array_equal(found.logits, np.sort(logits.ravel())[::-1][:50])
    assert np.array_equal(logits[found.anchors, found.classes], found.logits)
