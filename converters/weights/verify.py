"""The networks that weights come from, run by their own libraries, to compare logits with ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import numpy as np

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.keras_input import is_scaled, squared_variance, takes_pixels
from edgekit.converters.weights.keras_model import (
    CannotRunError,
    first_layer,
    input_side,
    run_config,
)
from edgekit.converters.weights.load import Loaded, most_bytes
from edgekit.converters.weights.naming import TORCH_COUNTERS, named
from edgekit.converters.weights.open import open_weights
from edgekit.converters.weights.timm import model_name
from edgekit.errors import GateError, UsageError
from edgekit.networks.efficientnet.baselines import LIBRARY_NAMES
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

#: Of the largest logit: two float libraries that compute the same network agree within this.
TOLERANCE = 1e-4
#: Random pixels at a size that every variant runs quickly at and still has a map of 4 x 4. A
#: network with a decoder runs at its own size alone, on one.
PHOTOS, SIDE = 4, 128
#: Keras' layers that are compared, the first that a model has: the classifier, and the last map.
LOGITS = ("conv_preds", "logits", "predictions")
EMBEDDING = ("conv_pw_13_relu", "out_relu", "top_activation")


class _CannotCompareError(Exception):
    """Why there is no original to compare with, in words for the user."""


#: An original's name, the normalised input that was given to both, and its answers.
Answer: TypeAlias = tuple[str, Array, Array]


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


def compare(path: StrPath, loaded: Loaded, seed: int = 0) -> Comparison:
    """Runs the original with the weights of the file, on random pixels beside ours.

    Where the classifier is a fresh one, the embeddings are compared.

    Raises:
        MissingToolError: what runs the original is not installed.
    """
    spec = spec_of(loaded.graph)
    if spec is not None and spec.decoder is not None:
        return Comparison("of networks with a decoder, a reference's outputs alone are compared")
    original = ORIGINALS.get(loaded.source)
    if original is None:
        return Comparison(f"no library runs the original of {loaded.source} weights here")
    try:
        with open_weights(path, limit=most_bytes(loaded.graph)) as file:
            name, inputs, theirs = original(file.under(loaded.prefix), loaded, seed)
    except _CannotCompareError as error:
        return Comparison(str(error))
    if loaded.fresh_head:
        name += ", up to the embedding: the file's own classifier is not in use"
        return Comparison(name, _difference(run(loaded.graph, inputs, embed=True), theirs))
    return Comparison(name, _difference(run(loaded.graph, inputs), theirs))


def check_logits(graph: Graph, seed: int = 0) -> None:
    """Runs the network once.

    Raises:
        GateError: it gives logits that are not numbers.
    """
    spec = spec_of(graph)
    count, side = (1, graph.resolution) if spec and spec.decoder else (PHOTOS, SIDE)
    pixels = random_pixels(seed, side)[:count]
    if not np.isfinite(run(graph, normalised(graph, pixels))).all():
        raise GateError(
            "the network's logits are not finite",
            cause="the weights overflow, or the variant's activation is another",
        )


def compare_with_reference(path: StrPath, loaded: Loaded) -> Comparison:
    """Compares with logits that someone else computed.

    Args:
        path: ``.npz`` with ``input_nhwc``, normalised, and ``logits``, maps NHWC; of a detector
            all outputs, joined as its Graph's are.
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
    expected = (len(inputs), *loaded.graph.output_shape)
    if inputs.ndim != 4 or inputs.shape[-1] != 3 or logits.shape != expected:
        raise UsageError(
            f"the reference {path} does not fit",
            cause=f"input_nhwc is {list(inputs.shape)} and logits {list(logits.shape)}; "
            f"the network's logits are {list(expected)}",
        )
    return Comparison(str(path), _difference(run(loaded.graph, inputs), logits))


def random_pixels(seed: int, side: int = SIDE) -> Array:
    """Float pixels of 0 to 255, [PHOTOS, side, side, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (PHOTOS, side, side, 3)).astype(np.float32)


def run(graph: Graph, inputs: Array, *, embed: bool = False) -> Array:
    """Our logits for normalised float inputs [n, height, width, 3].

    They are [n, classes], maps [n, height, width, classes], or joined outputs [n, rows, columns].

    Args:
        graph: the network.
        inputs: the images.
        embed: whether the input of the classifier is wanted, [n, head channels], not the logits.
    """
    import torch

    from edgekit.networks.torch_network import Network

    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        network = Network(graph).eval()
        answers = network.run(x, until=graph.nodes[-1].inputs[0]) if embed else network(x)
    if embed:
        return np.asarray(answers.flatten(1).numpy())
    return np.asarray((answers.permute(0, 2, 3, 1) if answers.ndim == 4 else answers).numpy())


def normalised(graph: Graph, pixels: Array) -> Array:
    """Pixels of 0 to 255 as the weights expect them."""
    spec = spec_of(graph)
    if spec is None:
        raise UsageError("the network does not say how its input is normalised")
    mean, std = (np.asarray(values, np.float32) for values in (spec.mean, spec.std))
    return np.asarray((pixels - mean) / std)


def _difference(ours: Array, theirs: Array) -> float:
    """The largest difference over the largest logit; infinite where there are no numbers."""
    difference = np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12)
    return float(difference) if np.isfinite(difference) else float("inf")


def _keras(file: WeightFile, loaded: Loaded, seed: int) -> Answer:
    """Keras, fed raw pixels: the model's own input layers are part of what is compared."""
    keras = _library("keras", "tensorflow")
    with native_quiet():
        if "config" in file.metadata:
            name, config = "the file's own model", file.metadata["config"]
        else:
            name, config = _assumed_model(keras, file, loaded.graph)
        try:
            pixels = random_pixels(seed, input_side(config) or SIDE)
            x = normalised(loaded.graph, pixels)
            inputs = pixels if is_scaled(config) else x
            if loaded.fresh_head:
                layer = first_layer(config, EMBEDDING)
                answers = run_config(keras, file, config, inputs, layer).mean((1, 2))
            else:
                layer = first_layer(config, LOGITS)
                answers = run_config(keras, file, config, inputs, layer)
                answers = answers.reshape(len(answers), -1)  # of a convolution, maps of one pixel
        except CannotRunError as error:
            raise _CannotCompareError(f"{name} is not run: {error}") from error
    return f"keras {keras.__version__}, {name}", x, answers


def _assumed_model(keras: Any, file: WeightFile, graph: Graph) -> tuple[str, dict[str, Any]]:
    """The model of keras.applications whose weights a file without a configuration may hold."""
    usual = f"EfficientNet{graph.name.upper().replace('-', '')}"
    name = LIBRARY_NAMES[graph.name].keras if graph.name in LIBRARY_NAMES else usual
    build = getattr(keras.applications, name, None)
    if build is None or spec_of(graph) is None:
        raise _CannotCompareError(f"keras.applications has no {name}")
    options = {"minimalistic": True} if graph.name.endswith("minimalistic") else {}
    if not takes_pixels(file) and "include_preprocessing" in signature(build).parameters:
        options["include_preprocessing"] = False
    model = build(weights=None, classes=graph.classes, input_shape=(SIDE, SIDE, 3), **options)
    config = json.loads(model.to_json())
    constants = squared_variance(file)
    for layer in config["config"]["layers"] if constants else ():
        if layer["class_name"] == "Normalization":
            layer["config"] = layer["config"] | constants
    return f"{name} of keras.applications (assumed: the file holds weights alone)", config


def _timm(file: WeightFile, loaded: Loaded, seed: int, prefix: str = "") -> Answer:
    name = model_name(loaded.graph.name, prefix)
    library = _library("timm")
    try:
        # Without classes, timm's networks give the embedding.
        classes = 0 if loaded.fresh_head else loaded.graph.classes
        model = library.create_model(name, num_classes=classes)
    except RuntimeError as error:
        raise _CannotCompareError(f"timm has no {name}") from error
    return f"timm {library.__version__}, {name}", *_run_torch(model, file, loaded, seed)


def _torchvision(file: WeightFile, loaded: Loaded, seed: int) -> Answer:
    import torch

    known = LIBRARY_NAMES.get(loaded.graph.name)
    name = known.torchvision if known else f"efficientnet_{loaded.graph.name.replace('-', '_')}"
    library = _library("torchvision")
    build = getattr(library.models, name, None)
    if build is None:
        raise _CannotCompareError(f"torchvision has no {name}")
    model = build(num_classes=loaded.graph.classes)
    if loaded.fresh_head:
        layers = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
        owner, _, last = layers[-1].rpartition(".")
        setattr(model.get_submodule(owner), last, torch.nn.Identity())
    return f"torchvision {library.__version__}, {name}", *_run_torch(model, file, loaded, seed)


def _lukemelas(file: WeightFile, loaded: Loaded, seed: int) -> Answer:
    name = f"efficientnet-{loaded.graph.name}"
    library = _library("efficientnet_pytorch")
    try:
        # Its convolutions pad for the size that they are built for.
        model = library.EfficientNet.from_name(
            name,
            num_classes=loaded.graph.classes,
            image_size=SIDE,
            include_top=not loaded.fresh_head,
        )
    except ValueError as error:
        raise _CannotCompareError(f"efficientnet_pytorch has no {name}") from error
    known = f"efficientnet_pytorch {library.__version__}, {name}"
    return known, *_run_torch(model, file, loaded, seed)


def _run_torch(model: Any, file: WeightFile, loaded: Loaded, seed: int) -> tuple[Array, Array]:
    """Loads the file strictly, as the library would, and runs it on normalised pixels."""
    import torch

    state = {
        theirs: torch.from_numpy(np.array(file.fetch(theirs)))
        for ours, theirs in loaded.names.items()
        if not (loaded.fresh_head and ours.startswith(f"{loaded.graph.nodes[-1].name}/"))
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    wrong = [name for name in (*missing, *unexpected) if not re.fullmatch(TORCH_COUNTERS, name)]
    if wrong:
        raise _CannotCompareError(f"its network has other tensors: {named(wrong)}")
    x = normalised(loaded.graph, random_pixels(seed))
    with torch.inference_mode():
        answers = model.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).flatten(1)
    return x, np.asarray(answers.numpy())


def _library(name: str, extra: str | None = None) -> Any:
    """Imports what runs an original.

    Raises:
        MissingToolError: it is not installed, or does not fit the rest of the installation.
    """
    return import_optional(name, extra, "running the original of these weights")


#: By the name of the source: runs the original with the weights of an open file.
ORIGINALS: dict[str, Callable[[WeightFile, Loaded, int], Answer]] = {
    "keras": _keras,
    "timm": _timm,
    "timm-tf": lambda file, loaded, seed: _timm(file, loaded, seed, "tf_"),
    "torchvision": _torchvision,
    "lukemelas": _lukemelas,
}
