"""``--quantize auto``: climbs a ladder of repairs, and stops at the first rung within the budget.

Each rung's emitted file is judged on one half of the validation photos. The other half takes no
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
from edgekit.pipeline.post_training import Candidate, Folders, Workshop
from edgekit.pipeline.selection import choosing_half
from edgekit.pipeline.stage import UNHASHED, FolderOf, Outcome
from edgekit.pipeline.stages.evaluate import classify, run_file
from edgekit.pipeline.stages.quantize import Requantized
from edgekit.runs import FLOAT, LADDER, MODEL, read_preprocessing, read_splits, read_task
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.tasks.task import Metric, Task
from edgekit.training.outputs import GRAPH

Repair = Callable[[Workshop, Candidate], Candidate]

#: From the bottom. Each takes the best int8 network so far.
RUNGS: tuple[tuple[str, Repair], ...] = (
    ("ranges", lambda workshop, best: best),
    ("importance and biases", Workshop.weigh_ranges),
    ("equalization", Workshop.equalize),
    ("learned rounding", Workshop.learn_rounding),
    ("distillation", Workshop.distil),
)
#: Activations that the last rungs keep in float.
MIXED = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Rung:
    """What one rung of the ladder gave on the photos that choose.

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
class Ladder:
    """The climb, as ``ladder.json`` keeps it.

    Attributes:
        max_drop: the budget in percentage points.
        chosen_on: indices of the validation photos that chose.
        rungs: in the order of the climb.
        chosen: name of the rung that was taken, so far.
        met: whether it keeps the budget.
        base: place of the best rung that is int8 throughout; the next ones start from it.
        skipped: why rungs were left out.
    """

    max_drop: float
    chosen_on: list[int]
    rungs: list[Rung] = field(default_factory=list)
    chosen: str = ""
    met: bool = False
    base: int = -1
    skipped: list[str] = field(default_factory=list)

    def to_record(self, metric: Metric) -> dict[str, Any]:
        """JSON values, in which a rung's score has the metric's name."""
        rungs = [metric.to_record(asdict(rung)) for rung in self.rungs]
        return {**vars(self), "rungs": rungs}

    @property
    def best(self) -> int:
        """Place of the chosen rung."""
        return [rung.name for rung in self.rungs].index(self.chosen)

    def add(self, rung: Rung, *, int8: bool) -> None:
        """Notes what a rung gave, and whether it is the best so far."""
        least = min((other.kl for other in self.rungs), default=np.inf)
        self.rungs.append(rung)
        if rung.met or rung.kl < least:
            self.chosen, self.met = rung.name, rung.met
        if int8 and (self.base < 0 or rung.kl < self.rungs[self.base].kl):
            self.base = len(self.rungs) - 1


def read_ladder(outcomes: Mapping[str, Outcome]) -> dict[str, Any] | None:
    """The climb of ``--quantize auto``, as ``ladder.json`` keeps it; None where there was none."""
    path = outcomes["repair"].folder / LADDER if "repair" in outcomes else None
    return read_json(path) if path and path.exists() else None


def describe_climb(ladder: dict[str, Any] | None) -> list[str]:
    """A line per rung: what it gave, and what it took."""
    if ladder is None:
        return []
    lines = [
        f"  {rung['name']}: drop {rung['drop_pp']:.2f} pp (expected {rung['expected_pp']:.2f}), "
        f"agrees {100 * rung['agreement']:.2f} %, KL {rung['kl']:.4f}, {rung['seconds']:.1f} s"
        for rung in ladder["rungs"]
    ]
    return [
        f"on the {len(ladder['chosen_on'])} validation photos that choose:",
        *lines,
        *(f"  left out: {text}" for text in ladder["skipped"]),
    ]


@dataclass(frozen=True, eq=False, kw_only=True)
class Climb(Requantized):
    """Climbs until the budget holds; keeps the first rung that does, else the best.

    An interrupted climb goes on at the rung where it stopped.

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

    title = "climb to the budget"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.networks.quantization import is_mixed

        folders, head = self.quantized.folders(of), self.original.head
        seed = self.original.trained.data.seed
        workshop = Workshop(folders, folder, self.device, seed, progress, thorough=True)
        metric = read_task(folders.weights).metric
        ladder = _resume(folder, read_splits(folders.data).val, self.max_drop, seed, metric)
        judge = _Judge(folder, folders, head, ladder, self.device, self.threads, progress)
        rungs = list(RUNGS)
        if self.mixed:
            rungs += [
                (f"{k} tensors in float", partial(Workshop.keep_float, count=k)) for k in MIXED
            ]
        ladder.skipped = (
            ["mixed precision: a target takes int8 throughout"] if not self.mixed else []
        )
        if head == "none":
            rungs = [(name, repair) for name, repair in rungs if repair is not Workshop.distil]
            ladder.skipped.append("distillation: an embedding has no answers to learn")
        for place, (name, repair) in enumerate(rungs):
            if ladder.met:
                break
            if place < len(ladder.rungs):
                continue
            began = time.perf_counter()
            base = Candidate.load(_kept(folder, ladder.base)) if ladder.rungs else workshop.start()
            candidate = repair(workshop, base)
            seconds = time.perf_counter() - began
            candidate.save(_kept(folder, place))
            int8 = not is_mixed(candidate.quantized)
            ladder.add(judge(name, candidate.quantized, seconds), int8=int8)
            write_json(folder / LADDER, ladder.to_record(metric))
            _tidy(folder, {ladder.best, ladder.base})
        return _finish(folder, ladder)


def _resume(
    folder: Path, validation: PhotoSet, max_drop: float, seed: int, metric: Metric
) -> Ladder:
    """The climb that an interruption left, or a new one."""
    if (folder / LADDER).exists():
        record = read_json(folder / LADDER)
        rungs = [Rung(**metric.from_record(rung)) for rung in record["rungs"]]
        return Ladder(**{**record, "rungs": rungs})
    return Ladder(max_drop, choosing_half(len(validation), seed))


def _kept(folder: Path, place: int) -> Path:
    return folder / f"rung-{place}"


def _tidy(folder: Path, needed: set[int]) -> None:
    """Removes the networks that no later rung starts from."""
    for path in folder.glob("rung-*"):
        if path not in {_kept(folder, place) for place in needed}:
            shutil.rmtree(path)


def _finish(folder: Path, ladder: Ladder) -> str:
    from edgekit.training.checkpoint import Checkpoints

    best = Candidate.load(_kept(folder, ladder.best))
    best.quantized.save(folder / GRAPH)
    best.graph.save(folder / FLOAT)
    _tidy(folder, set())
    Checkpoints(folder).remove()
    return f"{ladder.chosen}{'' if ladder.met else ', which misses the budget'}"


def held_out(
    task: Task,
    ladder: Mapping[str, Any],
    reference: NDArray[Any],
    outputs: NDArray[Any],
    labels: Any,
) -> dict[str, Any] | None:
    """What the chosen file gives on the validation photos that took no part in the choice.

    Args:
        task: of the run.
        ladder: as ``ladder.json`` keeps it.
        reference: outputs of fp32 on all validation photos, [n, ...].
        outputs: those of the file.
        labels: of the photos.

    Returns:
        ``n``, the metric, ``drop_pp``, ``drop_se_pp``, ``agreement`` and ``kl``; None where all
        photos chose.
    """
    rest = np.setdiff1d(np.arange(len(labels)), ladder["chosen_on"])
    if not len(rest):
        return None
    figures = task.measure(outputs[rest], labels[rest], reference[rest])
    names: Sequence[str] = (task.metric.key, "drop_pp", "drop_se_pp", "agreement", "kl")
    return {"n": len(rest), **{name: figures[name] for name in names}}


class _Judge:
    """Measures emitted files on the validation photos that choose."""

    def __init__(
        self,
        folder: Path,
        folders: Folders,
        head: str,
        ladder: Ladder,
        device: str,
        threads: int,
        progress: Progress,
    ) -> None:
        from edgekit.networks.predict import predict
        from edgekit.networks.torch_device import pick_device
        from edgekit.networks.torch_network import Network

        self.file = folder / MODEL
        self.photos: PhotoSet = read_splits(folders.data).val.subset(ladder.chosen_on)
        self.preprocessing = read_preprocessing(folders.weights)
        self.task = read_task(folders.weights)
        self.classify: Callable[[NDArray[Any]], NDArray[Any]] = lambda outputs: outputs
        if head == "none":
            self.classify = partial(classify, model=folders.model, task=self.task)
        self.max_drop, self.threads, self.progress = ladder.max_drop, threads, progress
        network = Network(Graph.load(folders.model / GRAPH))
        self.wanted = predict(network, self.photos, self.preprocessing, device=pick_device(device))

    def __call__(self, name: str, graph: Graph, seconds: float) -> Rung:
        from edgekit.converters.tflite.write import write_tflite

        write_tflite(graph, self.file, io="uint8")
        advance = partial(self.progress, f"evaluate {name}")
        logits = self.classify(
            run_file(self.file, self.photos, self.preprocessing, self.threads, advance)
        )
        self.file.unlink()
        task, labels = self.task, self.task.labels(self.photos)
        scores = [task.score(task.tally(found, labels)) for found in (self.wanted, logits)]
        drop, near = 100 * (scores[0] - scores[1]), task.compare(self.wanted, logits)
        expected = 100 * near.expected_drop
        return Rung(
            name,
            seconds,
            scores[1],
            drop,
            expected,
            near.agreement,
            near.kl,
            max(drop, expected) <= self.max_drop,
        )
