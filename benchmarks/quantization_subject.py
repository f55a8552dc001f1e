"""The network and the photos that benchmarks/quantization.py gives to every tool."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit import runs
from edgekit.data.batches import eval_batches
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.selection import evenly
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.graph import Graph
from edgekit.options.build import BuildOptions
from edgekit.parity.executions import find_subject as check_run
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.stage import StageStore
from edgekit.runs import STAGES
from edgekit.system.files import read_json
from edgekit.training import outputs

Pixels = npt.NDArray[np.uint8]

#: Passes over the built-in shapes, where no photos are given.
EPOCHS = 3


@dataclass(frozen=True)
class Subject:
    """What every tool is given.

    Attributes:
        graph: the float network, as trained.
        preprocessing: of photos for it.
        calibration: the calibration photos, uint8 [n, height, width, 3].
        photos: those that accuracy is measured on, uint8 [m, height, width, 3].
        truth: their classes, int64 [m].
        keras_file: the weights, where ``keras.applications`` has the same network and takes them.
    """

    graph: Graph
    preprocessing: Preprocessing
    calibration: Pixels
    photos: Pixels
    truth: npt.NDArray[np.int64]
    keras_file: Path | None = None


def find_subject(options: Namespace, folder: Path) -> Subject:
    """Reads a finished build, or runs the first stages of one.

    Args:
        options: of the command line.
        folder: for those stages.

    Raises:
        UsageError: as for `edgekit.build`, or there is no finished build.
    """
    data, weights, model = _stages_of(options.run) if options.run else _begin(options, folder)
    splits, preprocessing = runs.read_splits(data), runs.read_preprocessing(weights)
    graph = Graph.load(model / outputs.GRAPH)

    def pixels(photos: Any) -> Pixels:
        return np.concatenate([batch for batch, _ in eval_batches(photos, preprocessing, 32)])

    calibration = _some(splits.calibration, options.limit)
    val = _some(splits.val, options.limit)
    origin = read_json(weights / runs.ORIGIN) or {}
    # Keras' own network stands in only where that file holds all of its weights as they are.
    published = origin.get("source") == "keras" and graph.classes == 1000 and model == weights
    keras_file = Path(origin["path"]) if published and graph.name.startswith("v2-") else None
    return Subject(graph, preprocessing, pixels(calibration), pixels(val), val.labels, keras_file)


def _some(photos: Any, limit: int | None) -> Any:
    """At most ``limit`` photos, evenly spread."""
    return photos.subset(evenly(len(photos), limit or len(photos)))


def _begin(options: Namespace, folder: Path) -> tuple[Path, Path, Path]:
    """Runs a build up to the float network; the folders of its data, weights and model."""
    build = BuildOptions(
        model=options.model,
        data=options.data,
        val=options.eval,
        calibration=options.calibration,
        weights=options.weights,
        resolution=options.resolution,
        epochs=0 if options.data else EPOCHS,
    )
    store = StageStore(folder / STAGES)
    stages = make_plan(build).stages
    done = [
        store.run(stages[role], lambda *_: None).folder
        for role in ("data", "weights", "train")
        if role in stages
    ]
    return done[0], done[1], done[-1]


def _stages_of(run: Path) -> tuple[Path, Path, Path]:
    """The folders of a finished build's data, weights and model."""
    check_run(run)
    stages = runs.open_run(run).stages
    return stages["data"], stages["weights"], stages.get("train", stages["weights"])


def tiny_subject() -> Subject:
    """A network and photos, all random, that any tool quantizes in a moment."""
    spec = scale_spec(find_spec("b0"), width=0.1, depth=0.1)
    graph = build_graph(spec, classes=3, resolution=32, seed=0)
    photos = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    middle = (127.5, 127.5, 127.5)
    preprocessing = Preprocessing(32, middle, middle, ("a", "b", "c"))
    return Subject(graph, preprocessing, photos, photos, np.arange(10) % 3)
