"""Self-training with a noisy student: a teacher labels photos, and a student learns from them too.

(Xie et al. 2019, arXiv 1911.04252, sections 2 and 3.1; the noise is in the student's recipe.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.data.image_set import ConcatenatedPhotos, PhotoSet
from edgekit.errors import EdgekitError
from edgekit.networks.graph import Graph
from edgekit.networks.predict import predict
from edgekit.networks.torch_network import Network
from edgekit.system.files import read_json
from edgekit.tasks.learning import Learning
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Metric
from edgekit.training.distributed import lead
from edgekit.training.engine import Engine
from edgekit.training.epochs import Epoch
from edgekit.training.job import TrainingJob
from edgekit.training.outputs import GRAPH, HISTORY, keep
from edgekit.training.recipe import Recipe, StudentRecipe

LABELS = "pseudo-labels.npy"

#: Told what is being done, how much of it, of how much, and a few words.
Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class PseudoLabels:
    """What a student learns from a teacher.

    Attributes:
        photos: indices into the unlabelled photos, int64 [n]; some may stand there repeatedly.
        targets: probabilities, float32 [n, ...].
    """

    photos: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]


def choose(
    logits: npt.NDArray[np.float32], recipe: StudentRecipe, learning: Learning
) -> PseudoLabels:
    """Takes the photos that the teacher is sure of, as many of each class.

    Args:
        logits: the teacher's, float32 [n, ...].
        recipe: its confidence, balance and soft labels.
        learning: of the job.
    """
    probabilities = learning.probabilities(logits)
    answers, sureness = learning.confidence(probabilities)
    sure = np.flatnonzero(sureness >= recipe.confidence)
    photos = sure[np.argsort(-sureness[sure], kind="stable")]
    if recipe.balance and len(photos):
        groups = [photos[answers[photos] == label] for label in np.unique(answers[photos])]
        size = round(len(photos) / len(groups))
        # The surest of a large class; those of a small one again and again.
        photos = np.concatenate([np.resize(group, max(size, 1)) for group in groups])
    targets = probabilities[photos]
    if not recipe.soft:
        targets = learning.targets(answers[photos], logits.shape[1])
    return PseudoLabels(photos.astype(np.int64), targets.astype(np.float32))


@dataclass(frozen=True)
class Lessons:
    """Everything that teaching needs.

    Attributes:
        job: the labelled photos, and the network that the first teacher starts from; its recipe
            is the student's.
        teacher: recipe of the first teacher.
        unlabelled: photos whose labels, if any, are not looked at.
    """

    job: TrainingJob
    teacher: Recipe
    unlabelled: PhotoSet


def teach(
    lessons: Lessons,
    folder: Path,
    engine: Engine,
    progress: Progress,
    warn: Callable[[str], None] | None = None,
) -> tuple[Graph, list[Epoch], list[dict[str, Any]]]:
    """Trains a teacher, then one student after the other.

    Args:
        lessons: the photos and the recipes.
        folder: where each of them has a folder of its own, ``teacher``, ``student-1`` …; finished
            ones are not trained again.
        engine: what is computed on and how.
        progress: told how far each of them is.
        warn: told what else is to be known.

    Returns:
        The last student, its epochs, and for each network before it its ``name``, ``history``
        and ``recipe``.

    Raises:
        EdgekitError: the teacher is sure of no photo.
    """
    start, recipe = lessons.job.graph, lessons.job.recipe
    if not isinstance(recipe, StudentRecipe):
        raise TypeError(f"{type(recipe).__name__} is no recipe of a student")
    job = replace(lessons.job, recipe=lessons.teacher)
    graph, history = _learn(job, folder / "teacher", "teacher", engine, progress, warn)
    metric = find_task(job.preprocessing.task).metric
    earlier = [_described("teacher", history, lessons.teacher, metric)]
    for number in range(1, recipe.iterations + 1):
        name = "student" if recipe.iterations == 1 else f"student {number}"
        own = folder / f"student-{number}"
        labels = _pseudo_labels(graph, lessons, recipe, own, engine, progress)
        begin = graph if recipe.start == "teacher" else start
        job = _student_job(replace(lessons.job, graph=begin), lessons.unlabelled, labels, recipe)
        graph, history = _learn(job, own, name, engine, progress, warn)
        if number < recipe.iterations:
            earlier.append(_described(name, history, recipe, metric))
    return graph, history, earlier


def _student_job(
    job: TrainingJob, unlabelled: PhotoSet, labels: PseudoLabels, recipe: StudentRecipe
) -> TrainingJob:
    """The labelled photos as often as asked for, and the pseudo-labelled ones."""
    labelled = (job.train,) * recipe.labelled_repeats
    task = find_task(job.preprocessing.task)
    known = task.learning.targets(
        task.labels(job.train, job.preprocessing), labels.targets.shape[1]
    )
    return replace(
        job,
        train=ConcatenatedPhotos((*labelled, unlabelled.subset(labels.photos.tolist()))),
        targets=np.concatenate([known] * recipe.labelled_repeats + [labels.targets]),
    )


def _pseudo_labels(
    graph: Graph,
    lessons: Lessons,
    recipe: StudentRecipe,
    folder: Path,
    engine: Engine,
    progress: Progress,
) -> PseudoLabels:
    """The teacher's answers; kept, so that a resumed run has the same."""
    folder.mkdir(exist_ok=True)
    path = folder / LABELS
    if path.exists():
        logits = np.load(path, allow_pickle=False)
    else:
        logits = predict(
            Network(graph),
            lessons.unlabelled,
            lessons.job.preprocessing,
            device=engine.device,
            advance=lambda done, total: progress("label", done, total, ""),
        )
        fresh = path.with_suffix(".next.npy")
        np.save(fresh, logits, allow_pickle=False)
        fresh.replace(path)
    labels = choose(logits, recipe, find_task(lessons.job.preprocessing.task).learning)
    if not len(labels.photos):
        raise EdgekitError(
            f"the teacher is sure of none of the {len(logits)} unlabelled photos",
            cause=f"no answer has a probability of {recipe.confidence:g} or more",
            hint="a lower --student-confidence, or photos that are nearer to the labelled ones",
        )
    return labels


def _learn(
    job: TrainingJob,
    folder: Path,
    name: str,
    engine: Engine,
    progress: Progress,
    warn: Callable[[str], None] | None,
) -> tuple[Graph, list[Epoch]]:
    """Trains a network, unless it lies in its folder already."""
    folder.mkdir(exist_ok=True)
    metric = find_task(job.preprocessing.task).metric
    if (folder / HISTORY).exists():
        history = [Epoch.from_record(epoch, metric) for epoch in read_json(folder / HISTORY)]
        return Graph.load(folder / GRAPH), history

    def advance(done: int, total: int, note: str) -> None:
        progress(f"train {name}", done, total, note)

    graph, history = lead(job, folder, engine, advance=advance, warn=warn)
    keep(folder, graph, history, metric)
    return graph, history


def _described(name: str, history: list[Epoch], recipe: Recipe, metric: Metric) -> dict[str, Any]:
    return {
        "name": name,
        "history": [epoch.to_record(metric) for epoch in history],
        "recipe": asdict(recipe),
    }
