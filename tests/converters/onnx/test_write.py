"""The emitted ONNX files hold exactly the Graph's integers, and compute what it computes."""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgekit.calibration.mixed import keep_float
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.converters.onnx.package import package_onnx
from edgekit.converters.onnx.write import WEIGHT_TYPES, clips, convert
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import MissingToolError, UsageError
from edgekit.networks.edit import without_classifier
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import SpatialNode
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import KEEPS_SCALE, float_nodes, integers
from edgekit.networks.torch_network import Network
from edgekit.targets.edgetpu.passes import pool_globally, split_large_means

SIZE, CLASSES = 32, 5
TINY = {"width": 0.1, "depth": 0.1}
VARIANTS = {name: replace(SPECS[name], **TINY) for name in ("b0", "lite0", "es", "v2-b0")} | {
    "lite0 symmetric": replace(SPECS["lite0"], **TINY, padding="symmetric")
}
RECORD = Preprocessing(SIZE, (120.0, 110.0, 100.0), (60.0, 57.0, 55.0), tuple("abcde"))


def photos(count: int = 4, size: int = SIZE) -> np.ndarray:
    """Patches of random colours: unlike noise, they differ from each other after a mean."""
    patches = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return patches.repeat(size // 4, 1).repeat(size // 4, 2)


@functools.cache
def float_graph(name: str, size: int = SIZE) -> Graph:
    """A prepared network whose answers differ from photo to photo, as a trained one's do."""
    graph = build_graph(VARIANTS[name], classes=CLASSES, resolution=size, seed=2)
    rng = np.random.default_rng(1)
    shifted = {
        key: array + rng.normal(0, 0.3, array.shape).astype(np.float32)
        for key, array in graph.weights.items()
        if key.endswith(("/beta", "/bias"))
    }
    network = Network(replace(graph, weights={**graph.weights, **shifted}), bn_momentum=1.0)
    network.drop_connect = False
    with torch.no_grad():
        network.train()(torch.from_numpy(nchw(RECORD.normalize(photos(16, size)))))
    return prepare(network.to_graph())


def int8_graph(
    name: str, size: int = SIZE, rewrite: Callable[[Graph], Graph] = lambda graph: graph
) -> tuple[Graph, float, float]:
    graph, mean, std = absorb_normalization(
        rewrite(float_graph(name, size)), RECORD.mean, RECORD.std, "common-zero"
    )
    inputs = ((photos(16, size) - mean) / std).astype(np.float32)
    fixed = fixed_ranges(graph, mean, std)
    ranges = choose_ranges(collect(graph, [inputs], skip=fixed), "mse")
    return quantize(graph, {**ranges, **fixed}), mean, std


def options(optimized: str | None = None, level: str = "ORT_ENABLE_ALL"):
    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads, result.log_severity_level = 1, 3
    result.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    # Int8 weights have to be exact on the machine that runs the tests, whatever it is.
    result.add_session_config_entry("session.x64quantprecision", "1")
    if optimized:
        result.optimized_model_filepath = optimized
    return result


def run(contents: bytes, fed: np.ndarray, level: str = "ORT_ENABLE_ALL") -> np.ndarray:
    session = onnxruntime.InferenceSession(
        contents, options(level=level), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: one[None]})[0] for one in fed])


def nchw(fed: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(fed.transpose(0, 3, 1, 2).astype(np.float32))


def simulated(graph: Graph, pixels: np.ndarray) -> np.ndarray:
    """The float simulation, with ONNX's rounding: ties to even, those of an AveragePool too."""
    (scale,), (zero_point,) = graph.quant[graph.input].scale, graph.quant[graph.input].zero_point
    inputs = nchw((pixels.astype(np.float64) - 128 - zero_point) * scale)
    simulation = Simulation(graph).eval()
    simulation.roundings = {}
    with torch.inference_mode():
        return simulation(torch.from_numpy(inputs)).numpy()


def constants(contents: bytes) -> dict[str, np.ndarray]:
    graph = onnx.load_model_from_string(contents).graph
    return {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}


def assert_follows(found: np.ndarray, graph: Graph, pixels: np.ndarray, steps: float) -> None:
    """The answers are off by no more steps of the output, in half of the photos at least.

    A tie that falls the other way spreads through such small layers, now and then.
    """
    wanted = simulated(graph, pixels)
    scale = graph.quant[graph.output].scale[0]
    assert wanted.std(0).mean() > 5 * scale  # what is said of every photo alike proves nothing
    assert np.median(np.abs(found - wanted).mean(1)) < steps * scale


@pytest.fixture(
    scope="module",
    params=[
        "b0",
        "lite0",
        pytest.param("lite0 symmetric", marks=pytest.mark.slow),
        pytest.param("v2-b0", marks=pytest.mark.slow),
    ],
)
def int8(request):
    graph, mean, std = int8_graph(request.param)
    return graph, mean, std, convert(graph, io="uint8")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_float_file_computes_what_the_network_computes(name):
    graph = float_graph(name)
    inputs = nchw(RECORD.normalize(photos()))
    with torch.inference_mode():
        expected = Network(graph).eval()(torch.from_numpy(inputs)).numpy()
    limit = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(run(convert(graph), inputs), expected, atol=limit)


def test_a_float_file_normalises_bytes_itself_in_batches_of_any_size():
    graph = float_graph("b0")
    contents = convert(graph, io="uint8", preprocessing=RECORD, batch=None)
    expected = run(convert(graph), nchw(RECORD.normalize(photos(6))))
    session = onnxruntime.InferenceSession(contents, options(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", SIZE, SIZE, 3]
    assert session.get_outputs()[0].shape == ["batch", CLASSES]
    for count in (1, 6):
        (found,) = session.run(None, {graph.input: photos(6)[:count]})
        np.testing.assert_allclose(found, expected[:count], rtol=1e-3, atol=1e-4)


def test_the_file_holds_exactly_the_networks_integers(int8):
    graph, *_, contents = int8
    stored = constants(contents)
    for name, array in graph.weights.items():
        wanted = integers(array, graph.quant[name])
        if name.endswith("/bias"):
            np.testing.assert_array_equal(stored[f"{name}/int32"], wanted)
            continue
        found = stored[f"{name}/uint8"].astype(int) - 128
        order = {4: (2, 3, 1, 0), 3: (2, 3, 0, 1), 2: (1, 0)}[wanted.ndim]
        np.testing.assert_array_equal(found.transpose(order).reshape(wanted.shape), wanted)


def test_scales_and_zero_points_are_the_networks(int8):
    graph, *_, contents = int8
    stored = constants(contents)
    written = {node.name for node in graph.nodes if f"{node.name}/scale" in stored}
    assert written >= {node.name for node in graph.nodes if not KEEPS_SCALE[type(node)]}
    for name in (*written, *(weight for weight in graph.weights)):
        params = graph.quant[name]
        shift = 128 if params.dtype == "int8" else 0
        assert np.ravel(stored[f"{name}/scale"]).tolist() == list(np.float32(params.scale).tolist())
        found = np.ravel(stored[f"{name}/zero_point"]).astype(int) - shift
        assert found.tolist() == list(params.zero_point)


@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("level", ["ORT_ENABLE_ALL", "ORT_DISABLE_ALL"])
def test_the_int8_file_follows_the_simulation(int8, level, weights):
    graph, *_ = int8
    found = run(convert(graph, io="uint8", weights=weights), photos(8), level)
    assert_follows(found, graph, photos(8), 0.5)


def test_bytes_and_floats_give_the_same_answers(int8):
    graph, mean, std, contents = int8
    floats = nchw((photos() - np.float32(mean)) / np.float32(std))
    np.testing.assert_array_equal(run(convert(graph), floats), run(contents, photos()))


def test_the_two_kinds_of_weights_give_the_same_answers(int8):
    graph, *_, contents = int8
    found = run(convert(graph, io="uint8", weights="int8"), photos())
    np.testing.assert_array_equal(found, run(contents, photos()))


def test_onnx_runtime_computes_all_of_it_on_integers(int8, tmp_path):
    graph, *_, contents = int8
    path = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(contents, options(path), providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(path).graph.node)
    kinds = Counter(type(node).__name__ for node in graph.nodes)
    assert found == {
        "Transpose": found["Transpose"],  # of the bytes, and where it has NHWC kernels
        "QLinearConv": kinds["Conv2D"] + kinds["DepthwiseConv2D"],
        "QLinearGlobalAveragePool": kinds["Mean"],
        "QGemm": 1,
        "Flatten": 1,
        "DequantizeLinear": 1,
    } | {
        name: kinds[kind]
        for name, kind in [
            ("QLinearSigmoid", "Activation"),
            ("QLinearMul", "Mul"),
            ("QLinearAdd", "Add"),
        ]
        if kinds[kind]
    }


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize("rewrite", [lambda graph: graph, pool_globally])
@pytest.mark.parametrize("name", ["b0", pytest.param("lite0 symmetric", marks=pytest.mark.slow)])
def test_every_operator_reads_dequantized_tensors_and_is_quantized(name, rewrite, io):
    """Compilers of integer processors (Qualcomm's QNN) take no operator that lacks one."""
    graph, *_ = int8_graph(name, rewrite=rewrite)
    model = onnx.load_model_from_string(convert(graph, io=io)).graph
    produced = {output: node.op_type for node in model.node for output in node.output}
    readers: dict[str, set[str]] = {}
    for node in model.node:
        for source in node.input:
            readers.setdefault(source, set()).add(node.op_type)
    limits = ("Clip", "Relu")  # which are part of the convolution before them
    seen = set()
    for node in model.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        seen.add(node.op_type)
        wanted = {"Conv"} if node.op_type in limits else {"DequantizeLinear"}
        assert {produced[source] for source in node.input[:2] if source in produced} == wanted
        if not readers[node.output[0]] <= set(limits):
            assert readers[node.output[0]] == {"QuantizeLinear"}
    assert {"Flatten", "Gemm"} <= seen
    assert ("Transpose" in seen) == (io == "uint8")


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize("quantized", [True, False])
def test_nothing_in_a_file_is_unused(quantized, io):
    graph = int8_graph("b0")[0] if quantized else float_graph("b0")
    model = onnx.load_model_from_string(convert(graph, io=io, preprocessing=RECORD)).graph
    read = Counter(name for node in model.node for name in node.input)
    written = [name for node in model.node for name in node.output]
    stored = [item.name for item in model.initializer]
    assert {*written, *stored, graph.input} - read.keys() == {graph.output}
    assert len({*written, *stored}) == len(written) + len(stored)
    assert "Identity" not in {node.op_type for node in model.node}
    assert {node.name for node in graph.nodes} <= {*written}


@pytest.mark.slow
@pytest.mark.parametrize("head", ["classifier", "none"])
@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_pools_keep_their_scale(name, head):
    def pooled(graph: Graph) -> Graph:
        graph = pool_globally(split_large_means(graph, 256))  # 32x32 is larger
        return without_classifier(graph) if head == "none" else graph

    graph, *_ = int8_graph(name, 64, pooled)
    contents = convert(graph, io="uint8")
    kinds = [node.op_type for node in onnx.load_model_from_string(contents).graph.node]
    assert kinds.count("AveragePool") == 1 + (name == "b0")
    assert kinds.count("Flatten") == 1
    found = run(contents, photos(8, 64))
    assert found.shape == (8, *graph.shapes[graph.output])
    assert_follows(found, graph, photos(8, 64), 3)


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_a_mixed_network_computes_its_float_layers_in_float(name):
    graph, *_ = int8_graph(name)
    spatial = [node.name for node in graph.nodes if isinstance(node, SpatialNode)]
    mixed = keep_float(graph, spatial[3:5])
    kept = set(float_nodes(mixed))
    assert 0 < len(kept) < len(mixed.nodes)
    contents = convert(mixed, io="uint8")
    stored = constants(contents)
    for node in mixed.nodes:
        for weight in node.weight_names():
            assert (weight in stored) == (node.name in kept)
    assert not any(f"{name}/scale" in stored for name in spatial[3:5])
    assert_follows(run(contents, photos(8)), mixed, photos(8), 0.5)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("zero_point", [-128, -127, 0])
@pytest.mark.parametrize("scale", [0.01, 5.97 / 255, 6 / 255, 6.02 / 255, 6.03 / 255, 0.1])
def test_an_activation_is_left_out_just_where_rounding_does_it_all(activation, zero_point, scale):
    params = QuantParams((scale,), (zero_point,))

    def rounded(values: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127)

    values = np.linspace(-10, 40, 20_001, dtype=np.float32)
    limited = np.clip(values, 0, 6 if activation == "relu6" else None)
    same = bool((rounded(values) == rounded(limited)).all())
    assert clips(params, activation) == same


def test_an_activation_that_rounding_does_not_do_is_kept():
    graph, *_ = int8_graph("lite0")
    name = next(
        n.name for n in graph.nodes if isinstance(n, SpatialNode) and n.activation == "relu6"
    )
    wide = replace(graph, quant={**graph.quant, name: QuantParams((9 / 255,), (-128,))})
    kinds = {}
    for key, one in (("as it is", graph), ("wide", wide)):
        contents = convert(one, io="uint8")
        nodes = onnx.load_model_from_string(contents).graph.node
        kinds[key] = [node.output[0] for node in nodes if node.op_type == "Clip"]
        assert_follows(run(contents, photos(8)), one, photos(8), 0.5)
    assert kinds == {"as it is": [], "wide": [f"{name}/raw"]}


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_a_package_says_what_an_application_needs(io):
    graph = float_graph("b0")
    contents = package_onnx(graph, preprocessing=RECORD, scheme="fp32", io=io)
    said = {p.key: p.value for p in onnx.load_model_from_string(contents).metadata_props}
    ways = {"uint8": ("uint8", "NHWC"), "float32": ("float32", "NCHW")}
    assert Preprocessing.from_dict(json.loads(said["edgekit"])) == RECORD.of_input(*ways[io])
    assert json.loads(said["labels"]) == list("abcde")
    assert said["name"] == "EfficientNet-B0 fp32"
    assert said["description"] == "Image classifier, 5 classes; the output is logits."
    assert said["author"] == "edgekit"
    assert contents == package_onnx(graph, preprocessing=RECORD, scheme="fp32", io=io)


def test_the_record_of_an_int8_file_has_the_normalization_that_it_was_left():
    graph, mean, std = int8_graph("b0")
    contents = package_onnx(graph, preprocessing=RECORD, scheme="w8a8-static")
    said = {p.key: p.value for p in onnx.load_model_from_string(contents).metadata_props}
    record = Preprocessing.from_dict(json.loads(said["edgekit"]))
    assert (record.mean, record.layout) == ((mean,) * 3, "NCHW")
    assert record.std == pytest.approx((std,) * 3)


def test_an_embedding_has_no_labels():
    graph = without_classifier(float_graph("b0"))
    contents = package_onnx(graph, preprocessing=RECORD, scheme="fp32")
    said = {p.key: p.value for p in onnx.load_model_from_string(contents).metadata_props}
    assert json.loads(said["labels"]) == []
    assert "Image embedding of" in said["description"]


def test_labels_of_another_network_are_refused():
    record = replace(RECORD, labels=("a", "b"))
    with pytest.raises(UsageError, match="labels do not fit"):
        package_onnx(float_graph("b0"), preprocessing=record, scheme="fp32")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"io": "uint16"}, "unknown input type 'uint16'"),
        ({"weights": "int4"}, "unknown weight type 'int4'"),
        ({"batch": 0}, "a batch of 0 photos"),
        ({"io": "uint8"}, "cannot take bytes"),
    ],
)
def test_what_cannot_be_written_is_refused(wish, message):
    with pytest.raises(UsageError, match=message):
        convert(float_graph("lite0"), **wish)


def test_without_onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingToolError, match="package onnx") as raised:
        convert(float_graph("lite0"))
    assert raised.value.hint == 'pip install "edgekit[onnx]"'
