"""The repair stage: what is done to a quantized network after its ranges, until it is good enough.

``--quantize ptq`` corrects biases. ``--quantize auto`` climbs a ladder, and stops at the first
rung whose file keeps ``--max-drop`` on one half of the validation photos. The other half takes
no part in the choice, so that the report can say what it is worth on photos that it never saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.atomic import read_json, write_bytes, write_json
from edgekit.console import Progress
from edgekit.data import PhotoSet
from edgekit.graph import Graph
from edgekit.pipeline.stage import Outcome
from edgekit.pipeline.steps import (
    CALIBRATION,
    GRAPH,
    HISTOGRAMS,
    LADDER,
    MODEL,
    classify,
    read_preprocessing,
    read_splits,
    run_file,
    with_input_of,
)

#: Photos whose gradients weigh the ranges.
WEIGHING_PHOTOS = 64
DISTILLATION_STEPS = 300
DISTILLATION_BATCH = 16


@dataclass(frozen=True)
class Rung:
    """What one rung of the ladder gave on the photos that choose.

    Attributes:
        name: what was done.
        seconds: what it took, without its evaluation.
        top1: of the emitted file, a fraction.
        drop_pp: percentage points of top-1 below fp32.
        agreement: share of the photos with fp32's answer.
        kl: mean KL divergence from fp32's answers, in nats.
        met: whether the budget holds.
    """

    name: str
    seconds: float
    top1: float
    drop_pp: float
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
        chosen: name of the rung that was taken.
        met: whether it keeps the budget.
    """

    max_drop: float
    chosen_on: list[int]
    rungs: list[Rung] = field(default_factory=list)
    chosen: str = ""
    met: bool = False


def read_ladder(outcomes: Mapping[str, Outcome]) -> dict[str, Any] | None:
    """The climb of ``--quantize auto``, as ``ladder.json`` keeps it; None where there was none."""
    path = outcomes["repair"].folder / LADDER if "repair" in outcomes else None
    return read_json(path) if path and path.exists() else None


def describe_climb(ladder: dict[str, Any] | None) -> list[str]:
    """A line per rung: what it gave, and what it took."""
    if ladder is None:
        return []
    lines = [
        f"  {rung['name']}: drop {rung['drop_pp']:.2f} pp, agrees {100 * rung['agreement']:.2f} %, "
        f"KL {rung['kl']:.4f}, {rung['seconds']:.1f} s"
        for rung in ladder["rungs"]
    ]
    return [f"on the {len(ladder['chosen_on'])} validation photos that choose:", *lines]


class _Photos:
    """The calibration photos as inputs of the prepared network."""

    def __init__(self, data: Path, weights: Path, calibration: Path) -> None:
        self.photos = read_splits(data).calibration
        self.preprocessing = read_preprocessing(weights)
        self.input = with_input_of(calibration, self.preprocessing)

    def inputs(self, count: int) -> NDArray[np.float32]:
        """The first photos, float32 NHWC."""
        return np.concatenate(list(self.batches(count)))

    def batches(self, count: int, size: int = 8) -> Iterator[NDArray[np.float32]]:
        """Batches of the first photos, float32 NHWC."""
        from edgekit.batches import eval_batches

        some = self.photos.subset(range(min(count, len(self.photos))))
        for pixels, _ in eval_batches(some, self.preprocessing, size):
            yield self.input.normalize(pixels)

    def varied(self, steps: int, size: int, seed: int) -> Iterator[Any]:
        """Batches of photos cropped and mirrored at random, float NCHW tensors."""
        from edgekit.batches import Augmentation, train_batches
        from edgekit.inference import to_input

        size, epoch, done = min(size, len(self.photos)), 0, 0
        augmentation = Augmentation(crop_area=(0.35, 1.0))
        while done < steps:
            for pixels, _ in train_batches(
                self.photos,
                self.preprocessing,
                size,
                seed=seed,
                epoch=epoch,
                augmentation=augmentation,
            ):
                yield to_input(pixels, self.input, "cpu")
                done += 1
            epoch += 1


def correct(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    calibration: Path,
    quantized: Path,
    device: str,
) -> str:
    """Corrects the biases of the quantized network."""
    graph, bare = Graph.load(calibration / GRAPH), Graph.load(quantized / GRAPH)
    photos = _Photos(data, weights, calibration)
    _corrected(graph, bare, photos, device, progress).save(folder / GRAPH)
    return f"{len(graph.nodes)} layers"


def _corrected(
    graph: Graph, quantized: Graph, photos: _Photos, device: str, progress: Progress
) -> Graph:
    from edgekit.calibration.bias import correct_biases, photos_for
    from edgekit.devices import pick_device

    return correct_biases(
        graph,
        quantized,
        photos.inputs(photos_for(graph)),
        device=str(pick_device(device)),
        advance=lambda done, total: progress("correct biases", done, total),
    )


def climb(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    model: Path,
    head: str,
    calibration: Path,
    quantized: Path,
    max_drop: float,
    device: str,
    threads: int,
    seed: int,
) -> str:
    """Climbs the ladder until the budget holds; keeps the first that does, else the best."""
    validation = read_splits(data).val
    order = np.random.default_rng(seed).permutation(len(validation))
    ladder = Ladder(max_drop, sorted(order[: (len(order) + 1) // 2].tolist()))
    judge = _Judge(folder, data, weights, model, head, ladder, device, threads, progress)
    photos = _Photos(data, weights, calibration)
    best: Graph | None = None
    least = np.inf
    for name, graph, seconds in _rungs(calibration, quantized, photos, device, seed, progress):
        rung = judge(name, graph, seconds)
        ladder.rungs.append(rung)
        if rung.met or rung.kl < least:
            best, least, ladder.chosen = graph, rung.kl, name
        if rung.met:
            ladder.met = True
            break
    if best is None:
        raise ValueError("a ladder without rungs")
    best.save(folder / GRAPH)
    write_json(folder / LADDER, asdict(ladder))
    return f"{ladder.chosen}{'' if ladder.met else ', which misses the budget'}"


def _rungs(
    calibration: Path,
    quantized: Path,
    photos: _Photos,
    device: str,
    seed: int,
    progress: Progress,
) -> Iterator[tuple[str, Graph, float]]:
    """The ladder from the bottom: what was done, the network, and the seconds that it took."""
    from edgekit.calibration import quantize as ptq
    from edgekit.calibration.distill import Distillation, distill
    from edgekit.calibration.histogram import load_histograms
    from edgekit.calibration.importance import weigh
    from edgekit.devices import pick_device

    on = str(pick_device(device))
    graph, bare = Graph.load(calibration / GRAPH), Graph.load(quantized / GRAPH)
    record = read_json(calibration / CALIBRATION)
    yield "ranges", bare, 0.0
    began = time.perf_counter()
    yield "bias correction", _corrected(graph, bare, photos, device, progress), _since(began)
    began = time.perf_counter()
    histograms = load_histograms(calibration / HISTOGRAMS)
    weighed = weigh(graph, histograms, photos.batches(WEIGHING_PHOTOS), seed=seed, device=on)
    ranges = ptq.choose_ranges(weighed, "mse")
    ranges |= ptq.fixed_ranges(graph, record["input_mean"], record["input_std"])
    better = _corrected(graph, ptq.quantize(graph, ranges), photos, device, progress)
    yield "ranges by importance, bias correction", better, _since(began)
    began = time.perf_counter()
    learned = distill(
        graph,
        better,
        photos.varied(DISTILLATION_STEPS, DISTILLATION_BATCH, seed),
        Distillation(steps=DISTILLATION_STEPS),
        device=on,
        advance=lambda done, total, note: progress("distil", done, total, note),
    )
    yield "distillation on the calibration photos", learned, _since(began)


def _since(began: float) -> float:
    return time.perf_counter() - began


class _Judge:
    """Measures emitted files on the validation photos that choose."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        weights: Path,
        model: Path,
        head: str,
        ladder: Ladder,
        device: str,
        threads: int,
        progress: Progress,
    ) -> None:
        from edgekit.devices import pick_device
        from edgekit.inference import predict
        from edgekit.network import Network

        self.file = folder / MODEL
        self.photos: PhotoSet = read_splits(data).val.subset(ladder.chosen_on)
        self.preprocessing = read_preprocessing(weights)
        self.classify: Callable[[NDArray[Any]], NDArray[Any]] = (
            (lambda outputs: classify(outputs, model)) if head == "none" else (lambda x: x)
        )
        self.max_drop, self.threads, self.progress = ladder.max_drop, threads, progress
        network = Network(Graph.load(model / GRAPH))
        self.wanted = predict(network, self.photos, self.preprocessing, device=pick_device(device))

    def __call__(self, name: str, graph: Graph, seconds: float) -> Rung:
        from edgekit.converters.tflite import convert
        from edgekit.metrics import agreement, kl_divergence, top_k

        write_bytes(self.file, convert(graph, io="uint8"))
        advance = partial(self.progress, f"evaluate {name}")
        logits = self.classify(
            run_file(self.file, self.photos, self.preprocessing, self.threads, advance)
        )
        self.file.unlink()
        right = [top_k(found, self.photos.labels, 1).mean() for found in (self.wanted, logits)]
        drop = float(100 * (right[0] - right[1]))
        return Rung(
            name,
            seconds,
            float(right[1]),
            drop,
            agreement(self.wanted.argmax(1), logits.argmax(1)),
            kl_divergence(self.wanted, logits),
            drop <= self.max_drop,
        )
