"""The stages that measure: every form of the model on the validation photos, and its latency.

They write into ``folder``, tell ``progress``, and return a detail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.runs import LATENCY, LOGITS, MODEL, read_preprocessing, read_splits, with_input_of
from edgekit.system.console import Progress
from edgekit.system.files import write_json
from edgekit.training.outputs import GRAPH

#: Validation photos on which kernels are compared.
SPREAD_PHOTOS = 100


def evaluate_torch(
    folder: Path, progress: Progress, *, data: Path, weights: Path, model: Path, device: str
) -> str:
    """The float network, as trained."""
    from edgekit.networks.torch_network import Network

    network = Network(Graph.load(model / GRAPH))
    logits = _predict(network, data, read_preprocessing(weights), device, progress)
    return _keep_logits(folder, logits, read_splits(data).val.labels)


def evaluate_simulation(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    model: Path,
    head: str,
    calibration: Path,
    quantized: Path,
    device: str,
) -> str:
    """The quantized network in float arithmetic."""
    from edgekit.calibration.simulate import Simulation

    preprocessing = with_input_of(calibration, read_preprocessing(weights))
    network = Simulation(Graph.load(quantized / GRAPH))
    outputs = _predict(network, data, preprocessing, device, progress)
    logits = classify(outputs, model) if head == "none" else outputs
    return _keep_logits(folder, logits, read_splits(data).val.labels)


def _predict(
    network: Any, data: Path, preprocessing: Preprocessing, device: str, progress: Progress
) -> NDArray[np.float32]:
    from edgekit.networks.predict import predict
    from edgekit.networks.torch_device import pick_device

    return predict(
        network,
        read_splits(data).val,
        preprocessing,
        device=pick_device(device),
        advance=lambda done, total: progress("evaluate", done, total),
    )


def evaluate_file(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    model: Path,
    head: str,
    converted: Path,
    threads: int,
    file: str = MODEL,
    kernels: str = "xnnpack",
) -> str:
    """A finished file, fed as on the device; in LiteRT's slow built-in kernels, on a part."""
    photos = read_splits(data).val
    if kernels == "builtin":
        photos = photos.subset(spread_photos(len(photos)))
    advance = partial(progress, "evaluate")
    preprocessing = read_preprocessing(weights)
    logits = run_file(converted / file, photos, preprocessing, threads, advance, kernels)
    if head == "none":
        logits = classify(logits, model)
    return _keep_logits(folder, logits, photos.labels)


def spread_photos(count: int) -> list[int]:
    """The validation photos that the slow built-in kernels run on: evenly spread."""
    step = max(1, count // SPREAD_PHOTOS)
    return list(range(0, count, step))[:SPREAD_PHOTOS]


def run_file(
    path: Path,
    photos: PhotoSet,
    preprocessing: Preprocessing,
    threads: int,
    advance: Callable[[int, int], None],
    kernels: str = "xnnpack",
) -> NDArray[np.float32]:
    """What a file answers, float32 [n, outputs]; ``advance`` is told of the photos done.

    Fed by the file's own metadata, as on the device: a wrong record would show here.
    """
    from edgekit.data.batches import eval_batches
    from edgekit.runtimes.base import Classifier
    from edgekit.runtimes.litert import LiteRT
    from edgekit.runtimes.open import open_classifier

    runtime: Classifier
    if kernels == "xnnpack":
        runtime = open_classifier(path, threads=threads)
    else:
        runtime = LiteRT(path, threads=threads, kernels=kernels)
    outputs: list[NDArray[np.float32]] = []
    for pixels, _ in eval_batches(photos, preprocessing, 16):
        outputs.append(runtime.run(pixels))
        advance(sum(map(len, outputs)), len(photos))
    return np.concatenate(outputs)


def classify(embeddings: NDArray[Any], model: Path) -> NDArray[Any]:
    """Logits from embeddings, by the trained network's own float classifier."""
    graph = Graph.load(model / GRAPH)
    head = graph.node_weights(graph.nodes[-1])
    logits: NDArray[Any] = embeddings @ head["kernel"] + head["bias"]
    return logits


def _keep_logits(folder: Path, logits: NDArray[Any], labels: NDArray[np.int64]) -> str:
    from edgekit.tasks.classification.metrics import top_k

    np.save(folder / LOGITS, logits.astype(np.float32))
    return f"top-1 {top_k(logits, labels, 1).mean():.4f}"


def bench(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    converted: Path,
    threads: int,
    file: str = MODEL,
) -> str:
    """Load, first and warm latency of a file on this host."""
    from edgekit.runtimes.base import measure
    from edgekit.runtimes.open import open_classifier

    preprocessing = read_preprocessing(weights)
    pixels = preprocessing.pixels(read_splits(data).val.load(0))
    latency = measure(open_classifier(converted / file, threads=threads), pixels)
    write_json(folder / LATENCY, latency | {"threads": threads})
    return f"median {latency['median']:.1f} ms"
