"""Keras' names for ``keras.applications`` EfficientNet and EfficientNetV2, and their input layers.

Source: keras, ``applications/efficientnet.py`` and ``efficientnet_v2.py``.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.converters.naming import (
    TENSORFLOW,
    TENSORFLOW_SUFFIXES,
    Names,
    Plan,
    Request,
    Source,
    places,
)
from edgekit.converters.weight_files import WeightFile
from edgekit.errors import UsageError
from edgekit.graph import Conv2D, DepthwiseConv2D, FullyConnected, Graph, WeightedNode
from edgekit.spec import IMAGENET_STD, ModelSpec

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
NORMALIZATION = r"normalization(_\d+)?/(mean|variance|count)"


def recognises(names: Collection[str]) -> bool:
    """Whether the tensor names of a file are those of Keras' models."""
    return "stem_conv/kernel" in names or {"conv2d/kernel", "batch_normalization/gamma"} <= set(
        names
    )


def _plan(file: WeightFile, request: Request) -> Plan:
    notes: tuple[str, ...] = ()
    if "stem_conv/kernel" in file.shapes:
        table = NAMES_V2 if any("_dwconv2/" in name for name in file.shapes) else NAMES
        names = table.of(request.graph)
    else:
        names = _by_order(request.graph)
        notes = ("the file does not name its layers: they were matched by their order",)
    ignored = {name for name in file.shapes if re.fullmatch(NORMALIZATION, name)}
    spec, more = _preprocessing(file, request.spec, ignored)
    return Plan(names, spec, frozenset(ignored), notes + more)


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


def _preprocessing(
    file: WeightFile, spec: ModelSpec, normalization: Collection[str]
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The layers in front of the stem, as one mean and std in pixel units.

    A ``.keras`` file says which there are. A file of weights alone holds the Normalization of
    V1; those of V2 are constants, which the variant's own mean and std are.
    """
    stored = {name.rpartition("/")[2]: file.read(name) for name in _small(file, normalization)}
    if file.format == "keras":
        scale, offset = _input_layers(file.metadata["config"], stored)
    elif "mean" in stored and "variance" in stored:
        scale, offset = _normalization(np.full(3, 1 / 255), np.zeros(3), stored)
        if is_imagenet_std(stored["variance"]):
            # Published V1 files hold the std where the layer expects the variance, and
            # keras.applications divides by its root once more when it loads them.
            scale, offset = (array / np.sqrt(stored["variance"]) for array in (scale, offset))
    else:
        return spec, ()
    std = 1 / scale
    mean = -offset * std
    changed = replace(spec, mean=_triple(mean), std=_triple(std))
    same = np.allclose(changed.mean, spec.mean, atol=0.01) and np.allclose(
        changed.std, spec.std, atol=0.01
    )
    note = f"preprocessing from the file: mean {changed.mean}, std {changed.std}"
    return changed, () if same else (note,)


def _small(file: WeightFile, names: Collection[str]) -> Iterator[str]:
    """The tensors of a Normalization over three channels; any other shape is refused."""
    for name in sorted(names):
        if name.endswith("/count"):
            continue
        if math.prod(file.shapes[name]) != 3:
            raise UsageError(
                f"the preprocessing in {file.path} is not that of photos",
                cause=f"{name} has shape {list(file.shapes[name])}, not [3]",
            )
        yield name


def _normalization(scale: Any, offset: Any, stored: Mapping[str, Any]) -> tuple[Any, Any]:
    """(scale x + offset - mean) / std, as a new scale and offset."""
    mean, variance = (np.ravel(np.asarray(stored[k], np.float64)) for k in ("mean", "variance"))
    if (variance <= 0).any():
        raise UsageError("the preprocessing in the weights has a variance that is not positive")
    return scale / np.sqrt(variance), (offset - mean) / np.sqrt(variance)


def is_imagenet_std(variance: Any) -> bool:
    """Whether a Normalization's variance is ImageNet's std, as in the published V1 files."""
    return np.allclose(np.ravel(variance), np.array(IMAGENET_STD) / 255, atol=1e-4)


def _input_layers(config: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[Any, Any]:
    """Follows the Rescaling and Normalization layers of a ``.keras`` file's configuration."""
    scale, offset = np.ones(3), np.zeros(3)
    try:
        for layer in itertools.takewhile(_is_before_stem, _layers(config)):
            item = layer["config"]
            if layer["class_name"] == "Rescaling":
                factor, added = (
                    np.broadcast_to(np.asarray(item[key], np.float64), 3)
                    for key in ("scale", "offset")
                )
                scale, offset = scale * factor, offset * factor + added
            elif layer["class_name"] == "Normalization":
                constants = item if item.get("mean") is not None else stored
                scale, offset = _normalization(scale, offset, constants)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "the .keras file's input layers cannot be read",
            cause=f"{type(error).__name__}: {error}",
        ) from error
    if (scale <= 0).any() or not np.isfinite(scale).all() or not np.isfinite(offset).all():
        raise UsageError("the .keras file's input layers give no usable scale")
    return scale, offset


def _layers(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every layer in order, those of models inside the model as well."""
    for layer in config["config"]["layers"]:
        if "layers" in layer["config"]:
            yield from _layers(layer)
        else:
            yield layer


def _is_before_stem(layer: Mapping[str, Any]) -> bool:
    return bool(layer["class_name"] != "Conv2D")


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


SOURCE = Source("keras", recognises, _plan, TENSORFLOW)
