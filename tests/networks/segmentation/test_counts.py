"""Parameters and operations of both decoders, to the last digit, beside smp's own."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit.networks.cost import cost, macs
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.nodes import STATISTICS
from edgekit.networks.segmentation.decoders import DeepLab, UNet

#: smp's default decoders.
THEIRS = {
    "unet": lambda taps, stride: UNet((256, 128, 64, 32, 16), taps),
    "deeplab": lambda taps, stride: DeepLab(256, stride, (12, 24, 36), 48, taps),
}
#: Parameters of the last convolution of lukemelas' and timm's encoders, which no decoder reads.
DEAD, DEAD_STATISTICS = 412_160, 2_560
#: Network, encoder, flavour, parameters at 1, 2 and 21 classes, of the encoder and of the decoder,
#: and numbers among the statistics: counted on smp 0.6.0.
TABLE = [
    ("unet", "b0", "lukemelas", (6_251_469, 6_251_614, 6_254_369), 4_007_548, 2_243_776, 44_000),
    ("unet", "b0", "timm", (6_251_469, 6_251_614, 6_254_369), 4_007_548, 2_243_776, 44_000),
    ("unet", "lite0", "timm", (5_614_929, 5_615_074, 5_617_829), 3_371_008, 2_243_776, 44_000),
    ("unet", "b0", "tu", (5_834_701, 5_834_846, 5_837_601), 3_595_388, 2_239_168, 41_440),
    ("unet", "lite0", "tu", (5_198_161, 5_198_306, 5_201_061), 2_958_848, 2_239_168, 41_440),
    ("deeplab", "b0", "lukemelas", (4_907_469, 4_907_726, 4_912_609), 4_007_548, 899_664, 46_208),
    ("deeplab", "lite0", "timm", (4_270_929, 4_271_186, 4_276_069), 3_371_008, 899_664, 46_208),
    ("deeplab", "b0", "tu", (4_495_309, 4_495_566, 4_500_449), 3_595_388, 899_664, 43_648),
    ("deeplab", "lite0", "tu", (3_858_769, 3_859_026, 3_863_909), 2_958_848, 899_664, 43_648),
]


def build(kind, backbone, taps="tu", *, classes=21, side=256, output_stride=16):
    spec = replace(find_spec(f"{kind}-{backbone}"), decoder=THEIRS[kind](taps, output_stride))
    return build_graph(spec, classes=classes, resolution=side, seed=None)


@pytest.mark.parametrize(("kind", "backbone", "taps", "whole", "encoder", "decoder", "kept"), TABLE)
def test_parameters(kind, backbone, taps, whole, encoder, decoder, kept):
    dead = 0 if taps == "tu" else DEAD
    for classes, expected in zip((1, 2, 21), whole, strict=True):
        graph = build(kind, backbone, taps, classes=classes, side=32)
        assert cost(graph).parameters + dead == expected
    trained, statistics = {}, 0
    for name, array in graph.weights.items():
        node, _, suffix = name.partition("/")
        part = "encoder" if is_backbone(node) else "head" if node == "logits" else "decoder"
        if suffix in STATISTICS:
            statistics += array.size
        else:
            trained[part] = trained.get(part, 0) + array.size
    assert trained["encoder"] + dead == encoder
    assert trained["decoder"] == decoder
    assert statistics + (DEAD_STATISTICS if dead else 0) == kept


@pytest.mark.parametrize(
    ("kind", "backbone", "output_stride", "encoder", "rest"),
    [
        ("unet", "b0", 16, 475.8, 2_595.2),
        ("unet", "lite0", 16, 475.2, 2_595.2),
        ("deeplab", "b0", 16, 890.5, 544.1),
        ("deeplab", "b0", 8, 3_084.8, 1_106.2),
        ("deeplab", "lite0", 16, 889.8, 544.1),
        ("deeplab", "lite0", 8, 3_084.2, 1_106.2),
    ],
)
def test_operations_at_256_pixels_in_millions(kind, backbone, output_stride, encoder, rest):
    graph = build(kind, backbone, output_stride=output_stride)
    found = np.zeros(2)
    for node in graph.nodes:
        found[0 if is_backbone(node.name) else 1] += macs(graph, node)
    assert np.round(found / 1e6, 1).tolist() == [encoder, rest]


def test_the_default_decoders_cost_less_than_half_of_smps():
    for kind in THEIRS:
        ours = build_graph(find_spec(f"{kind}-lite0"), resolution=256, seed=None)
        theirs = build(kind, "lite0")
        rest = [
            sum(macs(graph, node) for node in graph.nodes if not is_backbone(node.name))
            for graph in (ours, theirs)
        ]
        assert rest[0] < 0.45 * rest[1]
