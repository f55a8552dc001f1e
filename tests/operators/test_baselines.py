"""Networks of others, narrow, through every format: float, and int8 with the exact integers."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from map_formats import (
    as_integers,
    in_onnx,
    in_openvino,
    in_plain_torch,
    in_tflite,
    in_torch,
    simulated,
    simulated_for_openvino,
)
from map_graphs import quantized
from prerequisites import needs

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.matching import find_differences, match
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.parity.integer_kernels import run_operator
from edgekit.runtimes.interpreter import Kernels

#: Of a float file, as a part of its largest logit.
TOLERANCE = 1e-5
FORMATS = {
    "tflite": functools.partial(in_tflite, kernels="xnnpack"),
    "onnx": pytest.param(in_onnx, marks=needs("onnxruntime")),
    "openvino": pytest.param(in_openvino, marks=needs("openvino")),
    "plain torch": in_plain_torch,
}
#: Every kind of block, stem, head and activation that the family has not.
NAMES = ("mobilenet-v1", "mobilenet-v3-small", "mobilenet-v3-small-minimalistic", "resnet-18")


@functools.cache
def trained(name: str) -> Graph:
    """A narrow network with statistics and offsets that no default hides."""
    spec = scale_spec(BASELINES[name], width=0.25)
    graph = build_graph(spec, classes=5, resolution=40, seed=3)
    rng = np.random.default_rng(1)
    drawn = {
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape),
        "variance": lambda shape: rng.uniform(0.5, 1.5, shape),
        "beta": lambda shape: rng.normal(0, 0.3, shape),
        "mean": lambda shape: rng.normal(0, 0.3, shape),
    }
    weights = {}
    for key, array in graph.weights.items():
        draw = drawn.get(key.rpartition("/")[2])
        weights[key] = draw(array.shape).astype(np.float32) if draw else array
    return graph.with_weights(weights)


@functools.cache
def in_int8(name: str) -> Graph:
    return quantized(prepare(trained(name)))


@pytest.mark.parametrize("run", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_a_float_file_gives_what_torch_gives(name, run):
    wanted, found = in_torch(trained(name)), run(prepare(trained(name)))
    assert np.abs(found.reshape(wanted.shape) - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_of_an_int8_file_is_the_integer_kernel_s(name):
    graph = in_int8(name)
    contents = convert(graph, io="int8")
    model, runner = parse(contents), Kernels(contents)
    runner.run([as_integers(graph)[:1]])
    values = runner.activations(model)
    for op in model.operators:
        found = run_operator(model, op, values)
        np.testing.assert_array_equal(found, values[op.outputs[0]], op.name)
    found = match(graph, model)
    assert not found.missing
    assert find_differences(graph, model, found) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_int8_file_gives_nearly_what_the_float_network_gives(name):
    graph = in_int8(name)
    params = graph.quant[graph.output]
    steps = in_tflite(graph, "xnnpack").astype(np.float32)
    found, wanted = params.scale[0] * (steps - params.zero_point[0]), in_torch(trained(name))
    assert np.abs(found.reshape(wanted.shape) - wanted).mean() < 0.03 * np.abs(wanted).max()
    assert_follows(graph, simulated(graph), found)


@needs("onnxruntime")
@pytest.mark.parametrize("name", NAMES)
def test_an_int8_onnx_file_follows_the_simulation(name):
    graph = in_int8(name)
    assert_follows(graph, simulated(graph, ties_to_even=True), in_onnx(graph))


@needs("openvino")
@pytest.mark.parametrize("name", NAMES)
def test_an_int8_openvino_model_follows_the_simulation(name):
    graph = in_int8(name)
    assert_follows(graph, simulated_for_openvino(graph), in_openvino(graph))


def assert_follows(graph: Graph, wanted: np.ndarray, found: np.ndarray) -> None:
    """The answers are nearly the same: a tie that falls the other way spreads, now and then."""
    apart = np.abs(found.reshape(wanted.shape) - wanted) / graph.quant[graph.output].scale[0]
    assert apart.mean() <= 2
