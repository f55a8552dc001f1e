"""The emitted files hold exactly the Graph's integers, and compute what it computes."""

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from pooled import pixels, pooled
from pooled import quantized as quantize_pooled

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.converters.tflite.about import About
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.converters.tflite.rows import OPERATORS
from edgekit.converters.tflite.write import convert, write_tflite
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.edit import without_classifier
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import NODE_TYPES, WRITTEN_OUT, SpatialNode
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import integers
from edgekit.networks.torch_network import Network
from edgekit.parity.executions import trace
from edgekit.parity.integer_kernels import run_model
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.inspection.inspect import inspect_file
from edgekit.tasks.classification.task import LOGITS

SIZE, CLASSES = 48, 6


#: One variant per kind of block and padding; torch's own padding is an operator in the file.
VARIANTS = {name: replace(SPECS[name], width=0.35) for name in ("b0", "lite0", "es", "v2-b0")} | {
    "lite0 symmetric": replace(SPECS["lite0"], width=0.35, padding="symmetric")
}


@functools.cache
def float_graph(name):
    return prepare(build_graph(VARIANTS[name], classes=CLASSES, resolution=SIZE, seed=2))


@functools.cache
def int8_graph(name, method="common-zero"):
    spec = VARIANTS[name]
    graph, mean, std = absorb_normalization(float_graph(name), spec.mean, spec.std, method)
    inputs = ((photos(16) - mean) / std).astype(np.float32)
    fixed = fixed_ranges(graph, mean, std)
    ranges = choose_ranges(collect(graph, [inputs], skip=fixed), "mse")
    return quantize(graph, {**ranges, **fixed}), mean, std


def photos(count):
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def run(contents, inputs):
    """Raw outputs of LiteRT, one photo at a time, with its output's scale and zero point."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=contents)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for one in inputs:
        interpreter.set_tensor(source["index"], one[None].astype(source["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"])[0])
    return np.array(outputs), result["quantization"]


@pytest.fixture(
    scope="module", params=["b0", "lite0", pytest.param("lite0 symmetric", marks=pytest.mark.slow)]
)
def int8(request):
    graph, mean, std = int8_graph(request.param)
    return request.param, graph, mean, std, convert(graph, io="uint8")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_float_file_computes_what_the_network_computes(name):
    graph = float_graph(name)
    inputs = ((photos(3).astype(np.float32)) - 127) / 128
    got, _ = run(convert(graph), inputs)
    with torch.inference_mode():
        expected = Network(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_the_file_keeps_the_scheme(int8):
    name, *_, contents = int8
    rules = {finding.rule for finding in check_int8(parse(contents))}
    assert rules == ({"padding"} if "symmetric" in name else set())


def expected_operators(graph):
    """What a file with uint8 input and output may hold: the Graph's nodes and nothing else."""
    names = {
        "Conv2D": "CONV_2D",
        "DepthwiseConv2D": "DEPTHWISE_CONV_2D",
        "FullyConnected": "FULLY_CONNECTED",
        "Activation": "LOGISTIC",
    }
    count = Counter(
        names.get(type(node).__name__, type(node).__name__.upper()) for node in graph.nodes
    )
    count["QUANTIZE"] = 2
    # Where the input has an even side, TensorFlow and torch pad a strided kernel differently.
    count["PAD"] = sum(
        node.padding == "symmetric"
        and node.stride == 2
        and graph.shapes[node.inputs[0]][0] % 2 == 0
        for node in graph.nodes
        if isinstance(node, SpatialNode)
    )
    return +count


def test_the_file_has_the_networks_operators_and_no_other(int8):
    _, graph, *_, contents = int8
    model = parse(contents)
    assert Counter(op.name for op in model.operators) == expected_operators(graph)
    written = Counter(op.fused_activation for op in model.operators if "CONV_2D" in op.name)
    wanted = Counter(node.activation for node in graph.nodes if isinstance(node, SpatialNode))
    assert written == {NAMES[kind]: n for kind, n in wanted.items()}


NAMES = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}


def test_the_file_holds_exactly_the_intended_integers(int8):
    _, graph, *_, contents = int8
    found = Counter(
        tensor.values().tobytes()
        for tensor in parse(contents).tensors
        if tensor.is_constant and tensor.dtype == "int8"
    )
    wanted = Counter(
        tflite_bytes(graph, name) for name in graph.weights if name.endswith("/kernel")
    )
    assert found == wanted


def tflite_bytes(graph: Graph, name: str) -> bytes:
    """A kernel's integers in TFLite's layout: OHWI, 1HWC for depthwise, OI."""
    values = integers(graph.weights[name], graph.quant[name]).astype(np.int8)
    order = {4: (3, 0, 1, 2), 3: (0, 1, 2), 2: (1, 0)}[values.ndim]
    return np.ascontiguousarray(values.transpose(order)).tobytes()


def test_activation_scales_are_the_graphs(int8):
    _, graph, *_, contents = int8
    model = parse(contents)
    padded = {op.outputs[0] for op in model.operators if op.name == "PAD"}
    written = sorted(
        (tensor.scales[0], tensor.zero_points[0])
        for index, tensor in enumerate(model.tensors)
        if tensor.dtype == "int8" and not tensor.is_constant and index not in padded
    )
    wanted = sorted(
        (params.scale[0], params.zero_point[0])
        for name, params in graph.quant.items()
        if "/" not in name
    )
    np.testing.assert_allclose([s for s, _ in written], [s for s, _ in wanted], rtol=1e-6)
    assert [z for _, z in written] == [z for _, z in wanted]


def test_the_file_follows_the_simulation(int8):
    _, graph, mean, std, contents = int8
    pixels = photos(8)
    raw, (scale, zero_point) = run(contents, pixels)
    got = (raw.astype(np.float64) - zero_point) * scale
    inputs = ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
    with torch.inference_mode():
        simulated = Simulation(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    # Rounding spreads through the layers; a fault would put whole tensors off.
    assert np.abs(got - simulated).mean() < 2.5 * scale
    assert np.corrcoef(got.ravel(), simulated.ravel())[0, 1] > 0.99


def test_io_types_agree(int8):
    _name, graph, mean, std, contents = int8
    pixels = photos(2)
    raw, (scale, zero_point) = run(contents, pixels)
    int8_raw, (int8_scale, int8_zero) = run(convert(graph, io="int8"), pixels.astype(int) - 128)
    np.testing.assert_array_equal(int8_raw.astype(int), raw.astype(int) - 128)
    assert (int8_scale, int8_zero) == (scale, zero_point - 128)
    floats = ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
    float_raw, _ = run(convert(graph, io="float32"), floats)
    np.testing.assert_allclose(
        float_raw, (raw.astype(np.float64) - zero_point) * scale, rtol=1e-4, atol=1e-6
    )


def test_raw_pixels_go_in(int8):
    name, *_, contents = int8
    model = parse(contents)
    source = model.tensors[model.inputs[0]]
    assert source.dtype == "uint8"
    assert source.shape == (1, SIZE, SIZE, 3)
    expected = (1.0, 114) if name == "b0" else (1 / 128, 127)
    assert (source.scale, source.zero_point) == pytest.approx(expected)


@pytest.mark.slow
def test_a_normalization_in_front_takes_raw_pixels():
    graph, _, _ = int8_graph("b0", "depthwise")
    contents = convert(graph, io="uint8")
    model = parse(contents)
    source = model.tensors[model.inputs[0]]
    assert (source.scale, source.zero_point) == (1.0, 0)
    assert Counter(op.name for op in model.operators)["DEPTHWISE_CONV_2D"] == 17
    assert [str(finding) for finding in check_int8(model)] == []


@pytest.mark.parametrize("head", ["classifier", "none"])
@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_pools_are_average_pools_of_one_scale(name, head):
    graph = pooled(name)
    graph = quantize_pooled(without_classifier(graph) if head == "none" else graph)
    contents = convert(graph, io="uint8")
    model = parse(contents)
    # FULLY_CONNECTED flattens its input itself; without one, the vector needs an operator.
    last = ["AVERAGE_POOL_2D", "RESHAPE" if head == "none" else "FULLY_CONNECTED", "QUANTIZE"]
    assert [op.name for op in model.operators][-3:] == last
    pools = [op for op in model.operators if op.name in ("AVERAGE_POOL_2D", "RESHAPE")]
    assert len(pools) == (name == "b0") + 1 + (head == "none")
    for op in pools:
        source, result = model.tensors[op.inputs[0]], model.tensors[op.outputs[0]]
        assert (result.scale, result.zero_point) == (source.scale, source.zero_point)
        assert op.fused_activation == "NONE"
    assert model.tensors[model.outputs[0]].shape == (1, *graph.shapes[graph.output])
    assert check_int8(model) == []
    fed = pixels(4)
    expected, found = run_model(model, fed), trace(contents, model, np.split(fed, len(fed)))
    assert len(np.unique(expected[pools[-1].outputs[0]])) > 20
    for index, values in found.items():
        np.testing.assert_array_equal(values, expected[index], model.tensors[index].name)


def test_two_conversions_give_the_same_bytes(int8):
    _, graph, *_, contents = int8
    assert convert(graph, io="uint8") == contents


def test_what_does_not_fit_is_refused():
    graph = float_graph("lite0")
    with pytest.raises(UsageError, match="float 'input' has no uint8 input"):
        convert(graph, io="uint8")
    with pytest.raises(UsageError, match="unknown input and output type 'uint16'"):
        convert(graph, io="uint16")


def test_a_halved_file_follows_the_float_one(tmp_path):
    graph = prepare(build_graph(SPECS["lite0"], classes=7, resolution=32, seed=1))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    answers, sizes = {}, {}
    for scheme in ("fp32", "fp16"):
        path = tmp_path / f"{scheme}.tflite"
        path.write_bytes(convert(graph, half=scheme == "fp16"))
        sizes[scheme] = path.stat().st_size
        assert inspect_file(path)["scheme"] == scheme
        record = Preprocessing(32, (127.0,) * 3, (128.0,) * 3, tuple("abcdefg"))
        answers[scheme] = LiteRT(path, preprocessing=record).run(pixels)
    assert sizes["fp16"] == pytest.approx(0.5 * sizes["fp32"], rel=0.05)
    assert np.corrcoef(answers["fp32"].ravel(), answers["fp16"].ravel())[0, 1] > 0.99999
    assert not np.array_equal(answers["fp32"], answers["fp16"])


def test_a_weight_beyond_float16_is_named():
    graph = float_graph("lite0")
    large = graph.weights["head/bias"] + np.float32(1e5)
    with pytest.raises(EdgekitError, match="'head/bias' cannot be stored as float16") as found:
        convert(graph.with_weights({**graph.weights, "head/bias": large}), half=True)
    assert "it reaches 1e+05, and float16 ends at 65504" in str(found.value.cause)


def test_what_was_not_prepared_is_refused():
    graph = build_graph(VARIANTS["lite0"], classes=CLASSES, resolution=SIZE)
    with pytest.raises(ValueError, match="batch normalization of 'stem' is not folded"):
        convert(graph)


def test_halves_and_16_bit_ends_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="float 'input' has no int16 input"):
        convert(float_graph("lite0"), io="int16")
    quantized, *_ = int8_graph("lite0")
    with pytest.raises(UsageError, match="quantized network cannot be written as fp16"):
        convert(quantized, half=True)
    with pytest.raises(UsageError, match="int8 'input' has no int16 input"):
        convert(quantized, io="int16")


def test_tensors_carry_the_networks_names(int8):
    _, graph, *_, contents = int8
    model = parse(contents)
    names = [tensor.name for tensor in model.tensors]
    assert len(names) == len({*names})
    assert {graph.input, *graph.weights, *(node.name for node in graph.nodes)} <= {*names}
    ends = [model.tensors[i].name for i in (*model.inputs, *model.outputs)]
    assert ends == ["input_uint8", "logits_uint8"]
    own = parse(convert(graph, io="int8"))
    assert [own.tensors[i].name for i in (*own.inputs, *own.outputs)] == ["input", "logits"]


def test_the_signature_names_the_photo_and_the_logits(int8):
    from ai_edge_litert.interpreter import Interpreter

    *_, contents = int8
    runner = Interpreter(model_content=contents).get_signature_runner("serving_default")
    pixels = photos(1)
    (name, answer), *others = runner(image=pixels).items()
    assert (name, others) == ("logits", [])
    np.testing.assert_array_equal(answer, run(contents, pixels)[0])


def test_constants_are_aligned(int8):
    *_, contents = int8
    whole = np.frombuffer(contents, np.uint8)
    start = whole.__array_interface__["data"][0]
    constants = [tensor for tensor in parse(contents).tensors if tensor.is_constant]
    places = [tensor.data.__array_interface__["data"][0] - start for tensor in constants]
    assert len(places) > 50
    assert {place % 16 for place in places} == {0}


@pytest.mark.parametrize("quantized", [True, False])
def test_weights_behind_the_flatbuffer_give_the_same_answers(tmp_path, quantized):
    """What a network beyond 2 GB needs, on a small one."""
    graph = int8_graph("b0")[0] if quantized else float_graph("b0")
    labels = tuple("abcdef")
    record = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, labels)
    about = About(name="n", description="d", labels=labels, preprocessing=record, outputs=(LOGITS,))
    answers, models = [], []
    for number, most in enumerate((10**9, 1000)):
        path = tmp_path / f"{number}.tflite"
        size = write_tflite(graph, path, about=about, most_inline=most)
        assert size == path.stat().st_size
        models.append(parse(path.read_bytes()))
        assert read_metadata(path).labels == labels
        answers.append(LiteRT(path, preprocessing=record).run(photos(3)))
    np.testing.assert_array_equal(answers[0], answers[1])
    for inside, behind in zip(models[0].tensors, models[1].tensors, strict=True):
        assert inside == behind
        np.testing.assert_array_equal(inside.data, behind.data)


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"before")
    graph = float_graph("lite0")
    bad = {**graph.weights, "head/bias": graph.weights["head/bias"] + np.float32(1e5)}
    with pytest.raises(EdgekitError):
        write_tflite(graph.with_weights(bad), path, half=True)
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


def test_every_kind_of_node_has_an_operator():
    assert {*OPERATORS} == {*NODE_TYPES.values()} - WRITTEN_OUT.keys()
