"""What a Keras model does to pixels in front of its stem, as one mean and std in pixel units.

A whole model carries its configuration, and that decides. A file of weights alone holds the
numbers of a Normalization at most, and the names of all layers: the rest is assumed, and said to
be.

Source: keras, ``applications/efficientnet.py`` and ``efficientnet_v2.py``.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import input_assumption, matching, triples
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import IMAGENET_STD, ModelSpec
from edgekit.networks.nodes import Array

#: Layers that leave the values of pixels as they are, in inference.
NEUTRAL = {"InputLayer", "ZeroPadding2D", "Resizing", "CenterCrop", "Dropout", "GaussianNoise"}
NEUTRAL_NAMES = r"Random\w+|\w*(Rand|Aug|Mix)\w*"
NORMALIZATION_STATISTICS = ("mean", "variance")
NORMALIZATION = r"normalization(_\d+)?/(mean|variance|count)"
RESCALING = r"rescaling(_\d+)?"
#: What callers of V2 with ``include_preprocessing=False`` are told to feed it: pixels over -1 to 1.
V2_CALLER = (127.5, 127.5, 127.5)


@dataclass(frozen=True)
class Affine:
    """Pixels times ``scale`` plus ``offset``, per channel."""

    scale: Array
    offset: Array

    def then(self, scale: Any, offset: Any) -> Affine:
        """This, and another one after it."""
        return Affine(self.scale * scale, self.offset * scale + offset)

    def normalized(self, mean: Any, variance: Any) -> Affine:
        """This, and Keras' Normalization after it."""
        mean, variance = (np.ravel(np.asarray(v, np.float64)) for v in (mean, variance))
        if (variance <= 0).any():
            raise UsageError("the preprocessing in the weights has a variance that is not positive")
        return self.then(1 / np.sqrt(variance), -mean / np.sqrt(variance))


IDENTITY = Affine(np.ones(3), np.zeros(3))
UNIT = Affine(np.full(3, 1 / 255), np.zeros(3))  # V1's Rescaling


@dataclass(frozen=True)
class Input:
    """What is known of the input.

    Attributes:
        spec: the variant with this mean and std.
        notes: what the file says.
        assumptions: what it does not say.
    """

    spec: ModelSpec
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


def read_input(file: WeightFile, spec: ModelSpec) -> Input:
    """Reads the preprocessing of a file of Keras, of weights alone or of a whole model.

    Raises:
        UsageError: the layers or tensors are not those of images.
    """
    stored = _stored(file)
    if "config" in file.metadata:
        return _configured(file.metadata["config"], spec, stored)
    return _unconfigured(file, spec, stored)


def _configured(config: Mapping[str, Any], spec: ModelSpec, stored: Mapping[str, Array]) -> Input:
    layers = input_layers(config)
    affine = _follow(layers, stored)
    unknown = [item for item in layers if _kind(item) == "unknown"]
    if unknown:
        known = spec if not is_scaled(config) else _with(spec, affine)
        named = ", ".join(f"'{_name(item)}' ({item['class_name']})" for item in unknown[:3])
        why = f"what {named} in front of the network does to pixels was not followed"
        return Input(known, (), (input_assumption(known, why),))
    if is_scaled(config):
        changed = _with(spec, affine)
        same = np.allclose(changed.mean, spec.mean, atol=0.01) and np.allclose(
            changed.std, spec.std, atol=0.01
        )
        return Input(changed, () if same else (f"preprocessing from the file: {triples(changed)}",))
    known = _callers(spec)
    why = "the model has no input layers, so the caller scales the pixels, and how is not recorded"
    return Input(known, (), (input_assumption(known, why),))


def _unconfigured(file: WeightFile, spec: ModelSpec, stored: Mapping[str, Array]) -> Input:
    alone = "the file holds weights alone, not its input layers"
    if not takes_pixels(file):
        known = _callers(spec)
        why = f"{alone}; it lists no Rescaling, so the caller scales the pixels"
        return Input(known, (), (input_assumption(known, why),))
    by_suffix = _by_suffix(stored)
    if not by_suffix.keys() >= set(NORMALIZATION_STATISTICS):
        why = f"{alone}; those of keras.applications were taken"
        return Input(spec, (), (input_assumption(spec, why),))
    affine = UNIT.normalized(by_suffix["mean"], by_suffix["variance"])
    why = f"{alone}; its Normalization was taken to follow a Rescaling by 1/255"
    if is_imagenet_std(by_suffix["variance"]):
        if has_second_rescaling(file):
            affine = affine.then(1 / np.sqrt(np.ravel(by_suffix["variance"])), 0)
            why += ", and the second one to follow that comes with ImageNet's weights"
        else:
            why += ", the only one that the file lists"
    changed = _with(spec, affine)
    return Input(changed, (), (input_assumption(changed, why),))


def takes_pixels(file: WeightFile) -> bool:
    """Whether a file of weights alone is of a model that scales pixels, as far as it lists layers.

    Keras lists layers without weights as well, but a legacy file not those of a model inside the
    model, and one written by other means maybe none: only a list with the input and the stem says
    that there is no Rescaling.
    """
    layers = file.metadata.get("layers", ())
    numbered = file.metadata.get("numbered", False)
    listed = any(name.startswith("input_") for name in layers)
    is_complete = listed and (numbered or "stem_conv" in layers)
    return not is_complete or _rescalings(file) > 0 or bool(normalization_tensors(file))


def has_second_rescaling(file: WeightFile) -> bool:
    """Whether a file of V1's weights alone, with ImageNet's std, belongs to a model with two.

    Published V1 files hold the std where the layer expects the variance, and keras.applications
    divides by its root once more when it loads them, in a second Rescaling; TensorFlow 2.3 to 2.8
    did not. A legacy file with one may be either, a published one more likely.
    """
    return not (file.metadata.get("numbered") and _rescalings(file) == 1)


def _rescalings(file: WeightFile) -> int:
    layers = file.metadata.get("layers", ())
    return sum(bool(re.fullmatch(RESCALING, name)) for name in layers)


def _with(spec: ModelSpec, affine: Affine) -> ModelSpec:
    std = 1 / affine.scale
    return replace(spec, mean=_triple(-affine.offset * std), std=_triple(std))


def _callers(spec: ModelSpec) -> ModelSpec:
    """What a caller without input layers feeds: V2's is documented, others' is the variant's."""
    return replace(spec, mean=V2_CALLER, std=V2_CALLER) if spec.name.startswith("v2") else spec


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


def is_imagenet_std(variance: Any) -> bool:
    """Whether a Normalization's variance is ImageNet's std, as in the published V1 files."""
    return np.allclose(np.ravel(variance), np.array(IMAGENET_STD) / 255, atol=1e-4)


def input_layers(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a whole model's configuration in front of its first convolution.

    Raises:
        UsageError: it is no configuration of a model.
    """
    try:
        return list(itertools.takewhile(lambda item: item["class_name"] != "Conv2D", _all(config)))
    except (KeyError, TypeError, RecursionError) as error:
        raise _unreadable(error) from error


def normalization_tensors(file: WeightFile) -> frozenset[str]:
    """The tensors of Normalization layers, which are no weights of ours."""
    config = file.metadata.get("config")
    layers = input_layers(config) if config is not None else []
    named = [_name(layer) for layer in layers if layer["class_name"] == "Normalization"]
    own = {f"{name}/{part}" for name in named for part in (*NORMALIZATION_STATISTICS, "count")}
    return matching(NORMALIZATION, file.shapes) | (own & file.shapes.keys())


def is_scaled(config: Mapping[str, Any]) -> bool:
    """Whether the model itself scales pixels."""
    return any(_kind(item) == "scaling" for item in input_layers(config))


def _all(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every layer in order, those of models inside the model as well."""
    for layer in config["config"]["layers"]:
        if "layers" in layer["config"]:
            yield from _all(layer)
        else:
            yield layer


def _kind(layer: Mapping[str, Any]) -> str:
    name = str(layer["class_name"])
    if name == "Rescaling" or (name == "Normalization" and not layer["config"].get("invert")):
        return "scaling"
    return "neutral" if is_neutral(name) else "unknown"


def is_neutral(class_name: str) -> bool:
    """Whether layers of a class leave the values of pixels as they are, in inference."""
    return class_name in NEUTRAL or re.fullmatch(NEUTRAL_NAMES, class_name) is not None


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name", "?"))


def _follow(layers: Collection[Mapping[str, Any]], stored: Mapping[str, Array]) -> Affine:
    """Follows Rescaling and Normalization layers."""
    affine = IDENTITY
    try:
        for layer in layers:
            item = layer["config"]
            if layer["class_name"] == "Rescaling":
                scale, offset = (
                    np.broadcast_to(np.asarray(item[key], np.float64), 3)
                    for key in ("scale", "offset")
                )
                affine = affine.then(scale, offset)
            elif _kind(layer) == "scaling":
                affine = affine.normalized(
                    *(_constant(layer, k, stored) for k in NORMALIZATION_STATISTICS)
                )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from error
    scale, offset = affine.scale, affine.offset
    if (scale <= 0).any() or not np.isfinite(scale).all() or not np.isfinite(offset).all():
        raise UsageError("the model's input layers give no usable scale")
    return affine


def _constant(layer: Mapping[str, Any], key: str, stored: Mapping[str, Array]) -> Any:
    """A Normalization's mean or variance: from the configuration, or from the weights."""
    if layer["config"].get(key) is not None:
        return layer["config"][key]
    own = f"{_name(layer)}/{key}"
    # Where Keras numbered the layers in the file, the name in the configuration may be another.
    return stored[own] if own in stored else _by_suffix(stored)[key]


def constant_of(layer: Mapping[str, Any], key: str, file: WeightFile) -> Any:
    """A Normalization's mean or variance, of an open file."""
    return _constant(layer, key, _stored(file))


def squared_variance(file: WeightFile) -> dict[str, list[float]] | None:
    """What V1's Normalization amounts to where a second Rescaling follows; else None."""
    stored = _by_suffix(_stored(file))
    if not stored.keys() >= set(NORMALIZATION_STATISTICS):
        return None
    if not (is_imagenet_std(stored["variance"]) and has_second_rescaling(file)):
        return None
    mean, variance = (np.ravel(stored[key]) for key in NORMALIZATION_STATISTICS)
    return {"mean": mean.tolist(), "variance": (variance**2).tolist()}


def _stored(file: WeightFile) -> dict[str, Array]:
    return {name: file.read(name) for name in _small(file, normalization_tensors(file))}


def _by_suffix(stored: Mapping[str, Array]) -> dict[str, Array]:
    return {name.rpartition("/")[2]: array for name, array in stored.items()}


def _unreadable(error: Exception) -> UsageError:
    return UsageError(
        "the input layers in the model's configuration cannot be read",
        cause=f"{type(error).__name__}: {error}",
    )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue
