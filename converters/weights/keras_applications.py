"""Keras' names for ``keras.applications`` EfficientNet and EfficientNetV2.

Source: keras, ``applications/efficientnet.py`` and ``efficientnet_v2.py``.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.keras_input import normalization_tensors, read_input
from edgekit.converters.weights.naming import (
    TENSORFLOW,
    TENSORFLOW_SUFFIXES,
    Names,
    Plan,
    Request,
    Source,
    places,
)
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D, FullyConnected, WeightedNode

_MBCONV = {
    "expand": ("expand_conv", "expand_bn"),
    "depthwise": ("dwconv", "bn"),
    "se_reduce": ("se_reduce", ""),
    "se_expand": ("se_expand", ""),
    "project": ("project_conv", "project_bn"),
}
NAMES = Names(
    top={
        "stem": ("stem_conv", "stem_bn"),
        "head": ("top_conv", "top_bn"),
        "logits": ("predictions", ""),
    },
    prefix="block{stage}{letter}_",
    blocks=dict.fromkeys(("mbconv", "mbconv-e1", "fused", "fused-e1"), _MBCONV),
    suffixes=TENSORFLOW_SUFFIXES,
    separator="/",
)
#: V2 calls the same layers the same, but for one.
NAMES_V2 = replace(
    NAMES,
    blocks={k: {**v, "depthwise": ("dwconv2", "bn")} for k, v in NAMES.blocks.items()},
)
#: Layers as Keras 3 numbers them in files that lack their names.
AUTOMATIC = {Conv2D: "conv2d", DepthwiseConv2D: "depthwise_conv2d", FullyConnected: "dense"}
#: The layers before the classifier, by name and where Keras numbered them.
BACKBONE = r"(stem_|block\d+[a-z]+_|top_conv|top_bn).*"
NUMBERED_BACKBONE = r"(conv2d|depthwise_conv2d|batch_normalization)(_\d+)?/.*"
STEM = "stem_conv/kernel"


def _plan(file: WeightFile, request: Request) -> Plan:
    notes: tuple[str, ...] = ()
    if STEM in file.shapes:
        table = NAMES_V2 if any("_dwconv2/" in name for name in file.shapes) else NAMES
        names, backbone = table.of(request.graph), BACKBONE
    else:
        names, backbone = _by_order(request.graph), NUMBERED_BACKBONE
        notes = ("the file does not name its layers: they were matched by their order",)
    found = read_input(file, request.spec)
    ignored = normalization_tensors(file)
    return Plan(names, found.spec, backbone, ignored, notes + found.notes, found.assumptions)


def _by_order(graph: Graph) -> dict[str, str]:
    """Keras numbers the layers of each class along the network, in which they form one chain.

    No two layers with weights are parallel: even squeeze-excite lies between the depthwise
    convolution and the projection. So the n-th convolution of ours is the n-th of theirs.
    """
    counts: dict[str, int] = {}

    def numbered(kind: str) -> str:
        counts[kind] = counts.get(kind, -1) + 1
        return f"{kind}_{counts[kind]}" if counts[kind] else kind

    table: dict[str, str] = {}
    for node, _ in places(graph):
        conv = numbered(AUTOMATIC[type(node)])
        norm = numbered("batch_normalization") if _is_normalised(node) else ""
        for full in node.weight_names():
            suffix = full.rpartition("/")[2]
            layer = conv if suffix in ("kernel", "bias") else norm
            table[full] = f"{layer}/{TENSORFLOW_SUFFIXES[suffix]}"
    return table


def _is_normalised(node: WeightedNode) -> bool:
    return node.batch_norm is not None


SIGNS = ((STEM,), ("conv2d/kernel", "batch_normalization/gamma"))
SOURCE = Source("keras", SIGNS, _plan, TENSORFLOW)
