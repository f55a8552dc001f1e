"""Shapes that follow from nodes."""

import pytest
from map_graphs import CASES
from pooled import VARIANTS, pooled

from edgekit.networks.builder import output_shape


def follow(graph):
    for node in graph.nodes:
        read = [graph.shapes[source] for source in node.inputs]
        assert output_shape(node, read) == graph.shapes[node.name]


@pytest.mark.parametrize("name", CASES)
def test_shapes_of_maps_follow_from_what_nodes_read(name):
    follow(CASES[name]())


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_behind_pools_do(name):
    follow(pooled(name))
