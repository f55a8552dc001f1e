"""U-Net on any backbone: what it is made of, at any size and with fewer blocks."""

from dataclasses import replace

import pytest
import torch
from narrow import narrow

from edgekit.networks.efficientnet.architecture import build_graph, pyramid
from edgekit.networks.nodes import Concat, Conv2D, Resize
from edgekit.networks.segmentation.decoders import UNet
from edgekit.networks.torch_network import Network


def build(channels=(16, 8, 8, 8, 4), side=64, name="lite0", **changes):
    spec = narrow(name).with_decoder(UNet(channels))
    return build_graph(replace(spec, **changes), classes=3, resolution=side, seed=1)


def test_a_block_doubles_concatenates_and_convolves_twice():
    graph = build()
    names = [node.name for node in graph.nodes if node.name.startswith("decoder1")]
    assert names == ["decoder1_resize", "decoder1_concat", "decoder1_conv1", "decoder1_conv2"]
    resize, concat, conv, _ = (graph.node(name) for name in names)
    skip = pyramid(graph)[3]
    assert resize == Resize(
        name="decoder1_resize", inputs=(pyramid(graph)[4],), size=(4, 4), method="nearest"
    )
    assert concat == Concat(name="decoder1_concat", inputs=("decoder1_resize", skip))
    assert isinstance(conv, Conv2D)
    assert (conv.filters, conv.kernel, conv.activation, conv.batch_norm) == (16, 3, "relu", 1e-5)
    assert "decoder5_concat" not in graph.shapes
    assert graph.output == "logits"
    assert graph.shapes["logits"] == (64, 64, 3)


@pytest.mark.parametrize("side", [64, 75, 97])
def test_an_upsampled_map_has_the_size_of_the_encoders_at_any_input(side):
    graph = build(side=side)
    for number in range(1, 5):
        concat = graph.node(f"decoder{number}_concat")
        assert len({graph.shapes[name][:2] for name in concat.inputs}) == 1
    with torch.inference_mode():
        logits = Network(graph).eval()(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 3, side, side)


@pytest.mark.parametrize(("blocks", "small"), [(2, 8), (3, 16), (4, 32)])
def test_fewer_blocks_end_with_small_logits_that_are_resized(blocks, small):
    graph = build((8,) * blocks)
    assert graph.shapes["logits"] == (small, small, 3)
    assert graph.nodes[-1] == Resize(
        name="logits_resize", inputs=("logits",), size=(64, 64), method="bilinear-corners"
    )
    assert graph.classes == 3


@pytest.mark.parametrize("name", ["b0", "es", "v2-b0", "v2-s"])
def test_every_kind_of_backbone_takes_a_decoder_and_keeps_its_names(name):
    graph = build(name=name)
    alone = build_graph(narrow(name), classes=3, resolution=64, seed=1)
    shared = [node for node in alone.nodes if node.name.startswith(("stem", "block"))]
    assert list(graph.nodes[: len(shared)]) == shared
    for node in shared:
        for weight in node.weight_names():
            assert (graph.weights[weight] == alone.weights[weight]).all()
    assert not {"head", "pool"} & graph.shapes.keys()


def test_first_logits_are_small_whatever_the_number_of_classes():
    graph = build()
    with torch.inference_mode():
        logits = Network(graph).train()(torch.randn(2, 3, 64, 64))  # as in the first step
    assert 0 < logits.std() < 1.5
    assert not graph.weights["logits/bias"].any()
