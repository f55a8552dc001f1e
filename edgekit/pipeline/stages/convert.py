"""What each stage of a build does: writes into ``folder``, tells ``progress``, returns a detail.

The folders of earlier stages come in by name; files in them have the names below.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import load_splits, photos_from_dict
from edgekit.data.unlabelled import load_unlabelled
from edgekit.errors import EdgekitError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import FullyConnected
from edgekit.networks.passes import InputMethod
from edgekit.networks.schemes import FP16, MIXED, W8A8, scheme_of
from edgekit.options.build import BuildOptions
from edgekit.runs import (
    CALIBRATION,
    EARLIER,
    HISTOGRAMS,
    MODEL,
    RANGES,
    SPLITS,
    UNLABELLED,
    read_preprocessing,
    read_splits,
    to_convert,
    with_input_of,
)
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.system.text import size
from edgekit.targets.base import Target
from edgekit.targets.files import Form, Source
from edgekit.training.outputs import GRAPH, TABLE, keep
from edgekit.training.recipe import Recipe, StudentRecipe

if TYPE_CHECKING:
    from edgekit.training.engine import Engine


#: How a normalization that one input scale cannot hold is absorbed: the answers are the same,
#: and this way needs no operator of its own (benchmarks/input_normalization.py).
INPUT_METHOD: InputMethod = "common-zero"

#: Of the TFLite files' stages: one more wherever the same network gets other files, so that those
#: of an earlier version are not reused.
WRITER = 3


def data(folder: Path, progress: Progress, *, options: BuildOptions, resolution: int) -> str:
    """Finds, reads and divides the photos."""
    splits = load_splits(
        options.data,
        options.val,
        options.calibration,
        calibration_count=options.calibration_count,
        seed=options.seed,
        progress=progress,
        builtin_resolution=resolution,
    )
    write_json(folder / SPLITS, splits.to_dict())
    if options.unlabelled is not None:
        unlabelled = load_unlabelled(options.unlabelled, splits, progress)
        write_json(folder / UNLABELLED, unlabelled.to_dict())
    counts = f"{len(splits.train)} train, {len(splits.val)} val, {len(splits.labels)} classes"
    return f"{counts}, {len(splits.unreadable)} unreadable" if splits.unreadable else counts


def train(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    recipe: Recipe,
    teacher: Recipe | None,
    engine: Callable[[], Engine],
    warn: Callable[[str], None] | None = None,
) -> str:
    """Trains the network, or goes on where an interrupted attempt stopped.

    A ``teacher`` is the recipe of the one that labels photos for the network.
    """
    from edgekit.training.distributed import Task, lead
    from edgekit.training.noisy_student import Lessons, teach

    splits = read_splits(data)
    task = Task(
        Graph.load(weights / GRAPH),
        splits.train,
        splits.val,
        read_preprocessing(weights),
        recipe,
    )
    if isinstance(recipe, StudentRecipe) and teacher:
        lessons = Lessons(task, teacher, photos_from_dict(read_json(data / UNLABELLED)))
        graph, history, earlier = teach(lessons, folder, engine(), progress, warn)
        write_json(folder / EARLIER, earlier)
        shutil.copy(folder / f"student-{recipe.iterations}" / TABLE, folder / TABLE)
    else:
        advance = partial(progress, "train")
        graph, history = lead(task, folder, engine(), advance=advance, warn=warn)
    keep(folder, graph, history)
    return f"val top-1 {history[-1].val_top1:.3f}"


def calibrate(
    folder: Path,
    progress: Progress,
    *,
    data: Path,
    weights: Path,
    model: Path,
    head: str,
    targets: Sequence[Target] = (),
) -> str:
    """Prepares the network for integers and the targets; collects a histogram of each tensor."""
    from edgekit.calibration.checks import check_photos
    from edgekit.calibration.histogram import save_histograms
    from edgekit.calibration.quantize import collect, fixed_ranges
    from edgekit.data.batches import eval_batches
    from edgekit.networks.passes import absorb_normalization, prepare

    photos = read_splits(data).calibration
    preprocessing = read_preprocessing(weights)
    prepared = prepare(to_convert(model, head))
    for target in targets:
        prepared = target.prepare(prepared)
    graph, mean, std = absorb_normalization(
        prepared, preprocessing.mean, preprocessing.std, INPUT_METHOD
    )
    fixed = fixed_ranges(graph, mean, std)
    plain = 0

    def batches() -> Any:
        nonlocal plain
        done = 0
        for pixels, labels in eval_batches(photos, preprocessing, 16):
            plain += int((pixels == pixels[:, :1, :1]).all((1, 2, 3)).sum())
            yield ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
            done += len(labels)
            progress("calibrate", done, len(photos))

    histograms = collect(graph, batches(), skip=fixed)
    graph.save(folder / GRAPH)
    save_histograms(histograms, folder / HISTOGRAMS)
    record = {
        "photos": list(photos.names),
        "sha256": photos.digest(),
        "input_mean": mean,
        "input_std": std,
        "input_method": INPUT_METHOD,
        "warnings": check_photos(len(photos), plain),
    }
    write_json(folder / CALIBRATION, record)
    return f"{len(photos)} photos, {len(histograms)} tensors"


def quantize(
    folder: Path, progress: Progress, *, calibration: Path, method: str, named: Sequence[str]
) -> str:
    """Chooses ranges and writes the 8-bit scheme onto the network."""
    from edgekit.calibration import quantize as ptq
    from edgekit.calibration.checks import check_tensors
    from edgekit.calibration.histogram import load_histograms
    from edgekit.calibration.ranges import Choice

    record = read_json(calibration / CALIBRATION)
    graph = Graph.load(calibration / GRAPH)
    histograms = load_histograms(calibration / HISTOGRAMS)
    own = dict(text.split("=", 1) for text in named)
    choices = ptq.choose_all(histograms, {**dict.fromkeys(histograms, method), **own})
    warnings = record["warnings"] + check_tensors(graph, histograms, choices)
    for name, (low, high) in ptq.fixed_ranges(
        graph, record["input_mean"], record["input_std"]
    ).items():
        choices[name] = Choice(low, high, "fixed", "prescribed by the scheme")
    ranges = {name: (choice.low, choice.high) for name, choice in choices.items()}
    ptq.quantize(graph, ranges).save(folder / GRAPH)
    tensors = {name: asdict(choice) for name, choice in choices.items()}
    write_json(folder / RANGES, {"warnings": warnings, "tensors": tensors})
    return f"{method} ranges, {len(ranges)} tensors"


def convert_float(
    folder: Path, progress: Progress, *, weights: Path, model: Path, head: str, scheme: str
) -> str:
    """Writes a file of the float network: fp32, the control run of the int8 one, or fp16."""
    from edgekit.networks.passes import prepare

    graph = prepare(to_convert(model, head))
    return _convert(folder, graph, read_preprocessing(weights), scheme, "float32")


def convert_quantized(
    folder: Path,
    progress: Progress,
    *,
    calibration: Path,
    weights: Path,
    quantized: Path,
    io: str,
) -> str:
    """Writes the file of a quantized network."""
    graph = Graph.load(quantized / GRAPH)
    preprocessing = with_input_of(calibration, read_preprocessing(weights))
    return _convert(folder, graph, preprocessing, scheme_of(graph), io)


def convert_form(
    folder: Path,
    progress: Progress,
    *,
    form: Form,
    data: Path,
    weights: Path,
    model: Path,
    quantized: Path,
    head: str,
    io: str,
    seed: int,
) -> str:
    """Writes a form of a target's own, from the float or the quantized network."""
    from edgekit.data.batches import eval_batches
    from edgekit.networks.passes import prepare

    preprocessing = read_preprocessing(weights)
    splits = read_splits(data)
    photos, validation = splits.calibration, splits.val
    graph = Graph.load(quantized / GRAPH) if form.quantized else prepare(to_convert(model, head))

    def batches() -> Iterator[NDArray[np.uint8]]:
        done = 0
        for pixels, _ in eval_batches(photos, preprocessing, 16):
            yield pixels
            done += len(pixels)
            progress("calibrate", min(done, len(photos)), len(photos))

    def choosing() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        chosen = validation.subset(choosing_half(len(validation), seed))
        return eval_batches(chosen, preprocessing, 16)

    advance = partial(progress, f"train {form.row}")
    io = "float32" if io == "float32" else "uint8"  # no runtime but TFLite's takes int8
    source = Source(graph, preprocessing, io, batches, choosing, splits, advance)
    return form.write(source, folder)


def choosing_half(count: int, seed: int) -> list[int]:
    """The validation photos that may decide something; the others are only measured on."""
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[: (count + 1) // 2].tolist())


def _convert(folder: Path, graph: Graph, preprocessing: Preprocessing, scheme: str, io: str) -> str:
    """Writes a file with its metadata, reads it back and proves that it is of its scheme."""
    from edgekit.converters.tflite.about import About
    from edgekit.converters.tflite.write import write

    classifies = isinstance(graph.nodes[-1], FullyConnected)
    about = About(
        name=f"EfficientNet-{graph.name.capitalize()} {scheme}",
        description=f"Image classifier, {graph.classes} classes; the output is logits."
        if classifies
        else f"Image embedding of {graph.classes} numbers, for a classifier of one's own.",
        labels=preprocessing.labels if classifies else (),
        preprocessing=preprocessing,
        author="edgekit",
    )
    path = folder / MODEL
    written = write(graph, path, io=io, half=scheme == FP16, about=about)
    if broken := _faults(path, scheme):
        raise EdgekitError(f"the {scheme} file breaks the scheme", cause="; ".join(broken[:3]))
    return size(written)


def _faults(path: Path, scheme: str) -> list[str]:
    """What a written file has that its scheme does not allow."""
    from edgekit.converters.tflite.checks import check_int8, check_mixed
    from edgekit.converters.tflite.file import read
    from edgekit.converters.tflite.scheme import scheme as scheme_in

    model = read(path)
    rules = {W8A8: check_int8, MIXED: check_mixed}
    if scheme in rules:
        return [str(found) for found in rules[scheme](model) if found.severity == "error"]
    found = scheme_in(model)
    return [] if found == scheme else [f"its operators and tensors are of {found}"]
