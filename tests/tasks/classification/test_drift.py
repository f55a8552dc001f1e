"""Answers that have changed, and such that have not."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.classification.drift import _holm, confidence, energy, find_drift

LABELS = ("a", "b", "c")


def answers(n, seed, scale=2.0, shift=(0.0, 0.0, 0.0)):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (n, 3)) + np.asarray(shift)


def changed(drift):
    return {change.name for change in drift.changes if change.has_changed}


def test_the_same_distribution_has_not_changed():
    # A false alarm in a hundred logs: of twenty, none.
    for seed in range(20):
        drift = find_drift(answers(400, 100 + seed), answers(300, seed), LABELS)
        assert not drift.has_changed
        assert (drift.n, drift.n_before) == (300, 400)


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (answers(300, 1, scale=0.3), "confidence"),  # it is unsure of all
        (answers(300, 1, shift=(-4, -4, -4)), "energy"),  # as sure, of unlikely photos
        (answers(300, 1, shift=(3, 0, 0)), "class shares"),
    ],
)
def test_what_has_changed_is_named(now, wanted):
    drift = find_drift(answers(400, 0), now, LABELS)
    assert wanted in changed(drift)
    change = next(one for one in drift.changes if one.name == wanted)
    assert change.p_value < 1e-3


def test_a_shift_that_is_no_chance_but_tiny_does_not_count():
    drift = find_drift(answers(100_000, 0), answers(100_000, 1, scale=2.05), LABELS)
    assert min(change.p_value for change in drift.changes) < 0.01
    assert not drift.has_changed


def test_shares_are_of_the_answers():
    before = np.eye(3)[[0] * 20 + [1] * 20]
    now = np.eye(3)[[0] * 30 + [2] * 10]
    drift = find_drift(before, now, LABELS)
    assert drift.shares == {"a": (0.5, 0.75), "b": (0.5, 0.0), "c": (0.0, 0.25)}
    (shares,) = (change for change in drift.changes if change.name == "class shares")
    assert shares.distance == pytest.approx(0.5)
    one = find_drift(before[:20].repeat(2, 0), now[:30].repeat(2, 0), LABELS)
    assert not one.has_changed  # all of one class, then as now


def test_confidence_and_energy_are_as_defined():
    logits = np.array([[0.0, 0.0], [1000.0, 0.0]])
    assert confidence(logits) == pytest.approx([0.5, 1.0])
    assert energy(logits) == pytest.approx([-np.log(2), -1000.0])


def test_several_tests_are_as_strict_as_one():
    assert _holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert _holm([0.9, 0.9]) == [1.0, 1.0]


def test_what_cannot_be_compared_is_said():
    with pytest.raises(UsageError, match="20 answers say nothing"):
        find_drift(answers(400, 0), answers(20, 1), LABELS)
    with pytest.raises(UsageError, match="answers of 3 classes"):
        find_drift(np.zeros((40, 5)), answers(40, 1), LABELS)
