"""Picks that cover a space: no network of it has a block that they lack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.search.study.objective import MACS, Objective
from edgekit.search.study.space import find_space

SMALL = replace(scale_spec(SPECS["b0"], width=0.5), stages=SPECS["b0"].stages[:3], resolution=64)


def blocks_of(spec):
    """What of a network's graph tells its blocks apart."""
    graph, found = build_graph(spec, classes=3, seed=None), {}
    for node in graph.nodes:
        shapes = [graph.shapes[name] for name in (*node.inputs, node.name)]
        kind = (type(node).__name__, getattr(node, "kernel", 0), getattr(node, "stride", 0))
        place = node.name.partition("_")[0] if node.name.startswith("block") else "end"
        found.setdefault(place, []).append((*kind, str(shapes)))
    return {str(rows) for place, rows in found.items() if place != "end"}


@pytest.mark.parametrize("kind", ["mbconv", "size"])
def test_no_network_has_a_block_that_the_covering_lacks(kind):
    space = find_space(kind, SMALL, Objective(MACS, 1), 3)
    covered, count = set(), 0
    for picks in space.covering():
        covered |= blocks_of(space.spec(picks, "x"))
        count += 1
    assert count < space.size / 5
    rng = np.random.default_rng(0)
    for _ in range(100):
        picks = {c.name: c.values[rng.integers(len(c.values))] for c in space.choices}
        assert blocks_of(space.spec(picks, "x")) <= covered
