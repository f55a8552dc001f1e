"""The weights stage: a build starts from none, from a file, or from the published ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgekit.converters.weights.open import Advice, check_reader
from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph
from edgekit.options.build import BuildOptions
from edgekit.pipeline.stage import FolderOf, Stage, hashed_as
from edgekit.pipeline.stages.data import Data
from edgekit.runs import ORIGIN, PREPROCESSING, read_splits
from edgekit.system.console import Progress
from edgekit.system.files import write_json
from edgekit.system.hashing import hash_files
from edgekit.training.outputs import GRAPH

#: How a build calls what hints name; it takes averaged weights, and its classes are the data's.
ADVICE = Advice(
    source="--weights-source {}",
    raw="edgekit weights import FILE --model MODEL --no-ema -o RAW.safetensors, and then "
    "--weights RAW.safetensors,",
    classes=None,
    random="--weights none",
    decoder="--decoder {}",
)


@dataclass(frozen=True)
class Start:
    """Weights that are on this machine, or will be.

    Attributes:
        name: as the run calls them: ``none``, ``imagenet``, a path or a repository on a hub.
        path: the user's file; None for random weights and for what is fetched.
        source: whose tensor names and padding the file has, as `load_weights` takes it.
        model: whose published weights they are, else None.
        url: where those come from.
        mirror: where the user wants them to come from.
        hub: the repository that they are from.
        spec: the variant that those of a repository must be of.
    """

    name: str
    path: Path | None = None
    source: str = "auto"
    model: str | None = None
    url: str | None = None
    mirror: str | None = None
    hub: HubReference | None = None
    spec: ModelSpec | None = None

    def state(self) -> tuple[str, str | None]:
        """How the file is read, and its SHA-256, or the address of what is fetched."""
        return self.source, hash_files(files_of(self.path)) if self.path else self.url

    def file(
        self, progress: Progress, note: Callable[[str], None]
    ) -> tuple[Path | None, str | None]:
        """Returns the file, downloaded if it must be, and its address; of random weights, None.

        Raises:
            EdgekitError: it cannot be had.
        """
        if self.hub is not None:
            from edgekit.networks.efficientnet.hub.fetch import fetch_from_hub

            found = fetch_from_hub(
                self.hub, self.spec, mirror=self.mirror, progress=progress, note=note
            )
            return found.path, found.url
        if self.model is None:
            return self.path, self.url
        from edgekit.networks.efficientnet import pretrained

        path = pretrained.fetch(self.model, mirror=self.mirror, progress=progress, note=note)
        return path, self.url


def files_of(path: Path) -> list[Path]:
    """The files that hold the weights: one, or the index and the data of a TF1 checkpoint."""
    from edgekit.converters.weights.open import find_checkpoint

    prefix = find_checkpoint(path)
    return sorted(prefix.parent.glob(f"{prefix.name}.[id]*")) if prefix else [path]


def find_start(options: BuildOptions) -> Start:
    """Says where the weights are; downloads nothing.

    Raises:
        UsageError: there are no published weights for this variant, or those of a hub are of
            another.
        MissingToolError: the file is a TF1 checkpoint, and TensorFlow is not installed; or the
            weights are on a hub, and what fetches them is not.
    """
    if options.start == "none":
        return Start("none")
    if reference := options.hub_reference:
        return _start_on_hub(reference, options)
    if options.start != "imagenet":
        path = Path(options.start)
        check_reader(path)
        return Start(options.start, path, options.weights_source)
    backbone = options.spec.backbone.name
    if backbone not in SPECS:
        raise UsageError(
            f"nobody published weights for {backbone}",
            cause="a network that is scaled anew has to be trained from the start",
            hint="--weights none",
        )
    from edgekit.networks.efficientnet import pretrained

    entry = pretrained.find(backbone)
    return Start("imagenet", None, entry.source, entry.model, entry.url, options.mirror)


def _start_on_hub(reference: HubReference, options: BuildOptions) -> Start:
    from edgekit.networks.efficientnet.hub.fetch import check_request

    check_request(reference, options.spec, options.mirror)
    return Start(
        str(reference),
        source=options.weights_source,
        url=str(reference),
        mirror=options.mirror,
        hub=reference,
        spec=options.spec,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights(Stage):
    """Builds the network, with weights from a file or freshly drawn.

    Attributes:
        data: whose classes it has.
        spec: the variant.
        resolution: side of its input in pixels.
        crop: share of the shorter side that the centre crop keeps; None for the weights' own.
        fit: how a photo becomes square.
        start: the weights.
    """

    data: Data
    spec: ModelSpec
    resolution: int
    crop: float | None
    fit: str
    start: Start = field(metadata=hashed_as(Start.state))

    title = "weights"

    @property
    def weights(self) -> Weights:
        """The stage itself, as that of a training is the one before."""
        return self

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.converters.weights.load import load_weights
        from edgekit.networks.edit import start_as_shortcuts
        from edgekit.networks.efficientnet.architecture import build_graph

        splits = read_splits(of(self.data))
        classes, seed = len(splits.labels), self.data.seed
        notes: list[str] = []
        file, url = self.start.file(progress, notes.append)
        origin = None
        if file is None:
            graph = build_graph(self.spec, classes=classes, resolution=self.resolution, seed=seed)
            graph = start_as_shortcuts(graph)
            detail = "random"
        else:
            read = partial(
                load_weights,
                file,
                self.spec,
                classes=classes,
                resolution=self.resolution,
                seed=seed,
                advice=ADVICE,
            )
            loaded = read(source=self.start.source)
            if loaded.padding_assumption:
                told, note = _ask_the_photos(loaded.graph, splits.calibration)
                notes.append(note)
                if told and told != loaded.source:
                    loaded = read(source=told)
                elif told:
                    loaded = loaded.with_padding_known()
            graph = loaded.graph
            detail = f"{loaded.source} weights"
            origin = {
                "name": self.start.name,
                "path": str(file),
                "url": url,
                "sha256": hash_files(files_of(file)),
                "source": loaded.source,
                "notes": [*notes, *loaded.notes],
                # A published file is known by its hash, and its preprocessing by its publisher.
                "assumptions": [] if self.start.model else list(loaded.assumptions),
            }
        write_json(folder / ORIGIN, origin)
        graph.save(folder / GRAPH)
        # The normalization, the crop and the interpolation belong to the weights.
        spec = spec_of(graph) or self.spec
        preprocessing = preprocessing_of(
            spec, self.resolution, splits.labels, crop=self.crop, fit=self.fit
        )
        write_json(folder / PREPROCESSING, preprocessing.to_dict())
        return detail


def _ask_the_photos(graph: Graph, photos: PhotoSet) -> tuple[str | None, str]:
    """Whose weights of timm's they are by the photos, where those can tell; and a note."""
    from edgekit.converters.weights.padding import guess_padding
    from edgekit.data.batches import eval_batches

    spec = spec_of(graph)
    if spec is None:
        raise TypeError(f"{graph.name} does not say what variant it is")
    preprocessing = Preprocessing(graph.resolution, spec.mean, spec.std, ())
    pixels, indices = next(eval_batches(photos, preprocessing, 64))
    guess = guess_padding(graph, preprocessing.normalize(pixels))
    share = max(guess.share, 1 - guess.share)
    told = (
        f"{round(share * guess.layers)} of {guess.layers} layers, run over {len(indices)} photos,"
    )
    if guess.padding is None:
        return None, f"the photos cannot tell the padding either: {told} agree"
    note = f"the padding is {guess.padding}: {told} say so"
    return {"same": "timm-tf", "symmetric": "timm"}[guess.padding], note
