"""What follows the ranges: corrected biases, layers in float, training in 8 bits, and a budget."""

import json
import shutil

import numpy as np
import pytest

import edgekit
from edgekit.calibration.pair_sums import fit_pairs
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.scheme import scheme
from edgekit.data import synthetic
from edgekit.errors import GateError, UsageError
from edgekit.networks.schemes import AT_KERNELS, MIXED, scheme_of
from edgekit.options.build import BuildOptions
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.stages.schemes import FROM_INT8, MakeScheme
from edgekit.runs import open_run
from edgekit.system.console import NullConsole

#: A network of few and narrow layers.
SMALL = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1}
SMALL |= {"width": 0.1, "depth": 0.1}


@pytest.fixture(autouse=True)
def few_photos(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build with its biases corrected, for copies of which other options are asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_COUNT", 64)
        patch.setattr(synthetic, "VAL_COUNT", 40)
        return edgekit.build("lite0", out=tmp_path_factory.mktemp("built") / "out", **SMALL)


def test_biases_are_corrected_unless_ranges_alone_are_asked_for(built, tmp_path):
    out = shutil.copytree(built.folder, tmp_path / "out")
    graphs = {}
    for quantize, run in {
        "ptq": built,
        "ranges": edgekit.build("lite0", quantize="ranges", out=out, **SMALL),
    }.items():
        graphs[quantize] = run.graph
        assert run.document["quantization"]["repair"] == quantize
        assert run.document["quantization"]["search"] is None
    bare, corrected = graphs["ranges"], graphs["ptq"]
    assert corrected.quant == bare.quant
    moved = [n for n, a in bare.weights.items() if not np.array_equal(a, corrected.weights[n])]
    assert moved
    assert all(name.endswith("/bias") for name in moved)


def test_biases_are_corrected_without_photos_where_asked(built, tmp_path):
    out = shutil.copytree(built.folder, tmp_path / "out")
    other = edgekit.build("lite0", bias_from="statistics", out=out, **SMALL)
    graphs = [built.graph, other.graph]
    differing = [
        n for n, a in graphs[0].weights.items() if not np.array_equal(a, graphs[1].weights[n])
    ]
    assert differing
    assert all(name.endswith("/bias") for name in differing)


def test_one_tensor_can_have_a_method_of_its_own(tmp_path):
    run = edgekit.build(
        "lite0",
        quantize="ranges",
        tensor_ranges=["stem=minmax"],
        out=tmp_path / "out",
        **SMALL | {"depth": 0.5},
    )
    ranges = next((run.folder / "stages").glob("quantize*")) / "ranges.json"
    tensors = json.loads(ranges.read_text())["tensors"]
    methods = {name: one["method"] for name, one in tensors.items()}
    for name, one in tensors.items():  # what is told is what the file has
        scale = (max(one["high"], 0) - min(one["low"], 0)) / 255
        assert run.graph.quant[name].scale[0] == pytest.approx(scale, rel=1e-5), name
    assert any("the sum" in one["why"] for one in tensors.values())  # untrained branches are zero
    assert methods["stem"] == "minmax"
    assert methods["head"] == "importance"
    assert "--tensor-range stem=minmax" in run.document["command"]
    with pytest.raises(UsageError, match="no calibrated tensor 'stam'"):
        edgekit.build("lite0", tensor_ranges=["stam=mse"], out=tmp_path / "other", **SMALL)


def test_training_in_8_bits_ends_with_an_int8_file_and_its_history(built, tmp_path):
    shutil.copytree(built.folder, tmp_path / "out")
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


@pytest.mark.slow  # converters/tflite/test_mixed has the file
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


def test_other_schemes_stand_beside_the_int8_file(built, tmp_path):
    shutil.copytree(built.folder, tmp_path / "out")
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


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """The folders of a build with ranges alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "TRAIN_COUNT", 64)
        patch.setattr(synthetic, "VAL_COUNT", 40)
        out = shutil.copytree(built.folder, tmp_path_factory.mktemp("run") / "out")
        edgekit.build("lite0", quantize="ranges", out=out, **SMALL)
    run, plan = open_run(out), make_plan(BuildOptions.make("lite0", quantize="ranges", **SMALL))
    return {stage: run.stages[role] for role, stage in plan.stages.items()}


def of(folders, role):
    """The folder of a role's stage."""
    return next(folder for stage, folder in folders.items() if stage.name.startswith(role))


def with_network(folders, folder):
    """The same folders, but another one with the quantized network."""
    return {
        stage: folder if stage.name.startswith("quantize") else old
        for stage, old in folders.items()
    }


def make(folders, folder, name, source=None):
    """Runs the stage that makes the network of another scheme."""
    folder.mkdir(exist_ok=True)
    quantized = next(stage for stage in folders if stage.name.startswith("quantize"))
    options = {"source": source, "thorough": False, "device": "cpu"}
    stage = MakeScheme(quantized=quantized, scheme=name, **options)
    stage.run(folder, NullConsole().progress, folders.__getitem__)
    return edgekit.Graph.load(folder / "model.graph")


def moved(graph, other):
    """The weights that differ."""
    return {n for n, array in graph.weights.items() if not np.array_equal(array, other.weights[n])}


@pytest.mark.parametrize("name", FROM_INT8)
def test_the_biases_of_every_scheme_with_rounded_kernels_are_corrected(bare, tmp_path, name):
    sources = (None, "photos", "statistics")
    left, *corrected = (make(bare, tmp_path / str(one), name, one) for one in sources)
    assert scheme_of(left) == (MIXED if name == AT_KERNELS else name)
    assert not moved(edgekit.Graph.load(of(bare, "calibrate") / "model.graph"), left)
    for graph in corrected:
        assert graph.quant == left.quant
        assert moved(graph, left)
        assert all(weight.endswith("/bias") for weight in moved(graph, left))
    assert moved(*corrected)


@pytest.mark.parametrize(
    ("options", "source", "needs"),
    [
        ({"quantize": "ranges"}, None, "quantize w8a8-static"),
        ({}, "photos", "correct biases"),
        ({"bias_from": "statistics"}, "statistics", "correct biases"),
        ({"quantize": "qat", "bias_from": "statistics"}, "statistics", "correct biases"),
        ({"quantize": "auto"}, "photos", "search within the budget"),
    ],
)
def test_other_schemes_start_before_the_training_in_8_bits(options, source, needs):
    files = [name for name in FROM_INT8 if name != AT_KERNELS]
    asked = BuildOptions.make("lite0", schemes=[*files, "fp16"], **options, **SMALL)
    stages = make_plan(asked).stages
    for name in files:
        stage = stages[f"quantize {name}"]
        assert (stage.source, stage.quantized.name) == (source, needs)
        assert stages[name].network is stage
    assert stages["fp16"].network.trained is stages["weights"]


def test_an_equalized_network_is_calibrated_again(bare, tmp_path):
    """16-bit ranges are those of the float network that the int8 one stands for."""
    graph = edgekit.Graph.load(of(bare, "calibrate") / "model.graph")
    doubled = {f"logits/{name}": 2 * graph.weights[f"logits/{name}"] for name in ("kernel", "bias")}
    graph.with_weights({**graph.weights, **doubled}).save(tmp_path / "float.graph")
    shutil.copy(of(bare, "quantize") / "model.graph", tmp_path)
    before, after = (
        make(folders, tmp_path / "out", "w8a16-static").quant
        for folders in (bare, with_network(bare, tmp_path))
    )
    assert after["head"].scale == pytest.approx(before["head"].scale, rel=1e-6)
    assert after["logits"].scale[0] == pytest.approx(2 * before["logits"].scale[0], rel=1e-3)


def test_what_a_search_taught_kernels_is_for_8_bits_alone(bare, tmp_path):
    """Other schemes have the scales, and the float network's kernels."""
    searched = edgekit.Graph.load(of(bare, "quantize") / "model.graph")
    kernel = "head/kernel"
    up = searched.weights[kernel] + np.asarray(searched.quant[kernel].scale, np.float32)
    searched.with_weights({**searched.weights, kernel: up}).save(tmp_path / "model.graph")
    shutil.copy(of(bare, "calibrate") / "model.graph", tmp_path / "float.graph")
    graph = edgekit.Graph.load(tmp_path / "float.graph")
    for name in FROM_INT8:
        found = make(with_network(bare, tmp_path), tmp_path / "out", name)
        np.testing.assert_array_equal(found.weights[kernel], graph.weights[kernel])
        scales = fit_pairs(searched.with_weights(graph.weights)) if name == AT_KERNELS else searched
        assert found.quant[kernel] == scales.quant[kernel]


def test_a_budget_is_a_gate_without_a_search_too(built, tmp_path, monkeypatch):
    shutil.copytree(built.folder, tmp_path / "out")
    from edgekit.pipeline import report_data as results

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
