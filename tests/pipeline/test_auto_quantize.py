"""``--quantize auto`` stops at the budget, resumes, and says what it did."""

import json

import numpy as np
import pytest

import edgekit
from edgekit.data import synthetic
from edgekit.errors import GateError
from edgekit.networks.graph import Graph
from edgekit.pipeline import auto_quantize as searching
from edgekit.pipeline import post_training as algorithms
from edgekit.pipeline.auto_quantize import Search, Trial, describe_search, held_out
from edgekit.tasks.classification.task import TASK

#: A network of few and narrow layers, which TensorFlow converts in a second.
SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1}
SMALL |= {"width": 0.1, "depth": 0.1}
INT8 = [name for name, _ in searching.REPAIRS]


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)
    monkeypatch.setattr(algorithms, "RECONSTRUCTION_STEPS", 2)
    monkeypatch.setattr(searching, "MIXED", (2,))


@pytest.fixture
def strict(monkeypatch):
    """No trial meets the budget."""
    evaluator = searching._Evaluator.__call__

    def judged(self, name, graph, seconds):
        trial = evaluator(self, name, graph, seconds)
        return Trial(**{**vars(trial), "drop_pp": 7.5, "met": False})

    monkeypatch.setattr(searching._Evaluator, "__call__", judged)


def test_it_stops_where_the_budget_holds(tmp_path):
    run = edgekit.build("lite0", quantize="auto", max_drop=100, out=tmp_path / "out", **SMALL)
    search = run.document["quantization"]["search"]
    assert [trial["name"] for trial in search["trials"]] == ["ranges"]
    assert search["met"]
    assert run.problem is None
    # Half of the photos choose; the others are measured without having had a say.
    assert len(search["chosen_on"]) == search["held_out"]["n"] == 20
    assert run.document["rows"][-1]["n"] == 40
    folder = next((tmp_path / "out" / "stages").glob("search*"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "float.graph",
        "model.graph",
        "search.json",
        "stage.json",
    ]


def test_no_rung_within_the_budget_keeps_the_best_and_ends_with_5(tmp_path, strict):
    run = edgekit.build(
        "lite0", quantize="auto", targets=["tflite", "edgetpu"], out=tmp_path / "out",
        compile=False, **SMALL,
    )  # fmt: skip
    search = run.document["quantization"]["search"]
    # The Edge TPU takes no layer in float, so that the last ones are left out, and said to be.
    assert [trial["name"] for trial in search["trials"]] == INT8
    assert "mixed precision" in search["skipped"][0]
    assert not search["met"]
    best = min(search["trials"], key=lambda trial: trial["kl"])
    assert search["chosen"] == best["name"]
    assert isinstance(run.problem, GateError)
    assert run.problem.exit_code == 5
    assert "loses 7.50 points" in run.problem.message
    assert "7.20 too many" in run.problem.cause
    assert run.files["w8a8-static"].exists()
    assert not list((tmp_path / "out" / "stages").glob("search*/checkpoint*"))
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(name in page for name in INT8)


@pytest.mark.slow  # calibration/test_mixed has the repair, whole/test_repair a build of it
def test_mixed_precision_is_the_last_rung_and_named(tmp_path, monkeypatch):
    evaluator = searching._Evaluator.__call__

    def judged(self, name, graph, seconds):
        trial = evaluator(self, name, graph, seconds)
        return Trial(**{**vars(trial), "met": name.endswith("in float")})

    monkeypatch.setattr(searching._Evaluator, "__call__", judged)
    run = edgekit.build("lite0", quantize="auto", out=tmp_path / "out", **SMALL)
    search = run.document["quantization"]["search"]
    assert [trial["name"] for trial in search["trials"]] == [*INT8, "2 tensors in float"]
    assert search["chosen"] == "2 tensors in float"
    assert run.document["quantization"]["scheme"] == "w8a8-mixed"
    assert [row["stage"] for row in run.rows][-2:] == ["w8a8-mixed-sim", "w8a8-mixed-tflite"]
    assert run.files["w8a8-mixed"].name.endswith("-w8a8-mixed.tflite")
    assert not list((tmp_path / "out").glob("*w8a8-static*"))
    assert any("mixed precision" in text for text in run.document["warnings"])


@pytest.mark.slow  # pipeline/test_stage has what a stage finds of an interrupted attempt
def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, strict, monkeypatch):
    options = {"quantize": "auto", "out": tmp_path / "out", **SMALL}
    tried = []

    def judged(self, name, graph, seconds, evaluator=searching._Evaluator.__call__):
        tried.append(name)
        if tried.count("equalization") == 1 and name == "equalization":
            raise KeyboardInterrupt
        return evaluator(self, name, graph, seconds)

    monkeypatch.setattr(searching._Evaluator, "__call__", judged)
    with pytest.raises(KeyboardInterrupt):
        edgekit.build("lite0", **options)
    run = edgekit.build("lite0", **options)
    assert tried == [*INT8[:3], *INT8[2:], "2 tensors in float"]
    names = [trial["name"] for trial in run.document["quantization"]["search"]["trials"]]
    assert names == [*INT8, "2 tensors in float"]


@pytest.mark.slow  # calibration/test_equalize has its parts
def test_an_equalized_network_is_compared_with_its_own_float_self(tmp_path, monkeypatch):
    evaluator = searching._Evaluator.__call__

    def judged(self, name, graph, seconds):
        trial = evaluator(self, name, graph, seconds)
        return Trial(**{**vars(trial), "met": name == "equalization"})

    monkeypatch.setattr(searching._Evaluator, "__call__", judged)
    run = edgekit.build("lite0", quantize="auto", out=tmp_path / "out", **SMALL)
    from edgekit.parity.executions import find_subject

    subject = find_subject(run.folder)
    kept = Graph.load(next((run.folder / "stages").glob("search*")) / "float.graph")
    plain = Graph.load(next((run.folder / "stages").glob("calibrate*")) / "model.graph")
    same = [np.array_equal(a, subject.reference.weights[n]) for n, a in kept.weights.items()]
    assert all(same)
    assert not all(np.array_equal(a, plain.weights[n]) for n, a in kept.weights.items())


@pytest.mark.slow
def test_an_embedding_is_judged_by_the_networks_classifier(tmp_path):
    run = edgekit.build(
        "lite0", quantize="auto", max_drop=100, head="none", out=tmp_path / "out", **SMALL
    )
    search = run.document["quantization"]["search"]
    assert 0 <= search["trials"][0]["agreement"] <= 1
    assert search["skipped"] == []
    assert search["held_out"]["n"] == 20


def trial(name, kl, met=False):
    return Trial(name, 1.25, 0.9, 0.5, 0.25, 0.975, kl, met)


def test_the_next_rung_starts_from_the_best_that_is_int8_throughout():
    search = Search(0.3, [1, 2, 3])
    for name, kl, int8 in (("a", 0.03, True), ("b", 0.01, True), ("c", 0.02, True)):
        search.add(trial(name, kl), int8=int8)
    assert (search.base, search.best, search.chosen) == (1, 1, "b")
    search.add(trial("d in float", 0.005), int8=False)
    assert (search.base, search.best) == (1, 3)
    search.add(trial("e in float", 0.006, met=True), int8=False)
    assert (search.base, search.chosen, search.met) == (1, "e in float", True)


def test_photos_that_chose_are_not_held_out():
    fp32, int8 = np.eye(4)[[0, 1, 2, 3]], np.eye(4)[[0, 1, 0, 3]]
    found = held_out(TASK, {"chosen_on": [0, 1]}, fp32, int8, np.arange(4))
    assert found["n"] == 2
    assert found["drop_pp"] == 50
    assert found["agreement"] == 0.5
    assert held_out(TASK, {"chosen_on": [0, 1, 2, 3]}, fp32, int8, np.arange(4)) is None


def test_a_search_in_words():
    search = {
        "chosen_on": [1, 2, 3],
        "trials": [vars(trial("ranges", 0.0123))],
        "skipped": ["mixed precision: a target takes int8 throughout"],
    }
    assert describe_search(search) == [
        "on the 3 validation photos that choose:",
        "  ranges: drop 0.50 pp (expected 0.25), agrees 97.50 %, KL 0.0123, 1.2 s",
        "  left out: mixed precision: a target takes int8 throughout",
    ]
    assert describe_search(None) == []
