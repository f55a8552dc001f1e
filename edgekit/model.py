"""A variant with weights, ready to use from Python: logits, embeddings and the feature pyramid."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image
from torch import Tensor, nn

from edgekit.converters.weights.load import load_weights
from edgekit.data.images import decode_image
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.decoders import Decoder
from edgekit.networks.efficientnet.architecture import build_graph, pyramid
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.hub.fetch import fetch_from_hub
from edgekit.networks.efficientnet.hub.reference import find_reference
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import FullyConnected
from edgekit.networks.predict import to_input
from edgekit.networks.torch_network import Network
from edgekit.options.decoder import with_decoder_options
from edgekit.system.paths import StrPath


class Model(nn.Module):
    """A network that can be called, trained further, or used as a backbone.

    Attributes:
        network: the torch module; its parameters are this module's.
        notes: what was noticed when the weights were loaded.
        channels: of each map that `features` gives.
        strides: of each map: input pixels per pixel of the map.
    """

    def __init__(self, graph: Graph, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.network = Network(graph)
        self.notes = notes
        self._names = pyramid(graph)
        shapes = [graph.shapes[name] for name in self._names]
        self.channels = tuple(shape[-1] for shape in shapes)
        # Where strides are dilations, the last maps have one stride.
        self.strides = tuple(round(graph.resolution / shape[0]) for shape in shapes)

    @property
    def graph(self) -> Graph:
        """The network as data, with the present weights."""
        return self.network.to_graph()

    @property
    def preprocessing(self) -> Preprocessing:
        """How the photos are prepared that these weights were trained with; it has no labels."""
        graph = self.network.graph
        spec = spec_of(graph)
        if spec is None:
            raise UsageError(f"{graph.name} does not say how its photos are prepared")
        return preprocessing_of(spec, graph.resolution)

    def forward(self, x: Tensor) -> Tensor:
        """Classifies photos, their pixels, or the anchors in them.

        Args:
            x: normalised photos, float [n, 3, height, width]; what `photo` gives. A network with a
                decoder takes them at its own resolution alone.

        Returns:
            Logits, float [n, classes], or [n, classes, height, width] for segmentation. For
            detection the boxes, relative to their anchors, and the logits, [n, anchors, 4 +
            classes].
        """
        return cast(Tensor, self.network(x))

    def embed(self, x: Tensor) -> Tensor:
        """Returns the input of the classifier, float [n, head channels]; 1280 for B0.

        Raises:
            UsageError: the network has a decoder, and none.
        """
        if isinstance(self.network.graph.nodes[-1], FullyConnected):
            return self.network.run(x, until=self.network.graph.nodes[-1].inputs[0])
        raise UsageError(
            f"{self.network.graph.name} gives no embedding",
            cause="it has a decoder where classifiers have a mean over the last map",
            hint="Model.features, whose maps the decoder reads, or the model without a decoder",
        )

    def features(self, x: Tensor) -> list[Tensor]:
        """Returns the feature pyramid that detectors and segmenters build on.

        Args:
            x: normalised photos, float [n, 3, height, width], of any size.

        Returns:
            The last block's output at each of the strides 2, 4, 8, 16 and 32: float
            [n, channels, ceil(height / stride), ceil(width / stride)]. Of a network with
            a decoder they are its encoder's; DeepLab's last one or two have its output stride.
        """
        found: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> Tensor:
            if name in self._names:
                found[name] = value
            return value

        self.network.run(x, keep, self._names[-1])
        return [found[name] for name in self._names]

    def photo(self, photo: StrPath | Image.Image) -> Tensor:
        """Prepares a photo as in evaluation: float [1, 3, resolution, resolution]."""
        image = photo if isinstance(photo, Image.Image) else decode_image(photo)
        preprocessing = self.preprocessing
        device = next(self.parameters()).device
        return to_input(preprocessing.pixels(image)[np.newaxis], preprocessing, device)


def load(
    model: str,
    weights: StrPath | None = "imagenet",
    *,
    classes: int | None = None,
    resolution: int | None = None,
    source: str = "auto",
    seed: int = 0,
    decoder: str | Decoder | None = None,
) -> Model:
    """Loads a variant, in evaluation mode.

    Args:
        model: the variant, for example ``b0``, ``unet-b0`` for segmentation, or ``d0`` for
            detection.
        weights: ``imagenet`` for the published ones (downloaded once), a file, a repository on a
            model hub (``hf://ORG/NAME``, a tag of timm's, or ``hub`` for the best of those), or
            ``none`` or None for random ones.
        classes: number of logits; the weights' own, or 1000. With another number than the
            weights', the classifier is new and random. With a decoder it must be given unless
            the weights are of a whole network: published ones are of a backbone.
        resolution: side of the square input in pixels; the variant's own by default.
        source: whose file it is, where the file does not tell (`edgekit.options.training.SOURCES`).
        seed: of random weights.
        decoder: its channels, as a build takes them: ``64,48,32,24,16``; or all of it, a record of
            `edgekit.networks.decoders`.

    Raises:
        UsageError: no such variant, or the weights do not fit.
        MissingToolError: the weights are on a hub, and huggingface_hub is not installed.
        EdgekitError: the weights cannot be downloaded.
    """
    spec = find_spec(model)
    if isinstance(decoder, str):
        spec = with_decoder_options(spec, decoder=decoder)
    elif decoder is not None:
        same = type(spec.decoder) is type(decoder)
        spec = replace(spec, decoder=decoder) if same else spec.backbone.with_decoder(decoder)
    word = str(weights).lower()
    if weights is None or word == "none":
        if classes is None and spec.decoder is not None:
            raise UsageError(f"how many classes {spec.name} has is not known", hint="classes=N")
        graph = build_graph(spec, classes=classes or 1000, resolution=resolution, seed=seed)
        return Model(graph).eval()
    if word == "imagenet":
        from edgekit.networks.efficientnet import pretrained

        backbone = spec.backbone.name
        weights, source = pretrained.fetch(backbone), pretrained.find(backbone).source
    notes: list[str] = []
    if reference := find_reference(str(weights), spec):
        weights = fetch_from_hub(reference, spec, note=notes.append).path
    loaded = load_weights(
        weights, spec, classes=classes, resolution=resolution, seed=seed, source=source
    )
    return Model(loaded.graph, (*notes, *loaded.said)).eval()
