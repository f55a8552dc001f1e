"""A network as a model of ``keras.applications``, written by Keras itself."""

from __future__ import annotations

import warnings
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.weights.keras_applications import NAMES, NAMES_V2
from edgekit.converters.weights.naming import TENSORFLOW
from edgekit.converters.weights.their_tensors import Original, tensors_for
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

EPSILON = 1e-3
NORMALIZATION = "normalization"


def write_keras(
    graph: Graph, spec: ModelSpec, how: Preprocessing, folder: StrPath
) -> tuple[tuple[Path, ...], str, str, tuple[str, ...]]:
    """Writes ``model.keras``.

    Returns:
        The files, the name of the network there, how it is loaded, and notes.

    Raises:
        UsageError: Keras has no such network.
        MissingToolError: it is not installed.
    """
    folder = Path(folder)
    keras = import_optional("keras", "tensorflow", "writing a Keras model")
    name = f"EfficientNet{spec.name.upper().replace('-', '')}"
    build = getattr(keras.applications, name, None)
    if spec.name not in SPECS or build is None:
        raise UsageError(
            f"keras.applications has no {spec.name}", hint="--to timm, or --to edgekit"
        )
    is_v2 = "include_preprocessing" in signature(build).parameters
    more: dict[str, Any] = {"include_preprocessing": False} if is_v2 else {}
    side = how.resolution
    table = NAMES_V2 if is_v2 else NAMES
    tensors = tensors_for(graph, Original(name, EPSILON, table, TENSORFLOW))
    with native_quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own arrays, which are not what NumPy 2 expects
        model = build(
            weights=None,
            classes=graph.classes,
            classifier_activation=None,
            input_shape=(side, side, 3),
            **more,
        )
        _fill(model, tensors)
        if not is_v2:
            # It takes pixels from 0 to 255, and divides by 255 itself.
            mean, std = (np.array(values, np.float32) / 255 for values in (how.mean, how.std))
            model.get_layer(NORMALIZATION).set_weights([mean, std**2, np.array(0, np.int32)])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.keras"
        model.save(path)
    notes = ("it takes normalised photos: (pixel - mean) / std",) if is_v2 else ()
    return (path,), name, f'keras.models.load_model("{path}")', notes


def _fill(model: Any, tensors: dict[str, Any]) -> None:
    """Gives every layer its variables, each of which must be used."""
    left = dict(tensors)
    for layer in model.layers:
        for variable in layer.weights:
            key = f"{layer.name}/{variable.path.rpartition('/')[2]}"
            if key in left:
                value = left.pop(key)
                variable.assign(value.reshape(variable.shape))
    if left:
        raise UsageError(
            f"Keras' {model.name} has other layers", cause=f"it lacks {next(iter(left))}"
        )
