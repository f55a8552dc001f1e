"""Sums that XNNPACK takes, and what becomes of a network where it does not."""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_graphs import Sketch

from edgekit.calibration.quantize import collect, quantize
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.write import convert
from edgekit.networks.nodes import Add, Conv2D
from edgekit.networks.quantization import activation_params

SHAPE = (8, 8, 16)


def block(gain):
    """A residual block, and its int8 ranges; its branch is ``gain`` times as large as usual."""
    sketch = Sketch(np.random.default_rng(3), SHAPE)
    settings = {"filters": 16, "kernel": 1, "stride": 1}
    first = sketch.convolution(Conv2D, **settings)
    branch = sketch.convolution(Conv2D, first, **settings)
    total = sketch.add(Add, SHAPE, first, branch)
    sketch.convolution(Conv2D, total, **settings)
    for name in (f"{branch}/kernel", f"{branch}/bias"):
        sketch.weights[name] *= np.float32(gain)
    graph = sketch.graph("block")
    photos = np.random.default_rng(4).normal(0, 1, (4, *SHAPE)).astype(np.float32)
    histograms = collect(graph, [photos])
    return graph, {name: (h.minimum, h.maximum) for name, h in histograms.items()}, branch, total


def parts(contents):
    """How many pieces of the network XNNPACK takes."""
    interpreter = Interpreter(model_content=contents)
    interpreter.allocate_tensors()
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    return names.count("DELEGATE")


def rules(contents):
    return [found.rule for found in check_int8(tflite_file.parse(contents))]


@pytest.mark.parametrize("gain", [0, 1e-12, 1e-6, 1e-4, 1])
def test_a_branch_that_does_next_to_nothing_leaves_the_network_in_one_piece(gain):
    graph, ranges, branch, _ = block(gain)
    quantized = quantize(graph, ranges)
    contents = convert(quantized, io="int8")
    assert parts(contents) == 1
    assert rules(contents) == []
    if gain == 1:
        assert quantized.quant[branch] == activation_params(*ranges[branch])


@pytest.mark.parametrize(("share", "taken"), [(2**-10.1, False), (2**-9.9, True), (2**7.9, True)])
def test_the_rule_names_the_sums_that_are_not_taken(share, taken):
    graph, ranges, branch, total = block(1)
    quantized = quantize(graph, ranges)
    scale = float(np.float32(quantized.quant[total].scale[0] * share))
    params = replace(quantized.quant[branch], scale=(scale,))
    contents = convert(replace(quantized, quant={**quantized.quant, branch: params}), io="int8")
    assert (parts(contents) == 1) == taken
    assert rules(contents) == ([] if taken else ["sum-scales"])
