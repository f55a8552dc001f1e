"""What follows the ranges: corrected biases, layers in float, training in 8 bits, and a budget."""

import json

import numpy as np
import pytest

import edgekit
from edgekit import synthetic
from edgekit.console import NullConsole
from edgekit.converters.tflite_file import read
from edgekit.errors import GateError, UsageError
from edgekit.inspection import scheme

#: A network of few and narrow layers, which TensorFlow converts in a second.
SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 2}
SMALL |= {"width": 0.1, "depth": 0.1}


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


def test_biases_are_corrected_without_photos_where_asked(tmp_path):
    graphs = [
        edgekit.build("lite0", bias_from=source, out=tmp_path / source, **SMALL).graph
        for source in ("photos", "statistics")
    ]
    differing = [
        n for n, a in graphs[0].weights.items() if not np.array_equal(a, graphs[1].weights[n])
    ]
    assert differing
    assert all(name.endswith("/bias") for name in differing)


def test_one_tensor_can_have_a_method_of_its_own(tmp_path):
    run = edgekit.build(
        "lite0", quantize="ranges", tensor_ranges=["stem=minmax"], out=tmp_path / "out", **SMALL
    )
    ranges = next((run.folder / "stages").glob("quantize*")) / "ranges.json"
    methods = {name: t["method"] for name, t in json.loads(ranges.read_text())["tensors"].items()}
    assert methods["stem"] == "minmax"
    assert methods["head"] == "mse"
    assert "--tensor-range stem=minmax" in run.document["command"]
    with pytest.raises(UsageError, match="no calibrated tensor 'stam'"):
        edgekit.build("lite0", tensor_ranges=["stam=mse"], out=tmp_path / "out", **SMALL)


def test_training_in_8_bits_ends_with_an_int8_file_and_its_history(tmp_path):
    run = edgekit.build(
        "lite0", quantize="qat", qat_epochs=2, batch_size=16, out=tmp_path / "out", **SMALL
    )
    assert [epoch["epoch"] for epoch in run.document["quantization"]["qat"]["history"]] == [1, 2]
    assert scheme(read(run.files["w8a8-static"])) == "w8a8-static"
    before = next((tmp_path / "out" / "stages").glob("correct-biases*")) / "model.graph"
    before = edgekit.Graph.load(before)
    assert any(not np.array_equal(a, run.graph.weights[n]) for n, a in before.weights.items())
    assert run.rows[-1]["stage"] == "w8a8-tflite"
    assert not list((tmp_path / "out" / "stages").glob("train-w8a8*/checkpoint*"))


def test_layers_in_float_make_a_file_of_another_name(tmp_path):
    class Listening(NullConsole):
        def note(self, text):
            said.append(text)

    said = []
    run = edgekit.build("b0", keep_float=2, out=tmp_path / "out", console=Listening(), **SMALL)
    assert any(text.startswith("int8 risk of b0-w0.1-d0.1: high") for text in said)
    assert run.document["quantization"]["risk"].startswith("high: swish and squeeze-excite")
    assert scheme(read(run.files["w8a8-mixed"])) == "mixed"
    layers = run.document["quantization"]["float_layers"]
    assert len(layers) >= 3
    warning = next(text for text in run.document["warnings"] if "mixed precision" in text)
    assert layers[0] in warning
    assert "w8a8-static" not in run.files


def test_the_edge_tpu_takes_no_layer_in_float(tmp_path):
    with pytest.raises(UsageError, match="not for the target edgetpu"):
        edgekit.build(
            "b0", keep_float=2, targets=["tflite", "edgetpu"], out=tmp_path / "out", **SMALL
        )
    assert not (tmp_path / "out").exists()


def test_other_schemes_stand_beside_the_int8_file(tmp_path):
    schemes = ["fp16", "w8-dynamic", "w8a16-static"]
    run = edgekit.build("lite0", schemes=schemes, out=tmp_path / "out", **SMALL)
    rows = {row["stage"]: row for row in run.rows}
    assert list(rows) == [
        "fp32-torch",
        "fp32-tflite",
        *(f"{name}-tflite" for name in schemes),
        "w8a8-sim",
        "w8a8-tflite",
    ]
    for name in schemes:
        assert scheme(read(run.files[name])) == name
        assert rows[f"{name}-tflite"]["latency_ms"]["n"] > 0
        assert rows[f"{name}-tflite"]["kl"] < 0.01
    assert rows["w8a16-static-tflite"]["kl"] < rows["w8a8-tflite"]["kl"]
    assert rows["fp16-tflite"]["size_bytes"] < 0.6 * rows["fp32-tflite"]["size_bytes"]
    assert rows["w8-dynamic-tflite"]["size_bytes"] < 0.5 * rows["fp32-tflite"]["size_bytes"]


def test_a_budget_is_a_gate_without_a_ladder_too(tmp_path, monkeypatch):
    from edgekit.pipeline import results

    make_rows = results.make_rows
    monkeypatch.setattr(
        results, "make_rows", lambda *a: [{**row, "drop_pp": 1.5} for row in make_rows(*a)]
    )
    run = edgekit.build("lite0", max_drop=1, out=tmp_path / "out", **SMALL)
    assert isinstance(run.problem, GateError)
    assert "--quantize auto" in run.problem.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "qat", "head": "none"}, "needs --head classifier"),
        ({"qat_epochs": 2}, "need --quantize qat"),
        ({"distill_only": True}, "need --quantize qat"),
        ({"quantize": "qat", "qat_epochs": 0}, "at least 1"),
        ({"keep_float": -1}, "must not be negative"),
        ({"quantize": "auto", "keep_float": 2}, "--keep-float needs --quantize ptq"),
        ({"tensor_ranges": ["stem"]}, "TENSOR=METHOD|not known"),
        ({"tensor_ranges": ["stem=best"]}, "'best' is not known"),
        ({"bias_from": "dice"}, "'dice' is not known"),
        ({"schemes": ["w4"]}, "--scheme 'w4' is not known"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        edgekit.build("lite0", **options)
