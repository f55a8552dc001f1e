"""Targets rewrite the network before its ranges are chosen; everything behind is of that one."""

import io
import json

import pytest

import edgekit
from edgekit.converters.tflite.file import read
from edgekit.data import synthetic
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import AveragePool2D, Mean
from edgekit.networks.quantization import scale_owners
from edgekit.options.build import BuildOptions
from edgekit.parity.compare import compare_executions
from edgekit.pipeline.plan import make_plan
from edgekit.system.console import Console
from edgekit.targets import registry
from edgekit.targets.base import Examination, Target

#: The last map is 2x2, so that the mean over it is one.
SMALL = {"resolution": 64, "epochs": 0, "calibration_count": 16, "threads": 1, "compile": False}
SMALL |= {"width": 0.1, "depth": 0.1}


@pytest.fixture(autouse=True)
def few_photos(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)


def operators(path):
    return [op.name for op in read(path).operators]


@pytest.mark.parametrize("head", ["classifier", pytest.param("none", marks=pytest.mark.slow)])
def test_the_edge_tpu_s_file_has_a_pool_and_agrees_with_its_network(tmp_path, head):
    run = edgekit.build("lite0", targets=["edgetpu"], head=head, out=tmp_path / "out", **SMALL)
    int8, fp32 = (operators(run.files[name]) for name in ("w8a8-static", "fp32"))
    assert (int8.count("AVERAGE_POOL_2D"), int8.count("MEAN")) == (1, 0)
    assert (fp32.count("AVERAGE_POOL_2D"), fp32.count("MEAN")) == (0, 1)
    output = read(run.files["w8a8-static"])
    assert output.tensors[output.outputs[0]].shape == (1, 1280 if head == "none" else 10)
    assert run.document["targets"][0]["status"] == "ready"
    found = compare_executions(run.folder, photos=3)
    assert found["ok"]
    # Every tensor has its float counterpart in the network as the target wanted it.
    assert "pool_average" in {tensor["tensor"] for tensor in found["tensors"]}
    agreement = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    assert agreement["torch float", "tflite float"]["mean_lsb"] < 0.01


@pytest.mark.slow  # targets/edgetpu/test_passes has the rewrite
def test_a_gated_network_keeps_its_means_where_maps_are_small(tmp_path):
    said = io.StringIO()
    console = Console(err=said)
    options = {"ranges": "minmax", "console": console, **SMALL}
    run = edgekit.build("b0", targets=["edgetpu"], out=tmp_path / "out", **options)
    before, _, _ = said.getvalue().partition("[1/")
    assert "edgetpu: b0" in before  # what it costs there, before any work
    assert "for comparison, lite0" in before
    assert "5.1 ms on the USB stick" in before
    assert "operators mapped in 1 subgraph" in run.document["targets"][0]["message"]
    kinds = {type(node) for node in run.graph.nodes}
    assert Mean in kinds
    assert AveragePool2D not in kinds


@pytest.mark.slow
def test_a_build_for_tflite_alone_is_as_it_was(tmp_path):
    run = edgekit.build("lite0", out=tmp_path / "out", **SMALL)
    names = operators(run.files["w8a8-static"])
    assert (names.count("AVERAGE_POOL_2D"), names.count("MEAN")) == (0, 1)
    record = next((run.folder / "stages").glob("calibrate-*")) / "stage.json"
    assert json.loads(record.read_text())["reads"]["targets"] == []


class Plain(Target):
    name, scheme = "plain", "w8a8-static"

    def examine(self, path, model=None):
        return Examination(path, model, ())


class Preparing(Plain):
    name, prepares = "preparing", True

    def prepare(self, graph):
        return graph


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        ([], []),
        ([Plain()], []),
        ([Preparing()], ["preparing"]),
        ([Preparing(), Plain(), registry.find("edgetpu")], ["preparing", "edgetpu"]),
    ],
)
def test_the_key_of_the_calibration_names_the_targets_that_prepare(targets, names):
    options = BuildOptions.make("lite0", **SMALL)
    stage = make_plan(options, targets=targets).stages["calibrate"]
    assert stage.reads["targets"] == names
    assert (stage.key == make_plan(options).stages["calibrate"].key) == (not names)


def test_a_size_that_a_target_cannot_take_is_refused_before_any_work(tmp_path):
    options = {**SMALL, "resolution": 193}
    with pytest.raises(UsageError, match="'block1a_se_squeeze' over a map of 97x97") as caught:
        edgekit.build("b0", targets=["edgetpu"], out=tmp_path / "out", **options)
    assert caught.value.hint == "a resolution of 192 or 224"
    assert not (tmp_path / "out" / "stages").exists()


@pytest.mark.parametrize(
    "options",
    [
        # tests/calibration/test_simulate.py trains such a scale
        pytest.param({"quantize": "qat", "qat_epochs": 1}, marks=pytest.mark.slow),
        {"bias_from": "statistics"},
    ],
)
def test_repairs_keep_the_pools_scale(tmp_path, options):
    options = {**SMALL, "batch_size": 16, **options}
    run = edgekit.build("lite0", targets=["edgetpu"], out=tmp_path / "out", **options)
    graph = Graph.load(run.files["quantized"])
    owners = scale_owners(graph)
    assert set(owners) == {"pool_average", "pool"}
    assert {graph.quant[name] for name in owners} == {graph.quant["head"]}
