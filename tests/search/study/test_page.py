"""The page of a search: what it draws and says is what was found."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from edgekit.networks.efficientnet.spec import SPECS
from edgekit.search.study.drawings import MOST_CHOICES, draw_front, draw_importance, draw_network
from edgekit.search.study.objective import Objective, front
from edgekit.search.study.page import render, verdict
from edgekit.search.study.results import Ranking, Results
from edgekit.search.study.settings import Settings
from edgekit.search.study.trials import Trial

OBJECTIVE = Objective("macs", 20_000_000)
SETTINGS = Settings(
    "mbconv", SPECS["b0"], SPECS["b0"], 64, OBJECTIVE, 8, 2, 2, 7, "tpe", 0, {}, "photos", 10
)


def made(number: int, accuracy: float | None, cost: float, **changes: object) -> Trial:
    rng = np.random.default_rng(number)
    picks = {c.name: c.values[rng.integers(len(c.values))] for c in SETTINGS.space.choices}
    if number == 0:
        picks = dict(SETTINGS.space.of_base())
    reward = None if accuracy is None else OBJECTIVE.reward(accuracy, cost)
    trial = Trial(number, picks, cost, accuracy, reward, 10.0, None, number, f"found-{number}")
    return replace(trial, **changes)


@pytest.fixture(scope="module")
def results() -> Results:
    trials = [made(k, 0.3 + 0.05 * k, 15e6 + 1e6 * k) for k in range(6)]
    trials += [made(6, None, 90e6, problem="it costs too much", seconds=None)]
    longer = [made(k, 0.6 + 0.02 * k, 15e6 + 1e6 * k) for k in (0, 4, 5)]
    longer[2] = replace(longer[2], accuracy=0.65, reward=OBJECTIVE.reward(0.65, 20e6))
    places = front([(trial.accuracy, trial.cost) for trial in longer])
    best = max(longer, key=lambda trial: trial.reward)
    shares = {choice.name: 0.1 / (k + 1) for k, choice in enumerate(SETTINGS.space.choices)}
    chosen = tuple(longer[k] for k in places)
    return Results(tuple(trials), tuple(longer), best, chosen, Ranking(0.333, 3), shares)


def test_the_page_names_the_best_the_base_and_how_sure_the_order_is(results):
    page = render(results, SETTINGS)
    assert "found-4 has 68.00\u00a0% at 19,000,000 macs; the base, b0, 60.00\u00a0%" in page
    assert "Kendall tau of 0.33" in page
    assert "6 networks were trained at 64 px" in page
    assert "1 that were proposed cost too much" in page
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', page)
    assert rows == [("found-0", "base"), ("found-4", "best")]
    for text in SETTINGS.space.spec(results.best.picks, "x").stages:
        assert f"<code>{text}</code>" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_nothing_better_than_the_base_is_said_too(results):
    only = replace(results, best=results.finalists[0])
    assert "nothing that was tried is better than the base" in verdict(only, SETTINGS)
    none = Results((), (), None, (), None)
    assert "No network was trained" in verdict(none, SETTINGS)
    assert "<svg" not in render(none, SETTINGS)


def test_the_front_has_a_mark_for_each_network():
    points = [("a", 0.5, 10.0), ("b", 0.6, 20.0), ("c", 0.4, 30.0)]
    drawn = str(draw_front(points, points[:2], ["a", "b"], "a", 15.0, "macs"))
    grey, blue = drawn.split('<g class="quantized">')
    assert (grey.count("<circle"), blue.count("<circle")) == (3, 2)
    assert "a 50.00 % at 10; b 60.00 % at 20" in drawn
    assert str(draw_front(points[:1], [], [], None, 15.0, "macs")) == ""
    names = str(draw_front(points, [("<b>", 0.5, 10.0)], ["<b>"], None, 15.0, "<i>"))
    assert "<b>" not in names
    assert "<i>" not in names


def test_the_choices_that_explain_most_come_first():
    shares = {f"choice_{k}": k / 100 for k in range(20)}
    drawn = str(draw_importance(shares))
    names = re.findall(r'class="name"[^>]*>choice (\d+)<', drawn)
    assert names == [str(k) for k in range(19, 19 - MOST_CHOICES, -1)]
    assert str(draw_importance({})) == ""


@pytest.mark.parametrize("name", ["b0", "v2-b0", "es"])
def test_a_network_is_drawn_block_by_block(name):
    stages = [str(stage) for stage in SPECS[name].scaled_stages()]
    drawn = str(draw_network(stages))
    assert drawn.count("<rect") == sum(stage.repeats for stage in SPECS[name].scaled_stages())
    fused = sum(stage.repeats for stage in SPECS[name].scaled_stages() if stage.fused)
    assert drawn.count('fill-opacity="0.9"') == fused
