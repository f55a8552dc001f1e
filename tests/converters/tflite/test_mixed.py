"""A mixed file: the Graph's float nodes are its float operators, and it computes what they do."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from pooled import inputs, pixels, pooled
from pooled import quantized as quantize_pooled

from edgekit.calibration.mixed import keep_float
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.converters.tflite.checks import check_int8, check_mixed
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.scheme import scheme
from edgekit.converters.tflite.write import convert
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import float_nodes, integers
from edgekit.networks.torch_network import Network
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.edgetpu.rules import unmapped

SIZE, CLASSES = 32, 6
RECORD = Preprocessing(64, (127.0,) * 3, (128.0,) * 3, ())
PIXELS = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)


def float_operators(model):
    """Counts the operators that compute in float, by name."""
    between = ("QUANTIZE", "DEQUANTIZE", "PAD")
    return Counter(
        op.name
        for op in model.operators
        if op.name not in between and model.tensors[op.outputs[0]].dtype == "float32"
    )


class Case:
    """A small network: float, quantized, and the answers of its float self."""

    def __init__(self, name):
        spec = SPECS[name]
        graph = prepare(build_graph(spec, classes=CLASSES, resolution=SIZE, seed=2))
        rng = np.random.default_rng(3)  # biases other than 0
        biases = {n: rng.normal(0, 0.1, a.shape) for n, a in graph.weights.items() if "bias" in n}
        graph = graph.with_weights({**graph.weights, **biases})
        self.graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
        inputs = ((PIXELS - mean) / std).astype(np.float32)
        fixed = fixed_ranges(self.graph, mean, std)
        ranges = choose_ranges(collect(self.graph, [inputs], skip=fixed), "mse")
        self.quantized = quantize(self.graph, {**ranges, **fixed})
        self.batch = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        self.step = self.quantized.quant[self.graph.output].scale[0]
        self.wanted = self.answers(Network(self.graph))

    def answers(self, network):
        with torch.inference_mode():
            return network.eval()(self.batch).numpy()


@pytest.fixture(scope="module", params=["lite0", pytest.param("b0", marks=pytest.mark.slow)])
def case(request):
    return Case(request.param)


def some(graph):
    """Tensors of every kind: at both ends, a layer's, a residual sum, a gate and a product."""
    names = {node.name for node in graph.nodes}
    wanted = ("block2a_expand", "block2b_add", "block4a_depthwise_sigmoid", "block5a_se_excite")
    return [graph.input, graph.output, "block3b_project", *(n for n in wanted if n in names)]


def save(tmp_path, contents):
    path = tmp_path / "mixed.tflite"
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_the_file_follows_the_simulation_and_keeps_to_the_float_nodes(case, tmp_path, kernels):
    mixed = keep_float(case.quantized, some(case.graph))
    contents = convert(mixed, io="uint8")
    model = parse(contents)
    assert sum(float_operators(model).values()) == len(float_nodes(mixed))
    assert scheme(model) == "mixed"
    assert check_mixed(model) == []
    assert "no-float" in {finding.rule for finding in check_int8(model)}
    found = LiteRT(save(tmp_path, contents), kernels=kernels).run(PIXELS)
    simulated = case.answers(Simulation(mixed))
    if kernels == "xnnpack":  # the others round differently, in files that are all int8 too
        assert np.abs(found - simulated).mean() < 1.5 * case.step
    assert np.corrcoef(found.ravel(), simulated.ravel())[0, 1] > 0.99


def test_float_operators_have_the_weights_of_the_float_network(case):
    mixed = keep_float(case.quantized, some(case.graph))
    model = parse(convert(mixed))
    constants = [t for t in model.tensors if t.is_constant]
    floats = Counter(t.values().tobytes() for t in constants if t.dtype == "float32")
    int8 = Counter(np.sort(t.values(), None).tobytes() for t in constants if t.dtype == "int8")
    order = {4: (3, 0, 1, 2), 3: (0, 1, 2), 2: (1, 0), 1: (0,)}
    kept = {n: a for n, a in mixed.weights.items() if n not in mixed.quant}
    assert floats == Counter(
        np.ascontiguousarray(a.transpose(order[a.ndim])).tobytes() for a in kept.values()
    )
    assert int8 == Counter(
        np.sort(integers(a, mixed.quant[n]).astype(np.int8), None).tobytes()
        for n, a in mixed.weights.items()
        if n in mixed.quant and n.endswith("/kernel")
    )


@pytest.mark.parametrize("kept", ["pool", "pool_average", "head"])
def test_float_pools_follow_the_simulation(kept, tmp_path):
    quantized = quantize_pooled(pooled("lite0"))
    mixed = keep_float(quantized, [kept])
    assert ("pool_average" in float_nodes(mixed)) == (kept != "pool")
    contents = convert(mixed, io="uint8")
    assert check_mixed(parse(contents)) == []
    found = LiteRT(save(tmp_path, contents), preprocessing=RECORD).run(pixels())
    with torch.inference_mode():
        batch = torch.from_numpy(inputs()).permute(0, 3, 1, 2)
        simulated = Simulation(mixed).eval()(batch).numpy()
    assert np.abs(found - simulated).mean() < 1.5 * mixed.quant["logits"].scale[0]


@pytest.mark.slow
def test_the_more_is_kept_the_nearer_to_float(case, tmp_path):
    names = [node.name for node in case.graph.nodes]
    errors = []
    for kept in ([], names[3:], [case.graph.input, *names]):
        contents = convert(keep_float(case.quantized, kept), io="uint8")
        found = LiteRT(save(tmp_path, contents)).run(PIXELS)
        errors.append(np.abs(found - case.wanted).mean())
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * case.step


def test_scales_of_the_borders_and_of_the_int8_part_are_the_graphs(case):
    mixed = keep_float(case.quantized, some(case.graph))
    model = parse(convert(mixed, io="int8"))
    int8 = [t for t in model.tensors if t.dtype == "int8" and not t.is_constant]
    names = [name for name in mixed.quant if "/" not in name]
    wanted = sorted((mixed.quant[n].scale[0], mixed.quant[n].zero_point[0]) for n in names)
    found = sorted((tensor.scale, tensor.zero_point) for tensor in int8)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.slow
def test_io_types_agree(case, tmp_path):
    mixed = keep_float(case.quantized, some(case.graph))
    of_bytes = LiteRT(save(tmp_path, convert(mixed, io="uint8"))).run(PIXELS)
    np.testing.assert_array_equal(
        LiteRT(save(tmp_path, convert(mixed, io="int8"))).run(PIXELS), of_bytes
    )
    model = parse(convert(mixed, io="float32"))
    assert {model.tensors[i].dtype for i in (*model.inputs, *model.outputs)} == {"float32"}


def test_the_edge_tpu_takes_none_of_the_float_operators():
    case = Case("lite0")
    model = parse(convert(keep_float(case.quantized, ["block2a_expand"]), io="uint8"))
    named = {model.operators[index].name for index in unmapped(model)}
    assert named == {"DEQUANTIZE", "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D"}
    assert len(unmapped(model)) == 4


def test_bytes_need_quantized_ends():
    case = Case("lite0")
    mixed = keep_float(case.quantized, ["logits"])
    quant = {name: params for name, params in mixed.quant.items() if name != "logits"}
    bare = replace(mixed, quant=quant)
    with pytest.raises(UsageError, match="float 'logits' has no uint8 input and output"):
        convert(bare, io="uint8")
    model = parse(convert(bare))
    assert model.producer(model.outputs[0]).name == "FULLY_CONNECTED"
