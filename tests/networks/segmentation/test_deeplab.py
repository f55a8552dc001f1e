"""DeepLabV3+ on any backbone: its branches, its output stride, its sizes."""

import pytest
import torch
from narrow import narrow

from edgekit.networks.efficientnet.architecture import build_graph, pyramid
from edgekit.networks.nodes import Concat, DepthwiseConv2D, Mean, Resize, Tile
from edgekit.networks.segmentation.decoders import DeepLab
from edgekit.networks.torch_network import Network


def build(side=64, name="lite0", **decoder):
    spec = narrow(name).with_decoder(DeepLab(16, skip=8, **decoder))
    return build_graph(spec, classes=3, resolution=side, seed=1)


def test_the_branches_read_the_last_map_and_the_pooled_one_is_tiled():
    graph = build()
    last = pyramid(graph)[-1]
    concat = graph.node("aspp_concat")
    assert concat == Concat(
        name="aspp_concat",
        inputs=(
            *("aspp0", "aspp1_pointwise", "aspp2_pointwise", "aspp3_pointwise"),
            "aspp_pool_tile",
        ),
    )
    for number, rate in enumerate((6, 12, 18), 1):
        depthwise = graph.node(f"aspp{number}_depthwise")
        assert isinstance(depthwise, DepthwiseConv2D)
        assert (depthwise.inputs, depthwise.dilation) == ((last,), rate)
        assert (depthwise.use_bias, depthwise.batch_norm) == (False, None)
        assert depthwise.activation == "linear"
    assert graph.node("aspp_pool") == Mean(name="aspp_pool", inputs=(last,), keep_dims=True)
    assert graph.node("aspp_pool_tile") == Tile(
        name="aspp_pool_tile", inputs=("aspp_pool_conv",), size=(4, 4)
    )
    assert graph.node("decoder_concat").inputs == ("decoder_resize", "decoder_skip")
    assert graph.nodes[-1] == Resize(
        name="logits_resize", inputs=("logits",), size=(64, 64), method="bilinear-corners"
    )


@pytest.mark.parametrize(("output_stride", "side"), [(16, 4), (8, 8)])
@pytest.mark.parametrize("name", ["lite0", "es", "v2-s"])
def test_the_last_maps_keep_the_output_stride(name, output_stride, side):
    graph = build(name=name, output_stride=output_stride)
    assert [graph.shapes[tensor][0] for tensor in pyramid(graph)] == [
        32,
        16,
        8,
        max(side, 4),
        side,
    ]
    with torch.inference_mode():
        assert Network(graph).eval()(torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("side", [75, 97])
def test_maps_of_any_input_fit_each_other(side):
    graph = build(side=side)
    assert len({graph.shapes[name][:2] for name in graph.node("decoder_concat").inputs}) == 1
    with torch.inference_mode():
        assert Network(graph).eval()(torch.randn(1, 3, side, side)).shape == (1, 3, side, side)
