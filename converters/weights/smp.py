"""Names and layouts of segmentation_models_pytorch: U-Net and DeepLabV3+ on its three encoders.

Source: its 0.6.0, ``decoders/{unet,deeplabv3}/decoder.py`` and ``encoders/``. The names tell which
encoder it is, and with that how it pads, its epsilon and which of its maps the decoder reads
(`edgekit.networks.segmentation.taps`). They do not tell the rates and the output stride.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgekit.converters.weights import lukemelas, timm
from edgekit.converters.weights.decoder_in_file import check_segmenter
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import (
    TORCH,
    TORCH_COUNTERS,
    TORCH_SUFFIXES,
    Layers,
    Names,
    Plan,
    Request,
    Source,
    input_assumption,
    matching,
    named,
)
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.graph import Graph
from edgekit.networks.segmentation.decoders import BLOCKS, DeepLab, Segmenter, UNet
from edgekit.networks.segmentation.taps import TAPS


@dataclass(frozen=True)
class Encoder:
    """How one of its encoders is written down.

    Attributes:
        prefix: of the encoder's names.
        names: what follows, as another library calls it.
        unused: a pattern of layers that it has and no decoder reads, behind the prefix.
    """

    prefix: str
    names: Names
    unused: str


#: By the names of `edgekit.networks.segmentation.taps.TAPS`.
ENCODERS: dict[str, Encoder] = {
    "tu": Encoder("encoder.model.", timm.NAMES, r"(conv_head|bn2|classifier)\..*"),
    "timm": Encoder("encoder.", timm.NAMES, r"(conv_head|bn2|classifier)\..*"),
    "lukemelas": Encoder("encoder.", lukemelas.NAMES, r"_(conv_head|bn1|fc)\..*"),
}
#: A head for whole photos that it may have beside the one for pixels.
CLASSIFIER = r"classification_head\..*"
#: The decoder's layers, by ours: a convolution, and its normalization.
DECODERS: dict[type[Any], Layers] = {
    UNet: {
        "logits": ("segmentation_head.0", ""),
        **{
            f"decoder{block + 1}_conv{number}": (f"{layer}.0", f"{layer}.1")
            for block in range(BLOCKS[1])
            for number in (1, 2)
            for layer in [f"decoder.blocks.{block}.conv{number}"]
        },
    },
    DeepLab: {
        "aspp0": ("decoder.aspp.0.convs.0.0", "decoder.aspp.0.convs.0.1"),
        **{
            f"aspp{rate}_{role}": (f"{branch}.0.{index}", f"{branch}.1")
            for rate in (1, 2, 3)
            for branch in [f"decoder.aspp.0.convs.{rate}"]
            for index, role in enumerate(("depthwise", "pointwise"))
        },
        "aspp_pool_conv": ("decoder.aspp.0.convs.4.1", "decoder.aspp.0.convs.4.2"),
        "aspp_project": ("decoder.aspp.0.project.0", "decoder.aspp.0.project.1"),
        "decoder1_depthwise": ("decoder.aspp.1.0", ""),
        "decoder1_pointwise": ("decoder.aspp.1.1", "decoder.aspp.2"),
        "decoder_skip": ("decoder.block1.0", "decoder.block1.1"),
        "decoder2_depthwise": ("decoder.block2.0.0", ""),
        "decoder2_pointwise": ("decoder.block2.0.1", "decoder.block2.1"),
        "logits": ("segmentation_head.0", ""),
    },
}
#: Its default at both output strides.
RATES = (12, 24, 36)


def _stem(encoder: Encoder) -> str:
    return f"{encoder.prefix}{encoder.names.top['stem'][0]}.weight"


def names(graph: Graph, flavour: str) -> dict[str, str]:
    """Maps our weight names to theirs, for every weight of the Graph.

    Args:
        graph: a network for segmentation, as `build_graph` gives it.
        flavour: of the encoder, a key of `ENCODERS`.
    """
    encoder = ENCODERS[flavour]
    backbone = tuple(node for node in graph.nodes if is_backbone(node.name))
    ours = encoder.names.of(replace(graph, nodes=backbone))
    table = {full: f"{encoder.prefix}{theirs}" for full, theirs in ours.items()}
    is_unet = any(node.name == "decoder1_conv1" for node in graph.nodes)
    layers = DECODERS[UNet if is_unet else DeepLab]
    for node in graph.nodes:
        for full in node.weight_names() if node not in backbone else ():
            suffix = full.rpartition("/")[2]
            layer = layers[node.name][suffix not in ("kernel", "bias")]
            table[full] = f"{layer}.{TORCH_SUFFIXES[suffix]}"
    return table


def _plan(file: WeightFile, request: Request) -> Plan:
    flavour = next(name for name, encoder in ENCODERS.items() if _stem(encoder) in file.shapes)
    taps, encoder = TAPS[flavour], ENCODERS[flavour]
    decoder = check_segmenter(file, request, decoder_in(file, flavour))
    ignored = matching(TORCH_COUNTERS, file.shapes)
    dead = matching(re.escape(encoder.prefix) + encoder.unused, file.shapes)
    beside = matching(CLASSIFIER, file.shapes)
    notes = [f"not used, as no decoder reads it: {named(dead)}"] if dead else []
    notes += [f"not used, as it classifies whole photos: {named(beside)}"] if beside else []
    return Plan(
        names(request.graph, flavour),
        replace(request.spec, padding=taps.padding, epsilon=taps.epsilon, decoder=decoder),
        r"(encoder|decoder|segmentation_head)\..*",
        ignored | dead | beside,
        tuple(notes),
        tuple(_assumptions(request, decoder)),
    )


def decoder_in(file: WeightFile, flavour: str) -> Segmenter:
    """The decoder that a file holds; of DeepLab with smp's default rates."""
    blocks = sorted(matching(r"decoder\.blocks\.\d+\.conv2\.0\.weight", file.shapes))
    if blocks:
        return UNet(tuple(file.shapes[name][0] for name in blocks), flavour)
    layers = DECODERS[DeepLab]
    channels, skip = (
        file.shapes.get(f"{layers[name][0]}.weight", (0,))[0]
        for name in ("aspp_project", "decoder_skip")
    )
    return DeepLab(channels, rates=RATES, skip=skip, taps=flavour)


def _assumptions(request: Request, decoder: Segmenter) -> Iterator[str]:
    """What a state dict does not say."""
    spec, why = request.spec, "a state dict does not say"
    yield input_assumption(spec, f"{why}; they are the variant's")
    if isinstance(decoder, DeepLab):
        rates = ", ".join(map(str, decoder.atrous_rates))
        yield f"output stride {decoder.output_stride} and atrous rates {rates}: {why}"
    if decoder.taps == "tu" and spec.backbone.name in timm.OWN_WEIGHTS:
        yield f"padding and epsilon of timm's ports from TensorFlow (tu-tf_efficientnet): {why}"


SIGNS = tuple((_stem(encoder), "segmentation_head.0.weight") for encoder in ENCODERS.values())
SOURCE = Source("smp", SIGNS, _plan, TORCH, separator=".", has_decoder=lambda file: True)
