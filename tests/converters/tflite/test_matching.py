"""Every tensor of a network is found in its file, and what differs there is named."""

from dataclasses import replace

import pytest
from planted import Plant, quantized
from pooled import pooled
from pooled import quantized as quantize_pooled

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.matching import find_differences, intended, match
from edgekit.converters.tflite.write import convert
from edgekit.networks.nodes import SpatialNode


@pytest.fixture(scope="module")
def pair():
    _, graph = quantized("lite0 symmetric")  # with padding operators between the nodes
    return graph, convert(graph, io="uint8")


def differences(graph, contents):
    model = parse(contents)
    return [(d.tensor, d.kind) for d in find_differences(graph, model, match(graph, model))]


def test_every_node_weight_and_copy_is_found(pair):
    graph, contents = pair
    model = parse(contents)
    found = match(graph, model)
    assert set(found.operators) == {node.name for node in graph.nodes}
    assert set(found.tensors) == {graph.input, *found.operators, *graph.weights}
    assert not found.missing
    ends = {"QUANTIZE", "PAD"}
    assert {op.name for op in model.operators if op.index not in found.operators.values()} == ends
    padded = [op for op in model.operators if op.name == "PAD"]
    assert len(padded) == 4  # where rows and columns are even
    assert {op.outputs[0] for op in padded} | {*model.inputs, *model.outputs} == set(found.copies)
    assert all(found.copies[op.outputs[0]] == found.names()[op.inputs[0]] for op in padded)


def test_a_faithful_file_is_what_was_intended(pair):
    graph, contents = pair
    model = parse(contents)
    found = match(graph, model)
    assert find_differences(graph, model, found) == []
    wanted = intended(graph, model, found)
    for ours, theirs in zip(wanted.tensors, model.tensors, strict=True):
        assert ours == theirs
        assert (ours.data == theirs.data).all()


def test_what_is_set_right_is_the_faithful_file(pair):
    graph, contents = pair
    plant = Plant(contents, graph)
    plant.quantization("block3a_project").scale[0] *= 1.01
    plant.data("block2a_expand/kernel")[:] = 7
    plant.operator("stem").builtinOptions.fusedActivationFunction = 0
    broken, model = parse(plant.pack()), parse(contents)
    found = match(graph, broken)
    wanted = intended(graph, broken, found)
    for ours, theirs in zip(wanted.tensors, model.tensors, strict=True):
        assert ours.scales == pytest.approx(theirs.scales, rel=1e-6)
        assert (ours.data == theirs.data).all()
    assert [op.fused_activation for op in wanted.operators] == [
        op.fused_activation for op in model.operators
    ]


def test_a_padded_copy_keeps_its_source_s_scale(pair):
    graph, contents = pair
    plant = Plant(contents, graph)
    index, name = next((i, n) for i, n in plant.found.copies.items() if n.startswith("block"))
    tensor = plant.model.subgraphs[0].tensors[index]
    tensor.quantization.scale = tensor.quantization.scale * 1.01
    ((where, kind),) = differences(graph, plant.pack())
    assert where.startswith(f"{name} (")
    assert kind == "scale"


def test_another_network_is_told_by_its_nodes(pair):
    graph, contents = pair
    nodes = [
        replace(node, stride=2) if node.name == "block4a_expand" else node for node in graph.nodes
    ]
    assert ("block4a_expand", "stride") in differences(replace(graph, nodes=tuple(nodes)), contents)
    nodes = [
        replace(node, padding="same") if isinstance(node, SpatialNode) else node
        for node in graph.nodes
    ]
    kinds = differences(replace(graph, nodes=tuple(nodes)), contents)
    assert len(kinds) == 4
    assert {kind for _, kind in kinds} == {"padding"}
    shorter = [node for node in graph.nodes if node.name != "pool"]
    shorter[-1] = replace(shorter[-1], inputs=("head",))
    missing = differences(replace(graph, nodes=tuple(shorter)), contents)
    assert missing == [("logits", "structure")]


@pytest.fixture(scope="module", params=["b0", "lite0"])
def pools(request):
    graph = quantize_pooled(pooled(request.param))
    return graph, convert(graph, io="uint8")


def test_every_pool_is_found_and_a_vector_is_what_was_flattened(pools):
    graph, contents = pools
    found = match(graph, parse(contents))
    assert not found.missing
    assert {node.name for node in graph.nodes} - found.operators.keys() == {"pool"}
    assert found.tensors["pool"] == found.tensors["pool_average"]
    assert differences(graph, contents) == []


@pytest.mark.parametrize(
    ("field", "kind"), [("filterWidth", "kernel"), ("strideH", "stride"), (None, "scale")]
)
def test_a_pools_windows_and_scale_are_compared(pools, field, kind):
    graph, contents = pools
    plant = Plant(contents, graph)
    if field:
        setattr(plant.operator("pool_average").builtinOptions, field, 1)
    else:
        plant.quantization("pool_average").scale[0] *= 1.01
    assert differences(graph, plant.pack()) == [("pool_average", kind)]
