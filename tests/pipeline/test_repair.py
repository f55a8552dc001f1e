"""What follows the ranges: corrected biases, and a ladder that stops at a budget."""

import json

import numpy as np
import pytest

import edgekit
from edgekit import synthetic
from edgekit.errors import GateError
from edgekit.pipeline import repair
from edgekit.pipeline.repair import describe_climb

SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 2}


@pytest.fixture(autouse=True)
def few_photos(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)


def test_biases_are_corrected_unless_ranges_alone_are_asked_for(tmp_path):
    graphs = {}
    for quantize in ("ranges", "ptq"):
        run = edgekit.build("lite0", quantize=quantize, out=tmp_path / quantize, **SMALL)
        graphs[quantize] = run.graph
        assert run.document["quantization"]["repair"] == quantize
        assert run.document["quantization"]["ladder"] is None
    bare, corrected = graphs["ranges"], graphs["ptq"]
    assert corrected.quant == bare.quant
    moved = [n for n, a in bare.weights.items() if not np.array_equal(a, corrected.weights[n])]
    assert moved
    assert all(name.endswith("/bias") for name in moved)


def test_the_ladder_stops_where_the_budget_holds(tmp_path):
    run = edgekit.build("lite0", quantize="auto", max_drop=100, out=tmp_path / "out", **SMALL)
    ladder = run.document["quantization"]["ladder"]
    assert [rung["name"] for rung in ladder["rungs"]] == ["ranges"]
    assert ladder["met"]
    assert run.problem is None
    # Half of the photos choose; the others are measured without having had a say.
    assert len(ladder["chosen_on"]) == 20
    assert run.document["rows"][-1]["n"] == 40
    assert not list((tmp_path / "out" / "stages").glob("climb*/*.tflite"))


def test_a_ladder_that_ends_below_the_budget_keeps_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(repair, "DISTILLATION_STEPS", 2)
    judge = repair._Judge.__call__

    def strict(self, name, graph, seconds):
        rung = judge(self, name, graph, seconds)
        return repair.Rung(**{**vars(rung), "drop_pp": 7.5, "met": False})

    monkeypatch.setattr(repair._Judge, "__call__", strict)
    run = edgekit.build("lite0", quantize="auto", out=tmp_path / "out", **SMALL)
    ladder = run.document["quantization"]["ladder"]
    assert len(ladder["rungs"]) == 4
    assert not ladder["met"]
    best = min(ladder["rungs"], key=lambda rung: rung["kl"])
    assert ladder["chosen"] == best["name"]
    assert isinstance(run.problem, GateError)
    assert run.problem.exit_code == 5
    assert "loses 7.50 points" in run.problem.message
    assert "7.20 too many" in run.problem.cause
    assert run.files["w8a8-static"].exists()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rows"]


def test_a_budget_is_a_gate_without_a_ladder_too(tmp_path, monkeypatch):
    from edgekit.pipeline import results

    make_rows = results.make_rows
    monkeypatch.setattr(
        results, "make_rows", lambda *a: [{**row, "drop_pp": 1.5} for row in make_rows(*a)]
    )
    run = edgekit.build("lite0", max_drop=1, out=tmp_path / "out", **SMALL)
    assert isinstance(run.problem, GateError)
    assert "--quantize auto" in run.problem.hint


@pytest.mark.slow
def test_an_embedding_is_judged_by_the_networks_classifier(tmp_path):
    run = edgekit.build(
        "lite0", quantize="auto", max_drop=100, head="none", out=tmp_path / "out", **SMALL
    )
    assert 0 <= run.document["quantization"]["ladder"]["rungs"][0]["agreement"] <= 1


def test_a_climb_in_words():
    rung = repair.Rung("ranges", 1.25, 0.9, 0.5, 0.975, 0.0123, False)
    ladder = {"chosen_on": [1, 2, 3], "rungs": [vars(rung)]}
    assert describe_climb(ladder) == [
        "on the 3 validation photos that choose:",
        "  ranges: drop 0.50 pp, agrees 97.50 %, KL 0.0123, 1.2 s",
    ]
    assert describe_climb(None) == []
