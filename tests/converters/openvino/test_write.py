"""The written models compute what the Graph computes, in float and in 8 bits."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from prerequisites import NEEDS
from tiny_openvino import VNNI

pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)

from edgekit.calibration.activations import rounded_at_kernels
from edgekit.calibration.mixed import keep_float
from edgekit.calibration.pair_sums import fit_pairs
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.converters.openvino import write as openvino
from edgekit.converters.openvino.write import convert, save
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import MissingToolError, UsageError
from edgekit.networks.edit import without_classifier
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, WeightedNode
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import integers, reals
from edgekit.networks.torch_network import Network
from edgekit.targets.edgetpu.passes import pool_globally

SIDE, CLASSES = 33, 5
TINY = {"width": 0.1, "depth": 0.1, "mean": (120.0, 110.0, 100.0), "std": (60.0, 58.0, 57.0)}
#: Swish with gates, ReLU6 in both paddings (an odd side makes them differ), and EdgeTPU-S.
VARIANTS = {name: replace(SPECS[name], **TINY) for name in ("b0", "lite0", "es", "v2-b0")}
VARIANTS["lite0 symmetric"] = replace(VARIANTS["lite0"], padding="symmetric")
RECORD = Preprocessing(
    SIDE, TINY["mean"], TINY["std"], tuple(f"label {index}" for index in range(CLASSES))
)
#: Blocks of colours: noise of single pixels averages out on the way.
PIXELS = np.kron(
    np.random.default_rng(0).integers(0, 256, (16, 3, 3, 3)), np.ones((1, 11, 11, 1))
).astype(np.uint8)


@functools.cache
def float_graph(name: str) -> Graph:
    graph = build_graph(VARIANTS[name], classes=CLASSES, resolution=SIDE, seed=2)
    rng = np.random.default_rng(1)
    biases = {
        key: array + rng.normal(0, 0.3, array.shape).astype(np.float32)
        for key, array in graph.weights.items()
        if key.endswith(("/beta", "/bias"))
    }
    return prepare(graph.with_weights({**graph.weights, **biases}))


@functools.cache
def int8_graph(name: str) -> Graph:
    return quantized(float_graph(name))


def quantized(graph: Graph) -> Graph:
    graph, mean, std = absorb_normalization(graph, RECORD.mean, RECORD.std, "common-zero")
    inputs = ((PIXELS - np.float32(mean)) / np.float32(std)).astype(np.float32)
    fixed = fixed_ranges(graph, mean, std)
    ranges = choose_ranges(collect(graph, [inputs], skip=fixed), "mse")
    return quantize(graph, {**ranges, **fixed})


def nchw(values):
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def run(model, inputs):
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.openvino().compile_model(model, "CPU", settings)
    return np.concatenate([compiled(one[None])[0].copy() for one in inputs])


def torch_run(network, inputs):
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(inputs)).numpy()


def fake_quantizes(model):
    """Low, high and levels by the tensor that is rounded."""
    found = {}
    for op in model.get_ops():
        if op.get_type_name() == "FakeQuantize":
            low, high = (float(op.input_value(i).get_node().data) for i in (1, 2))
            name = op.get_friendly_name().removesuffix("/fake_quantize")
            found[name] = (low, high, op.get_attributes()["levels"])
    return found


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_float_model_computes_what_the_network_computes(name, io):
    graph = float_graph(name)
    normalised = nchw(RECORD.normalize(PIXELS))
    expected = torch_run(Network(graph), normalised)
    got = run(convert(graph, io=io, preprocessing=RECORD), PIXELS if io == "uint8" else normalised)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize(
    "name", ["b0", "lite0 symmetric", pytest.param("v2-b0", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("fewer", [True, False], ids=["at kernels", "throughout"])
def test_an_int8_model_computes_what_the_graph_rounded_at_its_kernels_computes(name, io, fewer):
    graph = int8_graph(name)
    inputs = quantized_input(graph)
    bare = rounded_at_kernels(graph, graph)
    expected = torch_run(Simulation(bare), inputs)
    model = convert(bare if fewer else graph, io=io, preprocessing=RECORD)
    got = run(model, PIXELS if io == "uint8" else inputs)
    # A sum in another order may fall on the other side of a tie, and then a step apart.
    assert np.abs(got - expected).mean() < 0.02 * expected.std(0).mean()


def quantized_input(graph):
    params = graph.quant[graph.input]
    steps = PIXELS.astype(np.float32) - 128 - params.zero_point[0]
    return nchw(steps * np.float32(params.scale[0]))


def test_kernels_and_nothing_else_read_rounded_values():
    graph = int8_graph("b0")
    found = fake_quantizes(convert(graph, io="float32", preprocessing=RECORD))
    read = {name for node in graph.nodes if isinstance(node, WeightedNode) for name in node.inputs}
    assert found.keys() == read
    for name, (low, high, levels) in found.items():
        scale, zero_point = graph.quant[name].scale[0], graph.quant[name].zero_point[0]
        ends = ((-128 - zero_point) * scale, (127 - zero_point) * scale)
        assert levels == 256
        assert (low, high) == pytest.approx(ends, rel=1e-6)


def constants(model):
    """By name: the values that a kernel or bias stands for, and the type that it is stored in."""
    found = {}
    for op in model.get_ops():
        if op.get_type_name() == "Constant":
            found[op.get_friendly_name()] = (op.data.copy(), op.get_element_type().to_string())
    return found


def test_weights_are_the_integers_of_the_graph_that_fits_pairs():
    graph = fit_pairs(int8_graph("b0"))
    found = constants(convert(graph, preprocessing=RECORD))
    for node in graph.nodes:
        if not isinstance(node, WeightedNode):
            continue
        kernel, bias = f"{node.name}/kernel", f"{node.name}/bias"
        values, kind = found[kernel]
        assert kind == "i8"
        wanted = integers(graph.weights[kernel], graph.quant[kernel])
        np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(wanted, axis=None))
        wanted = reals(graph.weights[bias], graph.quant[bias])
        np.testing.assert_allclose(found[bias][0].ravel(), wanted, rtol=1e-6)


#: Runs every .xml of a folder on the photos in it, with what oneDNN sees of the processor.
RUNNER = """
import sys
from pathlib import Path
import numpy as np
from edgekit.runtimes.open import open_classifier
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.xml")):
    answers = open_classifier(path).run(np.load(folder / "p.npy"))
    np.save(path.with_suffix(f".{sys.argv[2]}.npy"), answers)
"""


@pytest.mark.slow  # starts two processes; that kernels fit pairs has a test of its own, above
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="pairs saturate on x86")
def test_answers_are_the_same_without_int8_dot_products(tmp_path):
    """With the instructions hidden, as oneDNN allows; a kernel that does not fit shows it."""
    graph = saturating(int8_graph("lite0"))
    np.save(tmp_path / "p.npy", PIXELS)
    save(convert(graph, preprocessing=RECORD), tmp_path / "fitted.xml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "fit_pairs", lambda graph: graph)
        save(convert(graph, preprocessing=RECORD), tmp_path / "whole.xml")
    for isa in ("AVX512_CORE_AMX", "AVX2"):
        subprocess.run(
            [sys.executable, "-c", RUNNER, str(tmp_path), isa],
            env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
            check=True,
            timeout=300,
        )
    answers = {path.name: np.load(path) for path in tmp_path.glob("*.*.npy")}
    np.testing.assert_array_equal(answers["fitted.AVX2.npy"], answers["fitted.AVX512_CORE_AMX.npy"])
    if VNNI:
        apart = np.abs(answers["whole.AVX2.npy"] - answers["whole.AVX512_CORE_AMX.npy"])
        assert apart.max() > 0.05 * np.abs(answers["fitted.AVX2.npy"]).max()


def saturating(graph):
    """The network with kernels of one sign, so that sums of large bytes leave 16 bits."""
    kernels = [f"{n.name}/kernel" for n in graph.nodes if isinstance(n, Conv2D)]
    positive = {name: np.abs(graph.weights[name]) for name in kernels[:3]}
    return graph.with_weights({**graph.weights, **positive})


def test_what_has_no_scale_stays_float():
    graph = int8_graph("b0")
    kept = next(
        n for n in graph.nodes if isinstance(n, WeightedNode) and graph.input not in n.inputs
    )
    mixed = keep_float(graph, [kept.name])
    model = convert(mixed, preprocessing=RECORD)
    assert "f32" in constants(model)[f"{kept.name}/kernel"][1]
    assert fake_quantizes(model).keys() == fake_quantizes(
        convert(graph, preprocessing=RECORD)
    ).keys() - {kept.inputs[0]}


def test_global_pools_and_embeddings():
    graph = pool_globally(float_graph("lite0"))
    normalised = nchw(RECORD.normalize(PIXELS))
    expected = torch_run(Network(graph), normalised)
    np.testing.assert_allclose(
        run(convert(graph, preprocessing=RECORD), PIXELS), expected, atol=1e-4
    )
    headless = convert(prepare(without_classifier(float_graph("lite0"))), preprocessing=RECORD)
    assert not headless.has_rt_info(["model_info"])
    assert len(headless.output().shape) == 2


def test_operators_and_ends_have_the_names_of_the_graph():
    graph = float_graph("b0")
    model = convert(graph, preprocessing=RECORD)
    names = {op.get_friendly_name() for op in model.get_ops()}
    gates = {f"{name}_sigmoid" for name in names if f"{name}_swish" in names}
    assert {graph.input, *(node.name for node in graph.nodes)} - gates <= names
    assert model.input().get_any_name() == graph.input
    assert graph.output in model.output().get_names()
    assert list(model.output().shape) == [1, CLASSES]


@pytest.mark.parametrize(
    ("graph", "io", "mean"),
    [
        (float_graph, "uint8", (0.0,) * 3),
        (float_graph, "float32", RECORD.mean),
        (int8_graph, "uint8", (0.0,) * 3),
        (int8_graph, "float32", (110.0,) * 3),
    ],
)
def test_the_record_says_how_a_photo_is_prepared(graph, io, mean):
    model = convert(graph("lite0"), io=io, preprocessing=RECORD)

    def said(*path):
        return model.get_rt_info(list(path)).astype(str)

    record = Preprocessing.from_dict(
        {**json.loads(said("edgekit", "preprocessing")), "labels": list(RECORD.labels)}
    )
    assert record.mean == pytest.approx(mean)
    assert tuple(json.loads(said("edgekit", "labels"))) == RECORD.labels
    assert said("model_info", "labels").split() == [f"label_{index}" for index in range(CLASSES)]
    assert said("model_info", "model_type") == "Classification"
    assert model.has_rt_info(["model_info", "mean_values"]) == (io == "float32")
    assert model.has_rt_info(["edgekit", "quantizer"]) == (graph is int8_graph)


def test_equal_networks_give_equal_files(tmp_path):
    graph = int8_graph("b0")
    for name in ("one.xml", "two.xml"):
        save(convert(graph, preprocessing=RECORD), tmp_path / name)
    for suffix in (".xml", ".bin"):
        one, two = (tmp_path / (name + suffix) for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_half_a_file_computes_the_same(tmp_path):
    model = convert(float_graph("b0"), preprocessing=RECORD)
    save(model, tmp_path / "whole.xml")
    save(model, tmp_path / "half.xml", half=True)
    whole, half = ((tmp_path / f"{name}.bin").stat().st_size for name in ("whole", "half"))
    assert half < 0.55 * whole
    read = openvino.openvino().Core().read_model(tmp_path / "half.xml")
    expected = run(model, PIXELS)
    np.testing.assert_allclose(run(read, PIXELS), expected, atol=1e-2 * np.abs(expected).max())


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    model = convert(float_graph("lite0"), preprocessing=RECORD)
    save(model, tmp_path / "m.xml")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(openvino.openvino(), "save_model", fail)
    with pytest.raises(KeyboardInterrupt):
        save(model, tmp_path / "m.xml")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_cannot_be_written_is_refused(tmp_path):
    graph = int8_graph("lite0")
    with pytest.raises(UsageError, match="unknown input type"):
        convert(graph, io="int8", preprocessing=RECORD)
    bare = replace(graph, quant={k: v for k, v in graph.quant.items() if k != graph.input})
    with pytest.raises(UsageError, match="has no scale"):
        convert(bare, preprocessing=RECORD)
    with pytest.raises(UsageError, match=r"\.xml"):
        save(convert(graph, preprocessing=RECORD), tmp_path / "m.onnx")


def test_without_openvino_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingToolError) as caught:
        convert(float_graph("lite0"), preprocessing=RECORD)
    assert caught.value.hint == 'pip install "edgekit[openvino]"'
