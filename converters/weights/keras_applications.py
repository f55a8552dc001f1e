"""Keras' names for ``keras.applications`` EfficientNet and EfficientNetV2, and its source.

Source: keras, ``applications/efficientnet.py`` and ``efficientnet_v2.py``; for the others see
`edgekit.converters.weights.keras_baselines`.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.converters.weights import keras_baselines
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
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.baselines import HALF, LIBRARY_NAMES, baseline_of
from edgekit.networks.efficientnet.spec import ModelSpec
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
BASELINE_BACKBONE = (
    r"(conv1|Conv1|bn_Conv1|conv|expanded_conv|conv_[dp]w_|block_|conv_[12]|Conv_1)\w*/.*"
)
STEM = "stem_conv/kernel"


def _plan(file: WeightFile, request: Request) -> Plan:
    notes: tuple[str, ...] = ()
    baseline = keras_baselines.names_of(file)
    if baseline is not None:
        names, backbone = baseline.of(request.graph), BASELINE_BACKBONE
    elif STEM in file.shapes:
        table = NAMES_V2 if any("_dwconv2/" in name for name in file.shapes) else NAMES
        names, backbone = table.of(request.graph), BACKBONE
    else:
        names, backbone = _by_order(request.graph, file), NUMBERED_BACKBONE
        notes = ("the file does not name its layers: they were matched by their order",)
    found = read_input(file, _brought_along(request.spec))
    ignored = normalization_tensors(file)
    return Plan(names, found.spec, backbone, ignored, notes + found.notes, found.assumptions)


def _brought_along(spec: ModelSpec) -> ModelSpec:
    """A variant as Keras has it: its baselines are fed with pixels over -1 to 1.

    Raises:
        UsageError: Keras has no such baseline.
    """
    name = baseline_of(spec.name)
    if not name:
        return spec
    if not LIBRARY_NAMES[name].keras:
        raise UsageError(f"keras.applications has no {name}", hint="weights of another library")
    return replace(spec, mean=HALF, std=HALF, epsilon=1e-3, padding="same")


def _by_order(graph: Graph, file: WeightFile) -> dict[str, str]:
    """Keras numbers the layers of each class along the network, in which they form one chain.

    No two layers with weights are parallel: even squeeze-excite lies between the depthwise
    convolution and the projection. So the n-th convolution of ours is the n-th of theirs. Where
    nothing is dense, a convolution gives the logits.
    """
    counts: dict[str, int] = {}
    has_dense = keras_baselines.DENSE in file.shapes
    automatic = AUTOMATIC if has_dense else {**AUTOMATIC, FullyConnected: AUTOMATIC[Conv2D]}

    def numbered(kind: str) -> str:
        counts[kind] = counts.get(kind, -1) + 1
        return f"{kind}_{counts[kind]}" if counts[kind] else kind

    table: dict[str, str] = {}
    for node, _ in places(graph):
        conv = numbered(automatic[type(node)])
        norm = numbered("batch_normalization") if _is_normalised(node) else ""
        for full in node.weight_names():
            suffix = full.rpartition("/")[2]
            layer = conv if suffix in ("kernel", "bias") else norm
            table[full] = f"{layer}/{TENSORFLOW_SUFFIXES[suffix]}"
    return table


def _is_normalised(node: WeightedNode) -> bool:
    return node.batch_norm is not None


SIGNS = (
    (STEM,),
    *keras_baselines.SIGNS,
    (keras_baselines.RESNET_STEM,),
    ("conv2d/kernel", "batch_normalization/gamma"),
)
SOURCE = Source("keras", SIGNS, _plan, TENSORFLOW, view=keras_baselines.view)
