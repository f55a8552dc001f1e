"""Accuracy against cost, by the papers' formula; and what nothing beats."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.networks.cost import Cost
from edgekit.search.study.objective import COSTS, Objective, front


def test_a_doubled_cost_is_worth_five_percent():
    soft = Objective("macs", 1000)
    assert soft.reward(0.75, 1000) == 0.75
    # MnasNet, section 3: as good as the accuracy and the latency of the other.
    assert soft.reward(0.5 * 1.05, 2000) == pytest.approx(soft.reward(0.5, 1000), rel=1e-3)
    assert soft.reward(0.5, 500) > 0.5


def test_a_hard_target_punishes_what_is_above_it_alone():
    hard = Objective("macs", 1000, 0.0, -1.0)
    assert hard.reward(0.5, 10) == hard.reward(0.5, 1000) == 0.5
    assert hard.reward(0.5, 2000) == 0.25
    assert hard.is_far(1501)
    assert not hard.is_far(1500)


def test_each_cost_is_its_own():
    cost = Cost(parameters=1, macs=2, peak_activation=3)
    found = {name: of(cost) for name, of in COSTS.items()}
    assert found == {"macs": 2, "parameters": 1, "activations": 3}


@pytest.mark.parametrize(("target", "below"), [(0, -0.07), (10, 0.1), (10, float("nan"))])
def test_what_would_reward_a_higher_cost_is_refused(target, below):
    with pytest.raises(UsageError):
        Objective("macs", target, below)


def test_the_front_is_what_none_beats():
    points = [(0.5, 10.0), (0.6, 20.0), (0.55, 30.0), (0.6, 15.0), (0.4, 10.0), (0.7, 90.0)]
    assert front(points) == [0, 3, 5]
    assert front([]) == []
