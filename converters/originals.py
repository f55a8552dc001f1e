"""The networks that weights come from, run by their own libraries, to compare logits with ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.keras_applications import is_imagenet_std
from edgekit.converters.weight_files import open_weights
from edgekit.converters.weights import Loaded
from edgekit.errors import GateError, UsageError
from edgekit.graph import Array, Graph
from edgekit.quiet import native_quiet

#: Of the largest logit: two float libraries that compute the same network agree within this.
TOLERANCE = 1e-4
#: Random pixels at a size that every variant runs quickly at and still has a map of 4 x 4.
PHOTOS, SIDE = 4, 128


class _CannotRunError(Exception):
    """Why an original cannot be run here, in words for the user."""


@dataclass(frozen=True)
class Comparison:
    """What comparing logits found.

    Attributes:
        against: what ours were compared with; without a ``difference``, why they were not.
        difference: the largest, over the largest logit.
    """

    against: str
    difference: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against the weights."""
        return self.difference is None or self.difference <= TOLERANCE


def compare(path: Path, loaded: Loaded, seed: int = 0) -> Comparison:
    """Runs the original, with the file loaded by its own library, on random pixels beside ours."""
    original = ORIGINALS.get(loaded.source)
    if original is None:
        return Comparison(f"no library runs the original of {loaded.source} weights here")
    if loaded.fresh_head:
        return Comparison("the file's own classifier is not in use")
    pixels = random_pixels(seed)
    try:
        name, logits = original(path, loaded.graph, pixels)
    except _CannotRunError as error:
        return Comparison(str(error))
    return Comparison(
        name, _difference(run(loaded.graph, normalised(loaded.graph, pixels)), logits)
    )


def check_logits(graph: Graph, seed: int = 0) -> None:
    """Runs the network once.

    Raises:
        GateError: it gives logits that are not numbers.
    """
    if not np.isfinite(run(graph, normalised(graph, random_pixels(seed)))).all():
        raise GateError(
            "the network's logits are not finite",
            cause="the weights overflow, or the variant's activation is another",
        )


def compare_with_reference(path: Path, loaded: Loaded) -> Comparison:
    """Compares with logits that someone else computed.

    Args:
        path: ``.npz`` with ``input_nhwc``, normalised, and ``logits``.
        loaded: the network.

    Raises:
        UsageError: the file cannot be used.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            inputs, logits = file["input_nhwc"], file["logits"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UsageError(
            f"cannot read the reference {path}",
            cause=f"{type(error).__name__}: {error}",
            hint="an .npz with input_nhwc and logits",
        ) from error
    expected = (len(inputs), loaded.graph.classes)
    if inputs.ndim != 4 or inputs.shape[-1] != 3 or logits.shape != expected:
        raise UsageError(
            f"the reference {path} does not fit",
            cause=f"input_nhwc is {list(inputs.shape)} and logits {list(logits.shape)}; "
            f"the network has {loaded.graph.classes} classes",
        )
    return Comparison(str(path), _difference(run(loaded.graph, inputs), logits))


def random_pixels(seed: int) -> Array:
    """Float pixels of 0 to 255, [PHOTOS, SIDE, SIDE, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (PHOTOS, SIDE, SIDE, 3)).astype(np.float32)


def run(graph: Graph, inputs: Array) -> Array:
    """Our logits [n, classes] for normalised float inputs [n, height, width, 3]."""
    import torch

    from edgekit.network import Network

    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return np.asarray(Network(graph).eval()(x).numpy())


def normalised(graph: Graph, pixels: Array) -> Array:
    """Pixels of 0 to 255 as the weights expect them."""
    if graph.spec is None:
        raise UsageError("the network does not say how its input is normalised")
    mean, std = (np.asarray(values, np.float32) for values in (graph.spec.mean, graph.spec.std))
    return np.asarray((pixels - mean) / std)


def _difference(ours: Array, theirs: Array) -> float:
    """The largest difference over the largest logit; infinite where there are no numbers."""
    difference = np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12)
    return float(difference) if np.isfinite(difference) else float("inf")


def _keras(path: Path, graph: Graph, pixels: Array) -> tuple[str, Array]:
    """keras.applications, fed raw pixels: its own input layers are part of what is compared."""
    with native_quiet():
        keras = _library("keras")
        name = f"EfficientNet{graph.name.upper().replace('-', '')}"
        build = getattr(keras.applications, name, None)
        if build is None:
            raise _CannotRunError(f"keras.applications has no {name}")
        model = build(
            weights=None,
            classes=graph.classes,
            input_shape=pixels.shape[1:],
            classifier_activation=None,
        )
        try:
            model.load_weights(path)
        except (ValueError, OSError) as error:
            raise _CannotRunError(f"keras does not load the file: {_first_line(error)}") from error
        for layer in model.layers:
            if isinstance(layer, keras.layers.Normalization) and layer.weights:
                mean, variance, count = layer.get_weights()
                if is_imagenet_std(variance):  # what weights="imagenet" makes up for
                    layer.set_weights([mean, variance**2, count])
                    layer.finalize_state()
        return f"keras {keras.__version__}, {name}", np.asarray(model(pixels, training=False))


def _timm(path: Path, graph: Graph, pixels: Array, prefix: str = "") -> tuple[str, Array]:
    name = prefix + _timm_name(graph.name)
    library = _library("timm")
    try:
        model = library.create_model(name, num_classes=graph.classes)
    except RuntimeError as error:
        raise _CannotRunError(f"timm has no {name}") from error
    return f"timm {library.__version__}, {name}", _run_torch(model, path, graph, pixels)


def _torchvision(path: Path, graph: Graph, pixels: Array) -> tuple[str, Array]:
    name = f"efficientnet_{graph.name.replace('-', '_')}"
    library = _library("torchvision")
    build = getattr(library.models, name, None)
    if build is None:
        raise _CannotRunError(f"torchvision has no {name}")
    logits = _run_torch(build(num_classes=graph.classes), path, graph, pixels)
    return f"torchvision {library.__version__}, {name}", logits


def _run_torch(model: Any, path: Path, graph: Graph, pixels: Array) -> Array:
    """Loads the file strictly, as the library would, and runs it on the normalised pixels."""
    import torch

    with open_weights(path, limit=0) as file:
        state = {name: torch.from_numpy(np.array(file.fetch(name))) for name in file.shapes}
    model.load_state_dict(state, strict=True)
    x = torch.from_numpy(normalised(graph, pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return np.asarray(model.eval()(x).numpy())


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        # RuntimeError: torchvision that was built for another torch.
        raise _CannotRunError(f"{name} cannot be imported: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _timm_name(model: str) -> str:
    """``b0`` is ``efficientnet_b0``, ``v2-s`` is ``efficientnetv2_s``."""
    return f"efficientnet{model.replace('-', '_')}" if "-" in model else f"efficientnet_{model}"


#: By the name of the source: loads a file into the original, and gives its name and logits.
ORIGINALS: dict[str, Callable[[Path, Graph, Array], tuple[str, Array]]] = {
    "keras": _keras,
    "timm": _timm,
    "timm-tf": lambda path, graph, pixels: _timm(path, graph, pixels, "tf_"),
    "torchvision": _torchvision,
}
