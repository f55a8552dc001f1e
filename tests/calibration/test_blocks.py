"""Blocks have every node once and end where one linear tensor leads on."""

import pytest
from map_graphs import aspp, unet
from narrow import narrow

from edgekit.calibration.blocks import LARGEST, find_blocks
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Activation, WeightedNode
from edgekit.networks.passes import prepare


def prepared(name):
    return prepare(build_graph(narrow(name, depth=0.5), classes=4, resolution=32, seed=2))


GRAPHS = pytest.mark.parametrize(
    "make",
    [lambda: prepared("b0"), lambda: prepared("lite0"), lambda: prepared("v2-b0"), unet, aspp],
    ids=["b0", "lite0", "v2-b0", "unet", "aspp"],
)


@GRAPHS
def test_every_node_is_in_one_block_and_blocks_know_their_ends(make):
    graph = make()
    blocks = find_blocks(graph)
    assert [node for block in blocks for node in block.nodes] == list(graph.nodes)
    known = {graph.input}
    for index, block in enumerate(blocks):
        assert any(isinstance(node, WeightedNode) for node in block.nodes)
        assert known.issuperset(block.inputs)
        known.update(block.outputs)
        later = {n for other in blocks[index + 1 :] for n in other.inputs} | {*graph.outputs}
        assert {*block.outputs} == {node.name for node in block.nodes} & later
    assert graph.output in blocks[-1].outputs


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-b0"])
def test_a_classifier_ends_its_blocks_behind_projections_and_sums(name):
    *blocks, head = find_blocks(prepared(name))
    assert len(blocks) >= 7
    assert all(len(block.inputs) == len(block.outputs) == 1 for block in blocks)
    ends = [block.outputs[0] for block in blocks]
    assert all(end.endswith(("_project", "_add")) for end in ends)
    assert any(end.endswith("_add") for end in ends)
    assert [head.nodes[0].name, head.outputs[0]] == ["head", "logits"]


def test_maps_that_are_read_far_behind_lead_from_block_to_block():
    first, *others = find_blocks(aspp())
    assert len(first.outputs) > 1
    assert any(len(block.inputs) > 1 for block in others)


@GRAPHS
def test_no_swish_is_cut_from_what_it_multiplies(make):
    for block in find_blocks(make()):
        own = {node.name for node in block.nodes}
        for node in block.nodes:
            if isinstance(node, Activation):
                assert own.issuperset(node.inputs)
        assert sum(isinstance(node, WeightedNode) for node in block.nodes) <= 2 * LARGEST
