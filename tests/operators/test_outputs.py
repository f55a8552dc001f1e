"""A network with two outputs of rows, in every format: each output has its own scale there."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest
import torch
from detector_graph import CLASSES, COLUMNS, ROWS, detector, in_reals, int8, prepared
from every_scheme import in_every_scheme
from map_formats import as_integers, in_torch, nchw, simulated, simulated_for_openvino
from map_graphs import inputs
from prerequisites import needs

from edgekit.converters.tflite.checks import check_int8, too_new
from edgekit.converters.tflite.file import TFLiteModel, parse, schema
from edgekit.converters.tflite.matching import find_differences, match
from edgekit.converters.tflite.scheme import scheme
from edgekit.converters.tflite.write import convert
from edgekit.converters.torch.builder import build
from edgekit.converters.torch.plan import make_plan
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.quantization import scale_owners
from edgekit.parity.integer_kernels import run_operator
from edgekit.runtimes.interpreter import Kernels

#: Of a float file, as a part of its largest output.
TOLERANCE = 2e-6
NETWORKS = {
    "sum": {},
    "weighted": {"fusion": "weighted"},
    "symmetric": {"padding": "symmetric"},
    "swish": {"activation": "swish", "fusion": "weighted"},
    "one class": {"classes": 1},
}
each_network = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def in_float(name: str) -> Graph:
    return prepared(**NETWORKS[name])


@functools.cache
def in_int8(name: str) -> Graph:
    return int8(**NETWORKS[name])


def run(contents: bytes, fed: np.ndarray, kernels: str = "builtin") -> list[np.ndarray]:
    """Every output of a .tflite file, [n, rows, columns] in its own type."""
    runner = Kernels(contents, kernels)
    each = [runner.run_all([one[None]]) for one in fed]
    return [np.concatenate(values) for values in zip(*each, strict=True)]


def steps(graph: Graph) -> np.ndarray:
    """The scale of each column."""
    columns = [[graph.quant[name].scale[0]] * graph.shapes[name][1] for name in graph.outputs]
    return np.concatenate(columns)


def test_the_outputs_are_what_a_detector_s_are():
    graph = prepared()
    assert graph.outputs == ("boxes", "logits")
    assert graph.output_shape == (ROWS, COLUMNS)
    assert (graph.output, graph.classes) == ("logits", CLASSES)


@each_network
def test_preparing_keeps_what_a_network_computes(name):
    wanted = in_torch(detector(**NETWORKS[name]))
    found = in_torch(in_float(name))
    assert wanted.shape == (6, *in_float(name).output_shape)
    assert np.abs(found - wanted).max() <= 2 * TOLERANCE * np.abs(wanted).max()
    kinds = Counter(type(node).__name__ for node in in_float(name).nodes)
    assert "WeightedSum" not in kinds
    assert kinds["DepthwiseConv2D"] == 6 + 5 * (NETWORKS[name].get("fusion") == "weighted")


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
@each_network
def test_a_float_file_gives_what_torch_gives(name, kernels):
    graph = in_float(name)
    wanted = in_torch(detector(**NETWORKS[name]))
    boxes, logits = run(convert(graph), inputs(graph), kernels)
    found = np.concatenate([boxes, logits], -1)
    assert (boxes.shape[1:], logits.shape[1:]) == tuple(graph.shapes[n] for n in graph.outputs)
    assert np.abs(found - wanted).max() <= 2 * TOLERANCE * np.abs(wanted).max()


@each_network
def test_an_int8_file_gives_what_the_simulation_gives(name):
    graph = in_int8(name)
    found = in_reals(graph, run(convert(graph, io="int8"), as_integers(graph), "xnnpack"))
    apart = np.abs(found - simulated(graph)) / steps(graph)
    # A tie that falls the other way spreads.
    assert apart.max() <= 4
    assert (apart > 0.5).mean() <= 0.1


@each_network
def test_every_operator_of_an_int8_file_is_the_integer_kernel_s(name):
    graph = in_int8(name)
    contents = convert(graph, io="int8")
    model, runner = parse(contents), Kernels(contents)
    for one in as_integers(graph)[:3]:
        runner.run([one[None]])
        values = runner.activations(model)
        for op in model.operators:
            found = run_operator(model, op, values)
            np.testing.assert_array_equal(found, values[op.outputs[0]], op.name)


@each_network
def test_the_files_hold_what_the_graph_says(name):
    for graph in (in_float(name), in_int8(name)):
        model = parse(convert(graph, io="int8" if graph.quant else "float32"))
        found = match(graph, model)
        assert not found.missing
        assert found.operators.keys() == {node.name for node in graph.nodes}
        if graph.quant:
            assert find_differences(graph, model, found) == []


def in_onnx(graph: Graph, batch: int | None = 1) -> list[np.ndarray]:
    """Every output of a .onnx file, [n, rows, columns]; reals."""
    import onnxruntime

    from edgekit.converters.onnx.write import convert as convert_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    contents = convert_onnx(graph, batch=batch)
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    assert [end.name for end in session.get_outputs()] == ["boxes", "logits"]
    fed = nchw(graph).numpy()
    each = [fed] if batch is None else [one[None] for one in fed]
    found = [session.run(None, {graph.input: one}) for one in each]
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def in_openvino(graph: Graph) -> list[np.ndarray]:
    """Every output of an OpenVINO model on the CPU, [n, rows, columns]; reals."""
    import openvino

    from edgekit.converters.openvino.write import convert as convert_openvino
    from edgekit.data.preprocessing import Preprocessing

    record = Preprocessing(graph.resolution, (127.0,) * 3, (128.0,) * 3, ())
    model = convert_openvino(graph, io="float32", preprocessing=record)
    assert [end.get_any_name() for end in model.outputs] == ["boxes", "logits"]
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    found = [compiled(one[None].numpy()) for one in nchw(graph)]
    return [np.concatenate([np.array(one[place]) for one in found]) for place in range(2)]


def in_plain_torch(graph: Graph) -> list[np.ndarray]:
    """The tuple that the module of a plan returns."""
    plan = make_plan(graph, fake_quantize=bool(graph.quant))
    with torch.inference_mode():
        return [output.numpy() for output in build(plan.steps, plan.arrays)(nchw(graph))]


OTHERS = {
    "onnx": pytest.param(in_onnx, marks=needs("onnxruntime")),
    "onnx of any batch": pytest.param(
        functools.partial(in_onnx, batch=None), marks=needs("onnxruntime")
    ),
    "openvino": pytest.param(in_openvino, marks=needs("openvino")),
    "plain torch": in_plain_torch,
}


@pytest.mark.parametrize("run", OTHERS.values(), ids=OTHERS)
@each_network
def test_another_float_file_gives_what_torch_gives(name, run):
    graph = in_float(name)
    wanted = in_torch(detector(**NETWORKS[name]))
    found = run(graph)
    assert [one.shape[1:] for one in found] == [graph.shapes[name] for name in graph.outputs]
    assert np.abs(np.concatenate(found, -1) - wanted).max() <= 3e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("run", OTHERS.values(), ids=OTHERS)
@each_network
def test_another_int8_file_gives_what_its_simulation_gives(name, run):
    graph = in_int8(name)
    is_openvino = run is in_openvino
    wanted = simulated_for_openvino(graph) if is_openvino else simulated(graph, ties_to_even=True)
    apart = np.abs(np.concatenate(run(graph), -1) - wanted) / steps(graph)
    # A tie that falls the other way spreads.
    assert apart.max() <= 4
    assert apart.mean() <= 0.1


def outputs(model: TFLiteModel) -> list[tuple[str, str, float | None]]:
    ends = [model.tensors[index] for index in model.outputs]
    return [(end.name, end.dtype, end.scale) for end in ends]


def test_outputs_have_their_own_scales_and_the_type_that_is_asked_for():
    graph = in_int8("sum")
    (boxes, logits) = (float(np.float32(graph.quant[name].scale[0])) for name in graph.outputs)
    assert boxes != logits
    for io, suffix in (("int8", ""), ("uint8", "_uint8")):
        wanted = [(f"boxes{suffix}", io, boxes), (f"logits{suffix}", io, logits)]
        assert outputs(parse(convert(graph, io=io))) == wanted
    model = parse(convert(graph, io="float32"))
    wanted = [("boxes_float32", "float32", None), ("logits_float32", "float32", None)]
    assert outputs(model) == wanted
    assert [op.name for op in model.operators[-2:]] == ["DEQUANTIZE"] * 2
    found = match(graph, model)
    assert [found.names()[index] for index in model.outputs] == ["boxes", "logits"]


def test_levels_have_the_scale_of_the_output_that_they_are_joined_in():
    graph = in_int8("sum")
    owners = scale_owners(graph)
    for kind, end in (("box", "boxes"), ("class", "logits")):
        names = [f"{kind}{level}{part}" for level in range(3) for part in ("", "_rows")]
        assert {owners[name] for name in names} == {end}
    kinds = Counter(op.name for op in parse(convert(graph, io="int8")).operators)
    assert "QUANTIZE" not in kinds  # no level is rounded again


def test_the_signature_names_the_outputs_as_the_graph_does():
    model = schema().ModelT.InitFromPackedBuf(convert(in_int8("sum"), io="uint8"), 0)
    (signature,) = model.signatureDefs
    (graph,) = model.subgraphs
    assert [(entry.name, entry.tensorIndex) for entry in signature.outputs] == [
        (b"boxes", graph.outputs[0]),
        (b"logits", graph.outputs[1]),
    ]


def test_a_file_in_any_scheme_says_its_scheme_and_breaks_no_rule():
    for one in in_every_scheme(in_int8("weighted"), ("middle", "box1")):
        model = parse(one.contents)
        # Kernels as small as these stay in float where activations do.
        wanted = {"w8a8-mixed": "mixed", "w8-dynamic": "fp32"}.get(one.scheme, one.scheme)
        assert scheme(model) == wanted
        assert list(too_new(model)) == []
        assert len(model.outputs) == 2
        if one.scheme == "w8a8-static":
            assert {finding.rule for finding in check_int8(model)} <= {"float-ends"}
        Kernels(one.contents)


def test_an_end_that_does_not_fit_is_refused_by_its_name():
    with pytest.raises(UsageError, match="float 'input' has no int8"):
        convert(in_float("sum"), io="int8")
