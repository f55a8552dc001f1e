"""The folder of a build: the names of its files, and what a finished one holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.system.files import read_json
from edgekit.system.memory import return_freed_memory
from edgekit.system.paths import StrPath
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task
from edgekit.training.outputs import GRAPH

#: Folders and files of a run.
STAGES = "stages"
MANIFEST = "manifest.json"
REPORT = "report.json"

#: Files in the folder of a stage.
RECORD = "stage.json"
SPLITS = "splits.json"
UNLABELLED = "unlabelled.json"
PREPROCESSING = "preprocessing.json"
ORIGIN = "origin.json"
EARLIER = "earlier.json"
HISTOGRAMS = "histograms.npz"
CALIBRATION = "calibration.json"
RANGES = "ranges.json"
SEARCH = "search.json"
FLOAT = "float.graph"
MODEL = "model.tflite"
LOGITS = "logits.npy"
LATENCY = "latency.json"
CHIP = "chip.json"


@dataclass(frozen=True)
class FinishedRun:
    """A folder that a build has filled, with its stages.

    Attributes:
        folder: of the run.
        name: of the network, with which its files begin.
        head: ``classifier`` or ``none``.
        preprocessing: of the network's float input.
        stages: the folder of each stage by its role: data, weights, train, calibrate, …
    """

    folder: Path
    name: str
    head: str
    preprocessing: Preprocessing
    stages: Mapping[str, Path]

    def splits(self) -> Splits:
        """The photos of the run; raises UsageError where their list is gone."""
        with _reading(self.folder):
            return read_splits(self.stages["data"])

    def read(self, role: str, file: str) -> Any:
        """The JSON of a stage's file; raises UsageError where it is gone."""
        with _reading(self.folder):
            return read_json(self.stages[role] / file)

    def graph(self, role: str, file: str = GRAPH) -> Graph:
        """The network that a stage left; raises UsageError where it is gone."""
        with _reading(self.folder):
            return Graph.load(self.stages[role] / file)

    def trained(self) -> Graph:
        """The float network that the run ended with; raises UsageError where it is gone.

        Of a run that trained nothing, the one that it began with.
        """
        return self.graph("train" if "train" in self.stages else "weights")

    def has(self, role: str, file: str) -> bool:
        """Whether there is such a stage, and it left such a file."""
        return role in self.stages and (self.stages[role] / file).exists()


def open_run(folder: StrPath) -> FinishedRun:
    """Reads the manifest of a finished run.

    Raises:
        UsageError: the folder holds none.
    """
    folder = Path(folder)
    with _reading(folder):
        manifest = read_json(folder / MANIFEST)
        return FinishedRun(
            folder,
            manifest["model"]["name"],
            manifest["options"]["head"],
            Preprocessing.from_dict(manifest["preprocessing"]),
            {
                role: folder / STAGES / folder_name(stage["name"], stage["key"])
                for role, stage in manifest["stages"].items()
            },
        )


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turns what a missing or damaged file raises into one error for the user."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} holds no finished run",
            cause=f"{type(error).__name__}: {error}",
            hint="give the folder that `edgekit build` wrote, with its stages",
        ) from error


def folder_name(name: str, key: str) -> str:
    """The folder of a stage within a run, from its name and key as the manifest has them."""
    return f"{name.replace(' ', '-')}-{key[:12]}"


def read_splits(data: Path) -> Splits:
    """The photos of a finished data stage."""
    path = data / SPLITS
    found = path.stat()
    return _splits_of(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _splits_of(path: Path, changed_ns: int, size: int) -> Splits:
    """Every stage asks for the same ones: a million photos take most of a second, and room."""
    splits = Splits.from_dict(read_json(path))
    return_freed_memory()  # the file's text, and what listed the photos
    return splits


def read_preprocessing(weights: Path) -> Preprocessing:
    """The preprocessing record of a finished weights stage."""
    return Preprocessing.from_dict(read_json(weights / PREPROCESSING))


def read_task(weights: Path) -> Task:
    """The task of a finished weights stage, which its preprocessing record names."""
    return find_task(read_preprocessing(weights).task)


def with_input_of(calibration: Path, preprocessing: Preprocessing) -> Preprocessing:
    """The record with the normalization that the prepared network's own input has."""
    record = read_json(calibration / CALIBRATION)
    mean, std = record["input_mean"], record["input_std"]
    return replace(preprocessing, mean=(mean,) * 3, std=(std,) * 3)


def to_convert(model: Path, head: str, task: Task) -> Graph:
    """The trained network of a stage; see `as_converted`."""
    return as_converted(Graph.load(model / GRAPH), head, task)


def as_converted(graph: Graph, head: str, task: Task) -> Graph:
    """A trained network as files have it: without its head where they shall end before it."""
    return task.head.remove(graph) if head == "none" else graph


def model_file(paths: Sequence[str]) -> str | None:
    """Picks the quantized TFLite file that runs on any host, else any TFLite file."""
    files = [path for path in paths if path.endswith(".tflite")]
    stems = {path.removesuffix(".tflite") for path in files}
    # What a compiler makes is called like its source, and more.
    plain = [path for path in files if path.removesuffix(".tflite").rpartition("_")[0] not in stems]
    quantized = [path for path in plain if {"w8a8", "int8"} & _words(path)]
    return next(iter(quantized or plain or files), None)


def _words(path: str) -> set[str]:
    return set(PurePath(path).stem.lower().replace("_", "-").replace(".", "-").split("-"))
