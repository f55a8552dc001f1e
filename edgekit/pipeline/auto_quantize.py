"""``--quantize auto``: one repair after the other, up to the first that keeps the budget.

Each one's emitted file is measured on one half of the validation photos. The other half takes no
part in the choice, so that the report can say what the choice is worth on photos that it never saw.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.image_set import PhotoSet
from edgekit.networks.graph import Graph
from edgekit.pipeline.post_training import Algorithms, Candidate, Folders
from edgekit.pipeline.selection import choosing_half
from edgekit.pipeline.stage import UNHASHED, FolderOf, Outcome
from edgekit.pipeline.stages.evaluate import classify
from edgekit.pipeline.stages.quantize import Requantized
from edgekit.runs import FLOAT, MODEL, SEARCH, read_preprocessing, read_splits, read_task
from edgekit.runtimes.predict import predict_file
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.tasks.task import Metric, Task
from edgekit.training.outputs import GRAPH

Repair = Callable[[Algorithms, Candidate], Candidate]

#: In this order. Each takes the best int8 network so far.
REPAIRS: tuple[tuple[str, Repair], ...] = (
    ("ranges", lambda algorithms, best: best),
    ("importance and biases", Algorithms.weigh_ranges),
    ("equalization", Algorithms.equalize),
    ("block reconstruction", Algorithms.reconstruct_blocks),
    ("biases again", Algorithms.correct_biases),
)
#: Activations that the last ones keep in float.
MIXED = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Trial:
    """What one repair gave on the photos that choose.

    Attributes:
        name: what was done.
        seconds: what it took, without its evaluation.
        score: of the emitted file by the task's metric, a fraction.
        drop_pp: percentage points of it below fp32.
        expected_pp: the drop that fp32's own probabilities let expect.
        agreement: share of the photos with fp32's answer.
        kl: mean KL divergence from fp32's answers, in nats.
        met: whether the budget holds for both: on a few hundred photos the drop alone is luck.
    """

    name: str
    seconds: float
    score: float
    drop_pp: float
    expected_pp: float
    agreement: float
    kl: float
    met: bool


@dataclass
class Search:
    """What was tried, as ``search.json`` keeps it.

    Attributes:
        max_drop: the budget in percentage points.
        chosen_on: indices of the validation photos that chose.
        trials: in their order.
        chosen: name of the one that was taken, so far.
        met: whether it keeps the budget.
        base: place of the best one that is int8 throughout; the next ones start from it.
        skipped: why repairs were left out.
    """

    max_drop: float
    chosen_on: list[int]
    trials: list[Trial] = field(default_factory=list)
    chosen: str = ""
    met: bool = False
    base: int = -1
    skipped: list[str] = field(default_factory=list)

    def to_record(self, metric: Metric) -> dict[str, Any]:
        """JSON values, in which a trial's score has the metric's name."""
        trials = [metric.to_record(asdict(trial)) for trial in self.trials]
        return {**vars(self), "trials": trials}

    @property
    def best(self) -> int:
        """Place of the chosen trial."""
        return [trial.name for trial in self.trials].index(self.chosen)

    def add(self, trial: Trial, *, int8: bool) -> None:
        """Notes what a repair gave, and whether it is the best so far."""
        least = min((other.kl for other in self.trials), default=np.inf)
        self.trials.append(trial)
        if trial.met or trial.kl < least:
            self.chosen, self.met = trial.name, trial.met
        if int8 and (self.base < 0 or trial.kl < self.trials[self.base].kl):
            self.base = len(self.trials) - 1


def read_search(outcomes: Mapping[str, Outcome]) -> dict[str, Any] | None:
    """The search of ``--quantize auto``, as ``search.json`` keeps it; None where there was none."""
    path = outcomes["repair"].folder / SEARCH if "repair" in outcomes else None
    return read_json(path) if path and path.exists() else None


def describe_search(search: dict[str, Any] | None) -> list[str]:
    """A line per trial: what it gave, and what it took."""
    if search is None:
        return []
    lines = [
        f"  {trial['name']}: drop {trial['drop_pp']:.2f} pp (expected {trial['expected_pp']:.2f}), "
        f"agrees {100 * trial['agreement']:.2f} %, KL {trial['kl']:.4f}, {trial['seconds']:.1f} s"
        for trial in search["trials"]
    ]
    return [
        f"on the {len(search['chosen_on'])} validation photos that choose:",
        *lines,
        *(f"  left out: {text}" for text in search["skipped"]),
    ]


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchWithinBudget(Requantized):
    """Repairs until the budget holds; keeps the first trial that does, else the best.

    An interrupted search goes on at the trial where it stopped.

    Attributes:
        max_drop: the budget in percentage points.
        mixed: whether layers may be kept in float.
        device: torch device, or ``auto``.
        threads: of the runtime.
    """

    max_drop: float
    mixed: bool
    device: str = field(metadata=UNHASHED)
    threads: int = field(metadata=UNHASHED)

    title = "search within the budget"
    record = 4  # with other repairs than before

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.networks.quantization import is_mixed

        folders, head = self.quantized.folders(of), self.original.head
        seed = self.original.trained.data.seed
        algorithms = Algorithms(folders, self.device, seed, progress, thorough=True)
        metric = read_task(folders.weights).metric
        search = _resume(folder, read_splits(folders.data).val, self.max_drop, seed, metric)
        evaluator = _Evaluator(folder, folders, head, search, self.device, self.threads, progress)
        repairs = list(REPAIRS)
        if self.mixed:
            repairs += [
                (f"{k} tensors in float", partial(Algorithms.keep_float, count=k)) for k in MIXED
            ]
        search.skipped = (
            ["mixed precision: a target takes int8 throughout"] if not self.mixed else []
        )
        for place, (name, repair) in enumerate(repairs):
            if search.met:
                break
            if place < len(search.trials):
                continue
            began = time.perf_counter()
            base = (
                Candidate.load(_kept(folder, search.base)) if search.trials else algorithms.start()
            )
            candidate = repair(algorithms, base)
            seconds = time.perf_counter() - began
            candidate.save(_kept(folder, place))
            int8 = not is_mixed(candidate.quantized)
            search.add(evaluator(name, candidate.quantized, seconds), int8=int8)
            write_json(folder / SEARCH, search.to_record(metric))
            _tidy(folder, {search.best, search.base})
        return _finish(folder, search)


def _resume(
    folder: Path, validation: PhotoSet, max_drop: float, seed: int, metric: Metric
) -> Search:
    """The search that an interruption left, or a new one."""
    if (folder / SEARCH).exists():
        record = read_json(folder / SEARCH)
        trials = [Trial(**metric.from_record(trial)) for trial in record["trials"]]
        return Search(**{**record, "trials": trials})
    return Search(max_drop, choosing_half(len(validation), seed))


def _kept(folder: Path, place: int) -> Path:
    return folder / f"trial-{place}"


def _tidy(folder: Path, needed: set[int]) -> None:
    """Removes the networks that no later trial starts from."""
    for path in folder.glob("trial-*"):
        if path not in {_kept(folder, place) for place in needed}:
            shutil.rmtree(path)


def _finish(folder: Path, search: Search) -> str:
    best = Candidate.load(_kept(folder, search.best))
    best.quantized.save(folder / GRAPH)
    best.graph.save(folder / FLOAT)
    _tidy(folder, set())
    return f"{search.chosen}{'' if search.met else ', which misses the budget'}"


def held_out(
    task: Task,
    search: Mapping[str, Any],
    reference: NDArray[Any],
    outputs: NDArray[Any],
    labels: Any,
) -> dict[str, Any] | None:
    """What the chosen file gives on the validation photos that took no part in the choice.

    Args:
        task: of the run.
        search: as ``search.json`` keeps it.
        reference: outputs of fp32 on all validation photos, [n, ...].
        outputs: those of the file.
        labels: of the photos.

    Returns:
        ``n``, the metric, ``drop_pp``, ``drop_se_pp``, ``agreement`` and ``kl``; None where all
        photos chose.
    """
    rest = np.setdiff1d(np.arange(len(labels)), search["chosen_on"])
    if not len(rest):
        return None
    figures = task.measure(outputs[rest], labels[rest], reference[rest])
    names: Sequence[str] = (task.metric.key, "drop_pp", "drop_se_pp", "agreement", "kl")
    return {"n": len(rest), **{name: figures[name] for name in names}}


class _Evaluator:
    """Measures emitted files on the validation photos that choose."""

    def __init__(
        self,
        folder: Path,
        folders: Folders,
        head: str,
        search: Search,
        device: str,
        threads: int,
        progress: Progress,
    ) -> None:
        from edgekit.networks.predict import predict
        from edgekit.networks.torch_device import pick_device
        from edgekit.networks.torch_network import Network

        self.file = folder / MODEL
        self.photos: PhotoSet = read_splits(folders.data).val.subset(search.chosen_on)
        self.preprocessing = read_preprocessing(folders.weights)
        self.task = read_task(folders.weights)
        self.classify: Callable[[NDArray[Any]], NDArray[Any]] = lambda outputs: outputs
        if head == "none":
            self.classify = partial(classify, model=folders.model, task=self.task)
        self.max_drop, self.threads, self.progress = search.max_drop, threads, progress
        network = Network(Graph.load(folders.model / GRAPH))
        self.wanted = predict(
            network,
            self.photos,
            self.preprocessing,
            device=pick_device(device),
            keep=self.task.keep,
        )
        self.labels = self.task.labels(self.photos, self.preprocessing)

    def __call__(self, name: str, graph: Graph, seconds: float) -> Trial:
        from edgekit.converters.tflite.write import write_tflite

        write_tflite(graph, self.file, io="uint8")
        advance = partial(self.progress, f"evaluate {name}")
        logits = self.classify(
            predict_file(self.file, self.photos, self.preprocessing, self.threads, advance)
        )
        self.file.unlink()
        task, labels = self.task, self.labels
        scores = [task.metric_of(found, labels) for found in (self.wanted, logits)]
        drop, near = 100 * (scores[0] - scores[1]), task.compare(self.wanted, logits)
        expected = 100 * near.expected_drop
        return Trial(
            name,
            seconds,
            scores[1],
            drop,
            expected,
            near.agreement,
            near.kl,
            max(drop, expected) <= self.max_drop,
        )
