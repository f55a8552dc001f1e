"""The journal of a search: nothing is trained twice, and nothing is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.search.study.objective import Objective
from edgekit.search.study.results import gather, rows_to_show
from edgekit.search.study.settings import SAMPLERS, Settings
from edgekit.search.study.store import Store
from edgekit.search.study.trials import LONG, SHORT, finalists

BASE = replace(scale_spec(SPECS["lite0"], width=0.2), resolution=64)


def costed(spec):
    return float(cost(build_graph(spec, classes=3, seed=None)).macs)


def settings(**changes) -> Settings:
    own = Settings(
        "size",  # of few choices: each is a line of the journal
        SPECS["lite0"],
        BASE,
        64,
        Objective("macs", 1),
        trials=6,
        epochs=1,
        finalists=3,
        final_epochs=2,
        sampler="tpe",
        seed=0,
        options={},
        data="photos",
        classes=3,
    )
    target = int(costed(BASE))
    return replace(own, objective=Objective("macs", target), **changes)


def opened(folder: Path, wanted: Settings) -> Store:
    return Store(folder, wanted, costed)


def finish(store, study, claimed, accuracy):
    reward = store.settings.objective.reward(accuracy, claimed.trial.cost)
    found = {"accuracy": accuracy, "reward": reward, "seconds": 1.0}
    store.finish(study, claimed.trial.number, found)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_ends_after_as_many_networks_as_were_asked_for(tmp_path, sampler):
    wanted = settings(sampler=sampler)
    store = opened(tmp_path, wanted)
    trained = []
    while (claimed := store.claim()) is not None:
        trained.append(wanted.space.spec(claimed.trial.picks, "x"))
        assert claimed.trial.cost <= 1.5 * wanted.objective.target
        assert not claimed.is_resumed
        finish(store, SHORT, claimed, 0.1 * len(trained))
    assert len(trained) == len({*trained}) == 6
    assert trained[0] == wanted.space.spec(wanted.space.of_base(), "x")
    skipped = [trial for trial in store.trials() if trial.problem]
    assert all(trial.accuracy is None for trial in skipped)


def test_of_a_listed_space_every_network_is_tried_once_and_the_papers_first(tmp_path):
    base = replace(settings(), kind="scaling")
    target = 2 * int(cost(build_graph(BASE, classes=3, seed=None)).macs)
    wanted = replace(base, objective=Objective("macs", target), trials=1000)
    values = wanted.space.choices[0].values
    assert wanted.networks == len(values)
    store = opened(tmp_path, wanted)
    tried = []
    while (claimed := store.claim()) is not None:
        tried.append(claimed.trial.picks["scaling"])
        finish(store, SHORT, claimed, 0.01 * len(tried))
    assert sorted(tried) == sorted(values)
    assert tried[0] == values[0]
    rows = rows_to_show(gather(store, wanted), wanted)
    assert [words.rpartition(", alpha")[0] for _, words in rows][-1] == "base"
    assert rows[0][1] == f"best, {tried[-1]}"
    assert len(rows) == len(values)


def test_nsga2_has_accuracy_and_cost_for_aims_and_others_the_reward(tmp_path):
    for sampler, count in (("nsga2", 2), ("tpe", 1)):
        (tmp_path / sampler).mkdir()
        store = opened(tmp_path / sampler, settings(sampler=sampler, trials=12))
        while (claimed := store.claim()) is not None:
            cost = claimed.trial.cost
            finish(store, SHORT, claimed, 0.5 + 0.1 * cost / store.settings.objective.target)
        study = store.studies[SHORT]
        assert len(study.directions) == count
        found = gather(store, store.settings)
        assert store.importance()
        if count == 2:  # the more it costs, the better it is: all that were trained
            assert {one.number for one in study.best_trials} == {one.of for one in found.front}
            assert len(found.front) > 6


def test_the_same_seed_proposes_the_same_networks(tmp_path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        store = opened(tmp_path / name, settings())
        while (claimed := store.claim()) is not None:
            finish(store, SHORT, claimed, 0.5)
        found.append([trial.picks for trial in store.trials()])
    assert found[0] == found[1]


def test_a_trial_that_a_process_left_behind_is_taken_by_the_next(tmp_path):
    wanted = settings(trials=2)

    def claim_and_die(folder):
        opened(folder, wanted).claim()
        os.kill(os.getpid(), signal.SIGKILL)

    context = multiprocessing.get_context("fork")
    process = context.Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = opened(tmp_path, wanted)
    again = store.claim()
    assert again.is_resumed
    assert again.trial.number == 0
    other = store.claim()
    assert (other.is_resumed, other.trial.problem) == (False, None)
    assert store.claim() is None
    assert store.is_busy(SHORT)
    finish(store, SHORT, again, 0.5)
    store.release(SHORT, other.trial.number)
    assert store.claim().trial.number == other.trial.number


def test_a_trial_belongs_to_one_process(tmp_path):
    wanted = settings()

    def work(folder, queue):
        store = opened(folder, wanted)
        while (claimed := store.claim()) is not None:
            queue.put((os.getpid(), claimed.trial.number))
            finish(store, SHORT, claimed, 0.5)

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    numbers = [queue.get(timeout=60)[1] for _ in range(6)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert queue.empty()
    assert len({*numbers}) == 6
    done = [trial for trial in opened(tmp_path, wanted).trials() if trial.accuracy is not None]
    assert sorted(numbers) == [trial.number for trial in done]


def test_the_best_and_the_base_are_trained_for_longer(tmp_path):
    wanted = settings(finalists=2)
    store, accuracies = opened(tmp_path, wanted), iter([0.1, 0.3, 0.9, 0.2, 0.8, 0.7])
    while (claimed := store.claim()) is not None:
        finish(store, SHORT, claimed, next(accuracies))
    before = gather(store, wanted)
    ranked = sorted((t for t in before.trials if t.reward), key=lambda t: -t.reward)
    assert before.best == ranked[0]
    assert finalists(list(before.trials), 2) == [ranked[0].number, ranked[1].number, 0]
    assert finalists(list(before.trials), 0) == []
    for _ in range(2):
        store.lay_out(LONG)  # by a second process, too
    found = []
    while (claimed := store.claim_next(LONG)) is not None:
        found.append(claimed.trial.of)
        finish(store, LONG, claimed, 0.5 + 0.1 * len(found))
    assert sorted(found) == sorted([ranked[0].number, ranked[1].number, 0])
    results = gather(store, wanted)
    assert {trial.of for trial in results.compared} == {*found}
    assert results.base.accuracy == 0.5 + 0.1 * (1 + found.index(0))
    assert results.ranking.n == 3
    assert -1 <= results.ranking.kendall_tau <= 1


def test_a_network_that_diverged_is_no_result(tmp_path):
    wanted = settings(trials=2)
    store = opened(tmp_path, wanted)
    first = store.claim()
    store.finish(SHORT, first.trial.number, {"problem": "training diverged"})
    numbers = []
    while (claimed := store.claim()) is not None:
        numbers.append(claimed.trial.number)
        finish(store, SHORT, claimed, 0.5)
    assert len(numbers) == 2
    assert gather(store, wanted).best.number in numbers
