"""The line from sums to networks, and the errors that are said of it."""

from __future__ import annotations

import pytest

from edgekit.search.tables.line import Check, Errors, Line, find_errors, fit_line


def test_a_line_takes_off_what_is_the_same_of_all_networks():
    sums = [100.0, 200.0, 400.0, 900.0]
    line = fit_line(sums, [30 + 1.1 * value for value in sums])
    assert line.offset == pytest.approx(30)
    assert line.slope == pytest.approx(1.1)
    assert line.at(300) == pytest.approx(360)
    assert Line().at(5) == 5


def test_small_networks_count_as_much_as_large_ones():
    # 10 % off at both ends: the line that is as far from either, in shares of them.
    line = fit_line([10.0, 10.0, 1000.0, 1000.0], [9.0, 11.0, 900.0, 1100.0])
    assert line.at(10) / 10 == pytest.approx(line.at(1000) / 1000, rel=0.02)


def test_errors_are_shares_and_the_order_counts_apart():
    found = find_errors([110.0, 180.0, 330.0], [100.0, 200.0, 300.0])
    assert found.mape == pytest.approx(0.1)
    assert found.bias == pytest.approx(0.1 / 3)
    assert found.kendall_tau == 1
    assert find_errors([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]).kendall_tau == -1
    assert find_errors([1.0, 1.0], [1.0, 2.0]).kendall_tau == 0  # no order at all


def test_a_sum_that_is_far_off_does_not_hold():
    good, bad = Errors(0.04, 0.0, 0.9), Errors(0.35, 0.1, 0.3)
    check = Check(8, 16, (1.0, 2.0), good, bad, bad)
    assert check.holds
    assert not Check(8, 16, (1.0, 2.0), bad, good, good).holds
