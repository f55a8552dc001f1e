"""TensorFlow 1 checkpoints of Google's own code: V1, Lite, EdgeTPU (tensorflow/tpu), V2 (automl).

Source: ``efficientnet_model.py`` and ``effnetv2_model.py``. Layers are numbered inside a block in
the order in which they are called; squeeze-excite counts in a scope of its own. Training keeps a
shadow of every weight, its moving average, and the published accuracies are the shadows'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import (
    TENSORFLOW,
    TENSORFLOW_SUFFIXES,
    Names,
    Plan,
    Request,
    Source,
    input_assumption,
    matching,
)
from edgekit.converters.weights.open import Advice
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import DepthwiseConv2D

SHADOW = "/ExponentialMovingAverage"
#: What optimizers keep beside a weight, and the counters of a training run.
SLOTS = r".+/(RMSProp(_\d+)?|Momentum|Adam(_\d+)?|LARSOptimizer|LAMB(_\d+)?)"
COUNTERS = r"(.*/)?(global_step|beta[12]_power|current_loss_scale|good_steps|loss_scale\w*)"

#: The layers before the classifier, ``head/dense``.
BACKBONE = r"(stem|blocks_\d+|head/(conv2d|(tpu_)?batch_normalization))/.*"

_NORM = "tpu_batch_normalization"
_SE = {"se_reduce": ("se/conv2d", ""), "se_expand": ("se/conv2d_1", "")}
_SHORT = {"project": ("conv2d", f"{_NORM}_1"), **_SE}

NAMES = Names(
    top={
        "stem": ("stem/conv2d", f"stem/{_NORM}"),
        "head": ("head/conv2d", f"head/{_NORM}"),
        "logits": ("head/dense", ""),
    },
    prefix="blocks_{block}/",
    blocks={
        "mbconv": {
            "expand": ("conv2d", _NORM),
            "depthwise": ("depthwise_conv2d", f"{_NORM}_1"),
            "project": ("conv2d_1", f"{_NORM}_2"),
            **_SE,
        },
        "mbconv-e1": {"depthwise": ("depthwise_conv2d", _NORM), **_SHORT},
        "fused": {"expand": ("conv2d", _NORM), "project": ("conv2d_1", f"{_NORM}_1"), **_SE},
        "fused-e1": {"project": ("conv2d", _NORM)},
    },
    suffixes=TENSORFLOW_SUFFIXES,
    separator="/",
)


def _plan(file: WeightFile, request: Request) -> Plan:
    raw = {ours: spelled(name, file.shapes) for ours, name in names(request.graph).items()}
    if request.ema:
        chosen, notes = averaged(raw, file.shapes, request.advice)
    else:
        chosen, notes = raw, ("raw weights, no EMA",)
    # A raw weight and its shadow stand in for each other, and slots belong to a weight.
    pairs = set(raw.values()) | {name + SHADOW for name in raw.values()}
    ignored = matching(SLOTS, file.shapes) | matching(COUNTERS, file.shapes)
    why = "a checkpoint does not say; they are those that the variant was published with"
    return Plan(
        chosen,
        request.spec,
        BACKBONE,
        ignored | (pairs & file.shapes.keys()),
        notes,
        (input_assumption(request.spec, why),),
    )


def names(graph: Graph) -> dict[str, str]:
    """Maps our weight names to theirs, without the name of the model, their prefix."""
    depthwise = {f"{n.name}/kernel" for n in graph.nodes if isinstance(n, DepthwiseConv2D)}
    return {
        ours: name.replace("/kernel", "/depthwise_kernel") if ours in depthwise else name
        for ours, name in NAMES.of(graph).items()
    }


def spelled(name: str, shapes: Mapping[str, object]) -> str:
    """Off a TPU, the same layers are called ``batch_normalization``."""
    if any("/tpu_batch_normalization" in theirs for theirs in shapes):
        return name
    return name.replace("tpu_batch_normalization", "batch_normalization")


def averaged(
    raw: Mapping[str, str], shapes: Mapping[str, object], advice: Advice
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The shadows of all weights; the statistics, which move slowly anyway, may lack one.

    Raises:
        UsageError: some weights have a shadow and others none.
    """
    names = {o: n + SHADOW if n + SHADOW in shapes else n for o, n in raw.items()}
    lacking = [ours for ours, name in names.items() if not name.endswith(SHADOW)]
    if len(lacking) == len(names):
        return names, ("the checkpoint holds no moving averages: raw weights were used",)
    if all(re.search(r"/(mean|variance)$", ours) for ours in lacking):
        note = "the statistics have no moving averages: raw ones" if lacking else ""
        return names, tuple(filter(None, ("moving averages (EMA) of the weights", note)))
    raise UsageError(
        "the checkpoint holds moving averages of some weights only",
        cause=f"none of {raw[lacking[0]]}",
        hint=f"{advice.raw} for the raw weights",
    )


SIGNS = (("stem/conv2d/kernel",),)
SOURCE = Source("tf1", SIGNS, _plan, TENSORFLOW, frozenset({"es", "em", "el"}), separator="/")
