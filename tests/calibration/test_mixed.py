"""Kept tensors and all that touches them are float; the rest of the network stays as it was."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.bias import correct_biases
from edgekit.calibration.mixed import keep_float
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import float_nodes, is_mixed
from edgekit.networks.torch_network import Network

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


@cache
def networks(name, cut=1.0):
    """A small network, float and quantized, with every range cut to a share."""
    graph = prepare(build_graph(narrow(name, depth=1.0), classes=CLASSES, resolution=SIZE, seed=2))
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "mse")
    ranges = {tensor: (low * cut, high * cut) for tensor, (low, high) in ranges.items()}
    return graph, quantize(graph, {**ranges, **fixed})


@pytest.fixture(scope="module", params=["lite0", "b0"])
def pair(request):
    return networks(request.param)


@pytest.fixture(scope="module")
def b0():
    return networks("b0")[1]


def answers(network):
    with torch.inference_mode():
        return network.eval()(BATCH).numpy()


def lost(graph, mixed):
    return set(graph.quant) - set(mixed.quant)


def test_the_writer_and_the_readers_of_a_tensor_become_float(b0):
    mixed = keep_float(b0, ["block2a_expand"])
    nodes = ["block2a_expand", "block2a_expand_sigmoid", "block2a_expand_swish"]
    assert float_nodes(mixed) == nodes
    # The swish is read by an int8 layer and stays on its grid; its gate is read by nothing else.
    tensors = {"block2a_expand", "block2a_expand_sigmoid"}
    assert lost(b0, mixed) == tensors | {"block2a_expand/kernel", "block2a_expand/bias"}
    assert mixed.weights == b0.weights


def test_float_layers_have_the_float_network_s_kernels_again():
    graph, quantized = networks("b0")
    shifted = {name: array + 1 for name, array in quantized.weights.items()}
    mixed = keep_float(replace(quantized, weights=shifted), ["block2a_expand"], graph)
    for name, array in mixed.weights.items():
        own = name == "block2a_expand/kernel"
        assert array is (graph.weights if own else shifted)[name]


def test_a_tensor_with_an_int8_reader_keeps_its_grid(b0):
    mixed = keep_float(b0, ["block2b_add", "block3a_expand_swish"])
    nodes = float_nodes(mixed)
    assert nodes == [
        "block2b_add",
        "block3a_expand",
        "block3a_expand_swish",
        "block3a_depthwise",
    ]
    assert lost(b0, mixed) & set(b0.shapes) == {"block2b_add", "block3a_expand_swish"}
    assert "block3a_expand" in mixed.quant  # the sigmoid that reads it too is int8


def test_tensors_may_be_given_in_turn(b0):
    names = ["block2b_add", "stem", "logits", "block5a_depthwise_swish"]
    at_once = keep_float(b0, names)
    in_turn = b0
    for name in names:
        in_turn = keep_float(in_turn, [name])
    assert in_turn.quant == at_once.quant


def test_the_ends_of_the_network_keep_their_integers(b0):
    mixed = keep_float(b0, [b0.input, b0.output])
    assert float_nodes(mixed) == ["stem", "logits"]
    assert lost(b0, mixed) == {f"{n}/{w}" for n in ("stem", "logits") for w in ("kernel", "bias")}
    everything = keep_float(b0, b0.shapes)
    assert set(everything.quant) == {b0.input, b0.output}
    assert float_nodes(everything) == [node.name for node in b0.nodes]


def test_what_is_mixed(b0):
    assert not is_mixed(b0)
    assert not is_mixed(replace(b0, quant={}))
    assert is_mixed(keep_float(b0, ["stem_sigmoid"]))
    assert keep_float(b0, []).quant == b0.quant


def test_what_does_not_exist_is_refused(b0):
    with pytest.raises(UsageError, match="no activation tensor 'block2a_expand/kernel'"):
        keep_float(b0, ["stem", "block2a_expand/kernel"])
    with pytest.raises(UsageError, match="b0 is not quantized"):
        keep_float(replace(b0, quant={}), ["stem"])


def test_a_mixed_graph_can_be_saved(b0, tmp_path):
    mixed = keep_float(b0, ["block3a_expand"])
    mixed.save(tmp_path / "mixed.graph")
    assert Graph.load(tmp_path / "mixed.graph").quant == mixed.quant


def test_the_simulation_gets_nearer_to_float_the_more_is_kept(pair):
    graph, quantized = pair
    wanted = answers(Network(graph))
    names = [node.name for node in graph.nodes]
    errors = []
    for kept in ([], names[: len(names) // 2], names[3:], [graph.input, *names]):
        found = answers(Simulation(keep_float(quantized, kept)))
        errors.append(float(np.abs(found - wanted).mean()))
    assert errors == sorted(errors, reverse=True)
    # What is left in the end is the rounding of the photo and of the answer.
    assert errors[-1] < 0.5 * quantized.quant[graph.output].scale[0]
    assert errors[-1] < 0.2 * errors[0]


@pytest.mark.slow  # test_bias has the correction
def test_biases_of_a_mixed_graph_are_corrected(pair):
    graph, _ = pair
    _, quantized = networks(graph.name, cut=0.6)  # every tensor is clipped: its mean is off
    mixed = keep_float(quantized, ["block3a_expand", "block5a_project", "block6a_expand"])
    corrected = correct_biases(graph, mixed, INPUTS)
    assert corrected.quant == mixed.quant
    wanted = answers(Network(graph))
    before, after = (answers(Simulation(g)) - wanted for g in (mixed, corrected))
    assert np.abs(after.mean(0)).mean() < 0.7 * np.abs(before.mean(0)).mean()
