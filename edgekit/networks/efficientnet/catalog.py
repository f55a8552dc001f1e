"""What is known of each variant: its cost, counted, and its accuracy and speed, as published."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.networks.cost import cost
from edgekit.networks.decoders import decoder_record
from edgekit.networks.detection.detectors import PUBLISHED
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import WeightedNode
from edgekit.system.files import read_json

RISKS = ("low", "medium", "high")

#: Points of top-1 from which a drop of post-training int8 counts as serious.
SERIOUS_DROP = 1.0

#: Activations whose outputs are heavy-tailed, and negative in part.
UNEVEN = ("swish", "hard-swish")

#: Bytes per output channel that a .tflite file keeps beside the weights: a float32 scale and an
#: int64 zero point, of the kernel and of the bias.
CHANNEL_RECORD = 24


def list_models(name: str | None = None) -> list[dict[str, Any]]:
    """What each variant, or the one named, costs at its own resolution and 1000 classes.

    The family comes first, then the baselines of others. A network with a decoder is in no list,
    and by its name it is counted at the classes that are usual for its task.

    Returns:
        Dictionaries with the counted ``name, parameters, macs, peak_activation`` (elements),
        ``classes``, ``resolution`` (pixels), ``decoder`` (its record or None),
        ``activation, squeeze_excite``; the estimated ``int8_bytes`` (weights) and
        ``int8_file_bytes``; ``quantization_risk`` (low, medium or high) with its
        ``quantization_reason`` and ``traps`` (``text, source``); and from the literature
        ``published`` (``fp32_top1, int8_top1, method, toolkit, source, note``, in percent),
        ``latency`` (``device, precision, ms, source, note``) and of detectors ``coco_ap`` (of the
        float and of the int8 file, in percent). What nobody published is None.

    Raises:
        UsageError: no such variant.
    """
    known = [*SPECS.values(), *BASELINES.values()]
    return [_describe(spec) for spec in ([find_spec(name)] if name else known)]


def _describe(spec: ModelSpec) -> dict[str, Any]:
    graph = build_graph(spec, seed=None)
    channels, weights = int8_size(graph)
    published = figures("accuracy", spec.name)
    level, reason = known_risk(spec)
    return {
        "name": spec.name,
        **asdict(cost(graph)),
        "classes": graph.classes,
        "resolution": spec.resolution,
        "decoder": decoder_record(spec.decoder) if spec.decoder else None,
        "activation": spec.activation,
        "squeeze_excite": has_squeeze_excite(spec),
        "int8_bytes": weights,
        "int8_file_bytes": weights + CHANNEL_RECORD * channels,
        "quantization_risk": level,
        "quantization_reason": reason,
        "traps": [
            {"text": trap["text"], "source": trap["source"]}
            for trap in _literature()["traps"]
            if spec.backbone.name in trap.get("models", ())
            or spec.activation == trap.get("activation")
        ],
        "published": published,
        "latency": figures("latency", spec.name),
        "coco_ap": _coco_ap(spec.name),
    }


def _coco_ap(name: str) -> tuple[float, float | None] | None:
    """COCO AP of a detector and of its int8 file, in percent."""
    row = PUBLISHED.get(name)
    return None if row is None or row.ap is None else (row.ap, row.int8_ap)


def known_risk(spec: ModelSpec) -> tuple[str, str]:
    """`quantization_risk` with all that is published on a variant."""
    backbone = spec.backbone
    level, reason = quantization_risk(
        backbone, post_training_drops(figures("accuracy", backbone.name))
    )
    if spec.decoder is None:
        return level, reason
    if spec.anchors is not None:
        return level, f"of the backbone, whose activation all of the detector has: {reason}"
    return level, f"of the backbone, as the decoder is convolutions and ReLU: {reason}"


def int8_size(graph: Graph) -> tuple[int, int]:
    """Estimates a network in int8: its output channels, and the bytes of its weights.

    A kernel element is one byte. Once batch normalization is folded every output channel has an
    int32 bias. Scales, zero points and the operators themselves come on top.
    """
    nodes = [node for node in graph.nodes if isinstance(node, WeightedNode)]
    channels = sum(graph.shapes[node.name][-1] for node in nodes)
    # Of weights that several nodes have, each gets a copy once its batch normalization is folded.
    kernels = sum(math.prod(graph.node_weights(node)["kernel"].shape) for node in nodes)
    return channels, kernels + 4 * channels


def has_squeeze_excite(spec: ModelSpec) -> bool:
    """Whether any block of a variant has squeeze-excite."""
    return any(stage.se_ratio for stage in spec.scaled_stages())


def quantization_risk(spec: ModelSpec, drops: list[float]) -> tuple[str, str]:
    """How likely post-training int8 loses accuracy, and why: a rule, not a measurement.

    Swish, hard or not, and squeeze-excite each raise the risk by one level, because their outputs
    are heavy-tailed. Published drops then correct it by one level: down where even the worst is
    below `SERIOUS_DROP`, up where even the best is not.

    Args:
        spec: the variant.
        drops: published drops of its top-1 by post-training quantization, in points.

    Returns:
        ``low``, ``medium`` or ``high``, and the reason in a sentence.
    """
    traits = [
        name
        for name, has in (
            (spec.activation, spec.activation in UNEVEN),
            ("squeeze-excite", has_squeeze_excite(spec)),
        )
        if has
    ]
    level = len(traits)
    if drops and max(drops) < SERIOUS_DROP:
        level = max(0, level - 1)
    elif drops and min(drops) >= SERIOUS_DROP:
        level = min(len(RISKS) - 1, level + 1)
    structure = (
        f"{' and '.join(traits)} give heavy-tailed activations"
        if traits
        else f"{spec.activation} without squeeze-excite quantizes well"
    )
    if not drops:
        evidence = "no post-training int8 figure is published"
    elif len(drops) == 1:
        evidence = f"the published post-training drop is {drops[0]:.2f} points"
    else:
        evidence = (
            f"published post-training drops run from {min(drops):.2f} to {max(drops):.2f} points"
        )
    return RISKS[level], f"{structure}; {evidence}"


def post_training_drops(published: list[dict[str, Any]]) -> list[float]:
    """The drops among published figures that post-training quantization to int8 caused."""
    return [
        round(row["fp32_top1"] - row["int8_top1"], 3)
        for row in published
        if row["method"].startswith("PTQ") and row["int8_top1"] is not None
    ]


def figures(kind: str, name: str) -> list[dict[str, Any]]:
    """The published figures of a variant, each with a note or None.

    Args:
        kind: ``accuracy`` or ``latency``.
        name: of the variant; there are none of one that nobody has published.
    """
    return [
        {"note": None, **{key: value for key, value in row.items() if key != "model"}}
        for row in _literature()[kind]
        if row["model"] == name
    ]


@cache
def _literature() -> dict[str, list[dict[str, Any]]]:
    contents: dict[str, list[dict[str, Any]]] = read_json(
        Path(__file__).with_name("published.json")
    )
    return contents
