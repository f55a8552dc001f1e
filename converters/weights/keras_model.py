"""Runs the network that a file of Keras describes, layer by layer, with Keras' own layers.

Keras would build the model from its configuration itself, but a configuration can name any function
of any module, and releases of Keras differ in which of those they call. Here a layer is one of a
table, its settings are plain values of known names, and anything else is refused. What older
releases wrote and newer ones reject, such as the groups of a depthwise convolution, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.hdf5 import VARIABLES
from edgekit.converters.weights.keras_input import NORMALIZATION_STATISTICS, constant_of, is_neutral
from edgekit.networks.nodes import Array

#: The layers that are run, and which of their settings count.
LAYERS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "activation", "use_bias"),
    "Dense": ("units", "activation", "use_bias"),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "Activation": ("activation",),
    "ReLU": ("max_value",),
    "ZeroPadding2D": ("padding",),
    "GlobalAveragePooling2D": ("keepdims",),
    "Reshape": ("target_shape",),
    "Rescaling": ("scale", "offset"),
    "Multiply": (),
    "Add": (),
}
#: Settings that the family never uses; another value would give another network.
DEFAULTS = {
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "groups": 1,
    "depth_multiplier": 1,
    "negative_slope": 0,
    "threshold": 0,
}
#: Weights come from the file: drawing others first would take longer than the run.
INITIALIZERS = {
    "Conv2D": "kernel_initializer",
    "DepthwiseConv2D": "depthwise_initializer",
    "Dense": "kernel_initializer",
}
ACTIVATIONS = {"linear", "swish", "silu", "sigmoid", "relu", "relu6", "softmax", "hard_silu"}
#: Operations with a constant, which Keras 3 lists among the layers under names that layers have.
OPERATIONS: dict[str, Callable[[Any, float], Any]] = {
    "Add": lambda x, value: x + value,
    "Multiply": lambda x, value: x * value,
}
#: How Keras numbers layers of a class in files that lack their names.
NUMBERED = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
}
#: Pixels: no padding of a convolution is wider, and no input of the family larger.
WIDEST_PADDING, LARGEST_SIDE = 16, 1024


class CannotRunError(Exception):
    """Why a model cannot be run, in words for the user."""


@dataclass
class _Run:
    """A run in progress: what has been computed, and what it needs.

    Attributes:
        keras: the library.
        file: the weights.
        target: the layer whose output is wanted; without its activation.
        counts: how many layers of each class there were so far.
        found: that output, once it is there.
    """

    keras: Any
    file: WeightFile
    target: str
    counts: dict[str, int] = field(default_factory=dict)
    found: Any = None


def input_side(config: Mapping[str, Any]) -> int | None:
    """The side of the input that the network was built for; None where any will do.

    Of several inputs, one inside the other, the innermost is the network's.
    """
    side = None
    for layer in _layers(config):
        item = _item(layer)
        if "layers" in item:
            side = input_side(layer) or side
        elif layer.get("class_name") == "InputLayer":
            shape: Sequence[Any] = item.get("batch_shape", item.get("batch_input_shape")) or ()
            if len(shape) == 4 and isinstance(shape[1], int):
                side = shape[1]
        elif layer.get("class_name") == "Conv2D":
            break
    if side is not None and not 0 < side <= LARGEST_SIDE:
        raise CannotRunError(f"its input has {side} pixels")
    return side


def first_layer(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of these layers that a model has, those of models inside it as well.

    The last of them where it has none.
    """
    known = set(_all_names(config))
    return next((name for name in names if name in known), names[-1])


def _all_names(config: Mapping[str, Any]) -> Iterator[str]:
    for layer in _layers(config):
        item = _item(layer)
        yield from _all_names(layer) if "layers" in item else (str(item.get("name")),)


def run_config(
    keras: Any, file: WeightFile, config: Mapping[str, Any], inputs: Array, target: str
) -> Array:
    """Runs a model up to one layer, whose activation is left out.

    Args:
        keras: the library.
        file: its weights.
        config: its configuration.
        inputs: float [n, height, width, 3].
        target: the name of the layer.

    Raises:
        CannotRunError: it holds something that is not run, or has no such layer.
    """
    run = _Run(keras, file, target)
    try:
        _run_model(run, config, keras.ops.convert_to_tensor(inputs))
    except CannotRunError:
        raise
    except Exception as error:  # a damaged configuration makes the library raise anything at all
        words = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CannotRunError(f"its configuration does not fit: {words}") from error
    if run.found is None:
        raise CannotRunError(f"it has no layer '{target}'")
    return np.asarray(keras.ops.convert_to_numpy(run.found))


def _run_model(run: _Run, config: Mapping[str, Any], x: Any) -> Any:
    """The output of a Sequential or Functional model; None once the target is there."""
    outputs: dict[str, Any] = {}
    chain = config["class_name"] == "Sequential"
    for layer in _layers(config):
        name = str(_item(layer)["name"])
        if layer["class_name"] == "InputLayer":
            outputs[name] = x
            continue
        given = [x] if chain else [outputs[source] for source in _sources(layer)]
        out = _run_layer(run, layer, name, given)
        if run.found is not None:
            return None
        outputs[name] = out
        if chain:
            x = out
    if chain:
        return x
    last = next(_names_in(_item(config)["output_layers"]))
    return outputs[last]


def _run_layer(run: _Run, layer: Mapping[str, Any], name: str, given: list[Any]) -> Any:
    kind, item = str(layer["class_name"]), _item(layer)
    if "layers" in item:
        return _run_model(run, layer, given[0])
    if kind == "Normalization":
        values = (constant_of(layer, key, run.file) for key in NORMALIZATION_STATISTICS)
        mean, variance = (np.ravel(np.asarray(value, np.float32)) for value in values)
        return (given[0] - mean) / np.maximum(np.sqrt(variance), run.keras.config.epsilon())
    if kind in OPERATIONS and len(given) == 1:
        return OPERATIONS[kind](given[0], _constant_in(layer))
    if kind not in LAYERS:
        if is_neutral(kind):
            return given[0]
        raise CannotRunError(f"its layer '{name}' is a {kind}, which is not run")
    made = getattr(run.keras.layers, kind)(
        **_settings(run, name, kind, item), trainable=False, dtype="float32"
    )
    x = given if kind in ("Multiply", "Add") else given[0]
    if kind in NUMBERED:
        _fill(run, made, name, kind, x)
    out = made(x, training=False) if kind == "BatchNormalization" else made(x)
    if name == run.target:
        run.found = out
    return out


def _settings(run: _Run, name: str, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """The known settings of a layer, all plain values.

    Raises:
        CannotRunError: one is not, or is not the family's.
    """
    for key, value in DEFAULTS.items():
        if item.get(key, value) not in (value, tuple(value) if isinstance(value, list) else value):
            raise CannotRunError(f"its layer '{name}' has {key} {item[key]!r}"[:100])
    settings = {key: item[key] for key in LAYERS[kind] if key in item}
    if "activation" in settings:
        if str(settings["activation"]) not in ACTIVATIONS:
            raise CannotRunError(f"its layer '{name}' has an activation that is not run")
        if name == run.target and kind != "Activation":
            settings["activation"] = "linear"
    if settings.get("padding", "same") not in ("same", "valid"):
        sides = np.ravel(np.asarray(settings["padding"], np.int64))
        if not ((sides >= 0) & (sides <= WIDEST_PADDING)).all():
            raise CannotRunError(f"its layer '{name}' pads too widely")
    if kind == "BatchNormalization" and isinstance(settings.get("axis"), list):
        settings["axis"] = settings["axis"][0]
    if initializer := INITIALIZERS.get(kind):
        settings[initializer] = "zeros"
    return settings


def _fill(run: _Run, made: Any, name: str, kind: str, x: Any) -> None:
    """Builds a layer and gives it its weights from the file, by name or by number."""
    count = run.counts.get(kind, 0)
    run.counts[kind] = count + 1
    numbered = f"{NUMBERED[kind]}_{count}" if count else NUMBERED[kind]
    present = [key for key in (name, numbered) if f"{key}/{_first(kind, made)}" in run.file.shapes]
    if not present:
        raise CannotRunError(f"the file has no weights of its layer '{name}'")
    variables = [v for v in VARIABLES[NUMBERED[kind]] if _has(made, v)]
    arrays = [run.file.read(f"{present[0]}/{variable}") for variable in variables]
    width = getattr(made, "filters", None) or getattr(made, "units", None)
    if kind in ("Conv2D", "Dense") and width != arrays[0].shape[-1]:
        raise CannotRunError(f"its layer '{name}' is not as wide as its weights")
    made.build(x.shape)
    made.set_weights(arrays)


def _first(kind: str, made: Any) -> str:
    return next(v for v in VARIABLES[NUMBERED[kind]] if _has(made, v))


def _has(layer: Any, variable: str) -> bool:
    """Whether a layer with these settings has a variable."""
    switch = {"bias": "use_bias", "gamma": "scale", "beta": "center"}.get(variable)
    return switch is None or bool(getattr(layer, switch))


def _layers(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(_item(config)["layers"])


def _item(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    item: Mapping[str, Any] = layer["config"]
    return item


def _sources(layer: Mapping[str, Any]) -> list[str]:
    """The layers whose outputs a layer takes.

    Raises:
        CannotRunError: it is used more than once.
    """
    calls = layer["inbound_nodes"]
    if len(calls) != 1:
        raise CannotRunError(f"its layer '{_item(layer)['name']}' is used {len(calls)} times")
    return list(_names_in(calls[0]))


def _constant_in(layer: Mapping[str, Any]) -> float:
    """The number that an operation takes beside a tensor.

    Raises:
        CannotRunError: there is none.
    """
    arguments = layer["inbound_nodes"][0]["args"]
    numbers = [float(one) for one in arguments if isinstance(one, int | float)]
    if len(numbers) != 1:
        raise CannotRunError(f"its layer '{_item(layer)['name']}' has no constant")
    return numbers[0]


def _names_in(value: Any) -> Iterator[str]:
    """The layers that a call names: as Keras 3 writes tensors, or ``[name, node, tensor, …]``."""
    if isinstance(value, Mapping):
        if "keras_history" in value:
            yield str(value["keras_history"][0])
        else:
            for part in value.values():
                yield from _names_in(part)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
        else:
            for part in value:
                yield from _names_in(part)
