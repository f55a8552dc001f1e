"""Sets of photos drawn with replacement, and what they say of a figure."""

import numpy as np
import pytest

from edgekit.tasks.bootstrap import deviation, draw_sets, interval


def test_each_set_has_as_many_photos_and_is_the_same_each_time():
    found = draw_sets(50, 20)
    assert found.shape == (20, 50)
    assert (found.sum(axis=1) == 50).all()
    assert np.array_equal(found, draw_sets(50, 20))
    assert draw_sets(0, 3).shape == (3, 0)


def test_the_mean_of_photos_varies_as_the_theory_says():
    values = np.random.default_rng(0).normal(3, 2, 400)
    means = draw_sets(400) @ values / 400
    error = values.std() / 20
    assert deviation(means) == pytest.approx(error, rel=0.1)
    low, high = interval(means)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_figures_that_are_not_known_are_left_out():
    assert interval(np.array([1.0, np.nan, 1.0])) == [1, 1]
    assert np.isnan(interval(np.array([np.nan]))).all()
    assert np.isnan(deviation(np.array([1.0, np.nan])))
