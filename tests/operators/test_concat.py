"""The scale of what is concatenated: whose it is, and where integers are rounded again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from map_formats import in_tflite, simulated
from map_graphs import arg_max, aspp, concat, convolve, quantized, resize, unet
from small_graphs import INPUT, Sketch

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.write import convert
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, Concat
from edgekit.networks.quantization import scale_owners


def sketch() -> Sketch:
    return Sketch(np.random.default_rng(3), (10, 10, 3))


def concats(graph: Graph) -> list[Concat]:
    return [node for node in graph.nodes if isinstance(node, Concat)]


def test_what_a_concat_alone_reads_has_its_scale_and_a_tap_keeps_its_own():
    graph = unet()
    for node in concats(graph):
        up, tap = node.inputs
        owners = scale_owners(graph)
        before = graph.node(up).inputs[0]  # the layer that is resized
        assert owners[up] == owners[before] == node.name
        assert tap not in owners
        assert node.name not in owners


def test_every_branch_of_a_pyramid_has_one_scale():
    graph = quantized(aspp())
    for node in concats(graph):
        assert {graph.quant[name] for name in node.inputs} == {graph.quant[node.name]}
    model = parse(convert(graph, io="int8"))
    kinds = Counter(op.name for op in model.operators)
    assert kinds["QUANTIZE"] == 2  # to bytes and back, around the TILE


def test_a_tap_is_rounded_again_in_front_of_the_concat_alone():
    graph = quantized(unet())
    model = parse(convert(graph, io="int8"))
    named = {tensor.name: tensor for tensor in model.tensors}
    seen = []
    for node in concats(graph):
        tap = node.inputs[1]
        readers = Counter(op.name for op in model.consumers(named[tap].index))
        # The layer behind it and, where the scales differ, what rounds it again.
        differs = graph.quant[tap] != graph.quant[node.name]
        assert readers == {"CONV_2D": 1, "QUANTIZE" if differs else "CONCATENATION": 1}
        seen.append(differs)
        (op,) = [op for op in model.operators if op.outputs[0] == named[node.name].index]
        assert (op.name, op.version, op.fused_activation) == ("CONCATENATION", 2, "NONE")
        of_inputs = {(model.tensors[i].scale, model.tensors[i].zero_point) for i in op.inputs}
        assert of_inputs == {(named[node.name].scale, named[node.name].zero_point)}
    assert any(seen)


def test_a_tensor_that_two_concats_read_keeps_its_own_scale():
    s = sketch()
    shared, first, second = (convolve(s, INPUT, 4) for _ in range(3))
    one, other = concat(s, shared, first), concat(s, shared, second)
    ends = convolve(s, one, 5), convolve(s, other, 5)
    concat(s, *ends)
    graph = s.graph("two")
    owners = scale_owners(graph)
    assert shared not in owners
    assert (owners[first], owners[second]) == (one, other)
    s.weights[f"{second}/kernel"] *= 5  # else both have the scale of what they share
    s.weights[f"{first}/kernel"] *= 3
    assert_runs(s.graph("two"), 2)


def test_one_operator_rounds_a_tensor_for_all_that_read_it_in_a_scale():
    s = sketch()
    tap = convolve(s, INPUT, 4)
    deep = convolve(s, tap, 4)
    concat(s, tap, deep, tap)
    graph = quantized(s.graph("twice"))
    model = parse(convert(graph, io="int8"))
    assert [op.name for op in model.operators].count("QUANTIZE") == 1
    assert_runs(s.graph("twice"), 1)


def test_a_concat_of_concats_is_rounded_once():
    s = sketch()
    first, second, third = (convolve(s, INPUT, 3) for _ in range(3))
    inner = resize(s, concat(s, first, second), (10, 10))
    outer = concat(s, inner, third)
    graph = s.graph("nested")
    owners = scale_owners(graph)
    inside = graph.node(inner).inputs[0]
    assert {owners[name] for name in (first, second, third, inside, inner)} == {outer}
    assert_runs(graph, 0)


def test_the_input_and_what_an_operator_prescribes_keep_their_scales():
    s = sketch()
    gate = s.add(Activation, (10, 10, 3), kind="sigmoid")
    layer = convolve(s, INPUT, 3)
    concat(s, INPUT, gate, layer)
    graph = s.graph("prescribed")
    assert scale_owners(graph).keys() == {layer}
    assert_runs(graph, 2)


def test_an_output_that_is_also_concatenated_keeps_its_scale():
    s = sketch()
    layer = convolve(s, INPUT, 3)
    both = concat(s, layer, INPUT)
    last = convolve(s, both, 3)
    resize(s, last, (7, 9))
    graph = s.graph("output")
    assert scale_owners(graph) == {layer: both, graph.output: last}


@pytest.mark.parametrize("activation", ["relu", "relu6", "linear"])
def test_an_activation_in_front_clips_in_the_concat_s_scale(activation):
    s = sketch()
    wide = convolve(s, INPUT, 4, activation="linear")
    s.weights[f"{wide}/kernel"] *= 20
    clipped = convolve(s, INPUT, 4, activation=activation)
    s.weights[f"{clipped}/kernel"] *= 12
    concat(s, clipped, wide)
    graph = s.graph("wide")
    found = in_tflite(quantized(graph), "builtin").astype(float)
    params = quantized(graph).quant[graph.output]
    reals = (found[..., :4] - params.zero_point[0]) * params.scale[0]
    half = params.scale[0] / 2
    assert (reals.min() < -1) == (activation == "linear")
    assert reals.min() >= 0 or activation == "linear"
    assert (reals.max() <= 6 + half) == (activation == "relu6")
    assert_runs(graph, 0)


def test_numbers_of_classes_have_no_scale():
    s = sketch()
    resize(s, arg_max(s, convolve(s, INPUT, 4), True), (20, 20))
    graph = s.graph("classes")
    assert scale_owners(graph) == {}
    assert graph.class_tensors == {"node1", "node2"}


def assert_runs(graph: Graph, requantized: int) -> None:
    """The int8 file gives what the simulation gives, with so many operators that round again."""
    int8 = quantized(graph)
    model = parse(convert(int8, io="int8"))
    assert [op.name for op in model.operators].count("QUANTIZE") == requantized
    params = int8.quant[graph.output]
    steps = np.rint(simulated(int8) / params.scale[0]) + params.zero_point[0]
    apart = np.abs(in_tflite(int8, "xnnpack") - steps)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.05
