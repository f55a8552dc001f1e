"""A Graph's scheme follows from the types of its kernels and tensors."""

from dataclasses import replace

import pytest

from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Conv2D, Flatten, FullyConnected, Mean
from edgekit.networks.schemes import FINE_TO_COARSE, scheme_of, scheme_of_node
from edgekit.options.quantization import SCHEMES

NODES = (
    Conv2D(name="stem", inputs=("image",), filters=4),
    Mean(name="pool", inputs=("stem",), keep_dims=True),
    Flatten(name="flat", inputs=("pool",)),
    FullyConnected(name="logits", inputs=("flat",), units=3),
)
SHAPES = {"image": (8, 8, 3), "stem": (8, 8, 4), "pool": (1, 1, 4), "flat": (4,), "logits": (3,)}
TENSORS = tuple(SHAPES)
KERNELS = ("stem/kernel", "logits/kernel")


def network(dtype=None, tensors=(), kernels=()):
    """A network in which some tensors have a type and some kernels are int8."""
    quant = {name: QuantParams((0.1,), (0,), dtype) for name in tensors}
    quant |= {name: QuantParams((0.1,), (0,)) for name in kernels}
    return Graph("tiny", "image", NODES, SHAPES, {}, quant)


@pytest.mark.parametrize(
    ("graph", "scheme"),
    [
        (network(), "fp32"),
        (network("int8", TENSORS, KERNELS), "w8a8-static"),
        (network("int16", TENSORS, KERNELS), "w8a16-static"),
        (network(kernels=KERNELS), "w8-dynamic"),
        (network(kernels=KERNELS[:1]), "w8-dynamic"),
        (network("int8", TENSORS, KERNELS[:1]), "w8a8-mixed"),
        (network("int8", ["image", "stem", "flat", "logits"], KERNELS), "w8a8-mixed"),
        (network("int8", ["image", "logits"]), "w8a8-mixed"),
        (network("int8", ["image"]), "w8a8-mixed"),
    ],
)
def test_schemes(graph, scheme):
    assert scheme_of(graph) == scheme


def test_nodes_of_a_dynamic_network():
    graph = network(kernels=KERNELS[:1])
    found = [scheme_of_node(graph, node) for node in graph.nodes]
    assert found == ["w8-dynamic", "fp32", "fp32", "fp32"]


@pytest.mark.parametrize(
    "graph",
    [
        network("int16", TENSORS, KERNELS[:1]),
        replace(network(kernels=KERNELS), quant=network("int8", TENSORS[:1], KERNELS).quant),
    ],
    ids=["16 bits with a float layer", "8 bits with a dynamic layer"],
)
def test_what_is_no_scheme(graph):
    with pytest.raises(ValueError, match="tiny mixes fp32"):
        scheme_of(graph)


def test_every_scheme_of_the_options_has_its_place():
    assert {*SCHEMES, "fp32", "w8a8-static", "w8a8-mixed"} == set(FINE_TO_COARSE)
