"""The operators of maps, alone and in small networks, through every format."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from map_formats import (
    TFLITE,
    as_integers,
    in_onnx,
    in_openvino,
    in_plain_torch,
    in_tflite,
    in_torch,
    simulated,
    simulated_for_openvino,
)
from map_graphs import CASES, quantized
from prerequisites import needs

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.matching import find_differences, match
from edgekit.converters.tflite.write import convert
from edgekit.networks.graph import Graph
from edgekit.networks.quantization import is_mixed
from edgekit.networks.schemes import scheme_of
from edgekit.parity.integer_kernels import run_operator
from edgekit.runtimes.interpreter import Kernels

#: Of a float file, as a part of its largest output.
TOLERANCE = 2e-6
FORMATS = {
    **{f"tflite {kernels}": functools.partial(in_tflite, kernels=kernels) for kernels in TFLITE},
    "onnx": pytest.param(in_onnx, marks=needs("onnxruntime")),
    "onnx of any batch": pytest.param(
        functools.partial(in_onnx, batch=None), marks=needs("onnxruntime")
    ),
    "openvino": pytest.param(in_openvino, marks=needs("openvino")),
    "plain torch": in_plain_torch,
}


@functools.cache
def drawn(name: str) -> Graph:
    return CASES[name]()


@functools.cache
def in_int8(name: str) -> Graph:
    return quantized(drawn(name))


def has_classes(graph: Graph) -> bool:
    return graph.output in graph.class_tensors


@pytest.mark.parametrize("run", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_a_float_file_gives_what_torch_gives(name, run):
    graph = drawn(name)
    wanted = in_torch(graph)
    found = run(graph)
    assert wanted.shape[1:] == graph.shapes[graph.output]
    assert len(np.unique(wanted)) >= 3
    if found.ndim == 2:  # of one pixel
        found = found.reshape(wanted.shape)
    assert found.shape == wanted.shape
    if has_classes(graph):
        assert found.dtype.kind in "iu"
        assert (found == wanted).mean() > 0.999
    else:
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("name", CASES)
def test_an_int8_file_gives_what_the_simulation_gives(name):
    graph = in_int8(name)
    assert (scheme_of(graph), is_mixed(graph)) == ("w8a8-static", False)
    wanted, found = simulated(graph), in_tflite(graph, "xnnpack")
    if has_classes(graph):
        assert (found == wanted).mean() > 0.99
        return
    params = graph.quant[graph.output]
    steps = np.rint(wanted / params.scale[0]) + params.zero_point[0]
    apart = np.abs(found - steps)
    # XNNPACK's weights are multiples of 2**-11: a value between two integers may round otherwise.
    # In a network, such a step spreads.
    single, between = name not in NETWORKS, "bilinear" in name
    assert apart.max() <= (1 if single else 2)
    assert (apart > 0).mean() <= (0.02 if between else 0.001 if single else 0.3)


NETWORKS = tuple(name for name in CASES if name.startswith(("unet", "aspp")))


@pytest.mark.parametrize("name", CASES)
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


@pytest.mark.parametrize("name", CASES)
def test_the_files_hold_what_the_graph_says(name):
    for graph in (drawn(name), in_int8(name)):
        model = parse(convert(graph, io="int8" if graph.quant else "float32"))
        found = match(graph, model)
        assert not found.missing
        assert found.operators.keys() == {node.name for node in graph.nodes}
        if graph.quant:
            assert find_differences(graph, model, found) == []


@needs("onnxruntime")
@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("name", CASES)
def test_an_int8_onnx_file_rounds_ties_to_even(name, batch):
    graph = in_int8(name)
    wanted, found = simulated(graph, ties_to_even=True), in_onnx(graph, batch)
    assert_follows(graph, wanted.reshape(found.shape), found)


@needs("openvino")
@pytest.mark.parametrize("name", CASES)
def test_an_int8_openvino_model_rounds_what_its_kernels_read(name):
    graph = in_int8(name)
    wanted, found = simulated_for_openvino(graph), in_openvino(graph)
    assert_follows(graph, wanted.reshape(found.shape), found)


@pytest.mark.parametrize("name", CASES)
def test_an_int8_torch_module_rounds_ties_to_even(name):
    graph = in_int8(name)
    assert_follows(graph, simulated(graph, ties_to_even=True), in_plain_torch(graph))


def assert_follows(graph: Graph, wanted: np.ndarray, found: np.ndarray) -> None:
    """The answers are nearly the same: a tie that falls the other way spreads, now and then."""
    if has_classes(graph):
        assert (found == wanted).mean() > 0.99
        return
    apart = np.abs(found - wanted) / graph.quant[graph.output].scale[0]
    assert apart.max() <= 2.5
    assert apart.mean() <= 0.1
