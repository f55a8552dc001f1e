"""The versions of operators that the writer states, in every scheme."""

from __future__ import annotations

from dataclasses import replace

import pytest
from detector_files import BOXES
from detector_graph import int8
from every_scheme import SCHEMES, in_every_scheme
from map_graphs import CASES, aspp
from map_graphs import quantized as quantize_map
from pooled import plain, pooled
from pooled import quantized as quantize_pooled

from edgekit.converters.tflite.checks import too_new
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.op_versions import VERSIONS
from edgekit.converters.tflite.scheme import scheme
from edgekit.networks.detection.outputs import with_detections
from edgekit.networks.edit import without_classifier
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import SpatialNode


def with_torch_padding(graph: Graph) -> Graph:
    """The network with an operator of its own in front of strided convolutions."""
    nodes = (
        replace(node, padding="symmetric") if isinstance(node, SpatialNode) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


@pytest.fixture(scope="module")
def every_scheme():
    """Files that hold, in every scheme, every operator that the writer knows."""
    graphs = (
        quantize_pooled(pooled("b0")),
        quantize_pooled(without_classifier(pooled("lite0"))),
        quantize_pooled(with_torch_padding(plain("lite0"))),
    )
    kept = ("block2a_expand", "block2a_project")
    found = [written for graph in graphs for written in in_every_scheme(graph, kept)]
    maps = quantize_map(aspp("classes-fused"))
    boxes = with_detections(int8(padding="symmetric"), BOXES)
    pool = quantize_map(CASES["MaxPool2D 3 stride 2 symmetric"]())
    for graph in (maps, boxes):
        found += in_every_scheme(graph, (graph.nodes[0].name,))
    # One layer and its pool: with either in float nothing is mixed.
    return [*found, *(w for w in in_every_scheme(pool) if w.scheme != "w8a8-mixed")]


@pytest.mark.slow  # `make test-legacy` runs them
def test_tensorflow_2_5_knows_every_operator_of_every_scheme(every_scheme):
    seen = {name: set() for name in SCHEMES}
    for written in every_scheme:
        model = parse(written.contents)
        assert list(too_new(model)) == []
        # The kernels of a detector so small all stay float where activations do.
        small = written.scheme == "w8-dynamic" and not written.graph.quant
        expected = "fp32" if small else written.scheme
        assert scheme(model) == ("mixed" if "mixed" in written.scheme else expected)
        seen[written.scheme] |= {op.name for op in model.operators}
    # Floats have no borders, and the weights that float16 halves are their own.
    borders = {"fp32": {"QUANTIZE", "DEQUANTIZE"}, "fp16": {"QUANTIZE"}}
    borders |= {"w8-dynamic": borders["fp32"], "w8a8-mixed": {"PADV2"}}
    for name, operators in seen.items():
        assert operators == VERSIONS.keys() - borders.get(name, set())


@pytest.mark.parametrize("kind", ["float32", "int8", "int16"])
def test_versions_are_the_lowest_of_their_type(every_scheme, kind):
    name = {"float32": "fp32", "int8": "w8a8-static", "int16": "w8a16-static"}[kind]
    written = next(one for one in every_scheme if one.scheme == name)
    versions = {op.name: op.version for op in parse(written.contents).operators}
    for operator in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "LOGISTIC"):
        assert versions[operator] == VERSIONS[operator][kind]
