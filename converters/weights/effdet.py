"""Names and layouts of effdet's EfficientDets: their state dicts, of PyTorch.

Source: efficientdet-pytorch (effdet) 0.4.1, ``efficientdet.py``, ``config/model_config.py`` and
``anchors.py``. Models called ``tf_efficientdet_*`` are Google's layout: biases in front of batch
normalizations, and TensorFlow's padding. Others have neither; ``efficientdet_d4`` and ``_d5`` are
a mixture, whose backbone pads symmetrically. The ratios of the anchors are the old ones in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgekit.converters.weights import timm
from edgekit.converters.weights.decoder_in_file import check_detector
from edgekit.converters.weights.detector_names import count, names_of
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import (
    TORCH,
    TORCH_COUNTERS,
    TORCH_SUFFIXES,
    Plan,
    Request,
    Source,
    input_assumption,
    matching,
)
from edgekit.data.boxes.anchors import OLD_RATIOS, Anchors
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec
from edgekit.networks.graph import Graph

BACKBONE = "backbone."
_NODE = "fpn.cell.{cell}.fnode.{node}"
_LATERAL = _NODE + ".combine.resample.{offset}.conv"
_AFTER = _NODE + ".after_combine.conv"
_REPEAT = "{head}_net.conv_rep.{repeat}"
_PREDICT = "{head}_net.predict"
TABLE = {
    "coarse": {
        "kernel": "fpn.resample.{offset}.conv.conv.weight",
        "bias": "fpn.resample.{offset}.conv.conv.bias",
        "norm": "fpn.resample.{offset}.conv.bn",
    },
    "lateral": {
        "kernel": f"{_LATERAL}.conv.weight",
        "bias": f"{_LATERAL}.conv.bias",
        "norm": f"{_LATERAL}.bn",
    },
    "sum": {"weights": f"{_NODE}.combine.edge_weights"},
    "depthwise": {"kernel": f"{_AFTER}.conv_dw.weight"},
    "pointwise": {
        "kernel": f"{_AFTER}.conv_pw.weight",
        "bias": f"{_AFTER}.conv_pw.bias",
        "norm": f"{_AFTER}.bn",
    },
    "repeat-depthwise": {"kernel": f"{_REPEAT}.conv_dw.weight"},
    "repeat-pointwise": {
        "kernel": f"{_REPEAT}.conv_pw.weight",
        "bias": f"{_REPEAT}.conv_pw.bias",
        "norm": "{head}_net.bn_rep.{repeat}.{offset}.bn",
    },
    "predict-depthwise": {"kernel": f"{_PREDICT}.conv_dw.weight"},
    "predict-pointwise": {
        "kernel": f"{_PREDICT}.conv_pw.weight",
        "bias": f"{_PREDICT}.conv_pw.bias",
    },
}
#: Its scale of the anchors in models without Google's layout.
OWN_SCALE = 4.0


def names(graph: Graph) -> dict[str, str]:
    """Maps our weight names to theirs, for every weight of a detector."""
    backbone = tuple(node for node in graph.nodes if is_backbone(node.name))
    ours = timm.NAMES.of(replace(graph, nodes=backbone))
    table = {full: f"{BACKBONE}{theirs}" for full, theirs in ours.items()}
    return table | names_of(graph, TABLE, TORCH_SUFFIXES, ".")


def detector_in(file: WeightFile, anchors: Anchors) -> EfficientDet:
    """The detector that a file holds, but for the anchors, of which it knows their levels."""
    shapes = file.shapes
    biased = TABLE["pointwise"]["bias"].format(cell=0, node=0) in shapes
    levels = count(r"box_net\.bn_rep\.0\.(\d+)\.bn\.weight", shapes)
    first = anchors.levels[0]
    return EfficientDet(
        channels=shapes["box_net.predict.conv_dw.weight"][0],
        cells=count(r"fpn\.cell\.(\d+)\..*", shapes),
        repeats=count(r"box_net\.conv_rep\.(\d+)\..*", shapes),
        fusion="fast" if any(name.endswith(".edge_weights") for name in shapes) else "sum",
        anchors=replace(
            anchors,
            scale=anchors.scale if biased else OWN_SCALE,
            ratios=OLD_RATIOS,
            levels=tuple(range(first, first + (levels or len(anchors.levels)))),
        ),
        biased=biased,
        padding="same" if biased else "symmetric",
    )


def _plan(file: WeightFile, request: Request) -> Plan:
    spec = request.spec
    theirs = detector_in(file, spec.anchors or Anchors())
    decoder = check_detector(file, request, theirs)
    spec = replace(
        spec,
        padding=decoder.padding,
        epsilon=1e-3 if decoder.biased else timm.OWN_EPSILON,
        decoder=decoder,
    )
    spec = _normalised(spec)
    graph = build_graph(spec, classes=1, resolution=32, seed=None)
    return Plan(
        names(graph),
        spec,
        r"(backbone|fpn|class_net|box_net)\..*",
        matching(TORCH_COUNTERS, file.shapes),
        (),
        tuple(_assumptions(spec, decoder)),
    )


def _normalised(spec: ModelSpec) -> ModelSpec:
    """The variant with the mean and std of effdet's model of that name.

    Those of ``tf_efficientdet_lite*`` are timm's HALF, not Google's 127 and 128.
    """
    decoder = spec.decoder
    is_lite = spec.activation == "relu6" and isinstance(decoder, EfficientDet) and decoder.biased
    mean, std = (timm.HALF, timm.HALF) if is_lite else (IMAGENET_MEAN, IMAGENET_STD)
    return replace(spec, mean=mean, std=std, interpolation="bilinear")


def _assumptions(spec: ModelSpec, decoder: EfficientDet) -> Iterator[str]:
    """What a state dict does not say."""
    why = "a state dict does not say"
    yield input_assumption(spec, f"{why}; they are those of effdet's model")
    yield (
        f"anchors of {decoder.anchors.scale:g} strides, in effdet's ratios, which Google's "
        f"checkpoints had until 2020-09: {why}"
    )
    if decoder.biased:
        yield (
            "TensorFlow's padding and epsilon 1e-3, by the biases in front of batch "
            "normalizations (the backbones of efficientdet_d4 and _d5 have neither)"
        )
    else:
        yield "symmetric padding, by the lack of biases in front of batch normalizations"


SIGNS = (("backbone.conv_stem.weight", "class_net.predict.conv_pw.weight"),)
SOURCE = Source("effdet", SIGNS, _plan, TORCH, separator=".", has_decoder=lambda file: True)
