"""The report as data: what ``report.json`` holds, and how its rows are made.

The document is plain JSON all the way down, so its types are ``TypedDict``: what is in memory is
what is on disk, and a report can be drawn again from the file alone. Fractions are 0 to 1, sizes
bytes, stage times seconds and latencies milliseconds. ``None`` means "not measured", and what is
``NotRequired`` is missing from reports of earlier versions.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.errors import EdgekitError
from edgekit.system.files import write_bytes
from edgekit.system.host import Host
from edgekit.system.paths import StrPath
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import NotRequired


SCHEMA_VERSION = 1
WORST = 8  # tensors that the report lists
REFERENCE = "fp32-torch"  # the stage that every other one is compared with


class Latency(TypedDict):
    """Milliseconds: loading, the first run, and the n warm runs after it."""

    init: float  # loading the file
    first: float  # of the first run
    median: float  # of the warm runs
    p5: float  # their 5th percentile
    p95: float  # their 95th percentile
    n: int  # how many warm runs
    threads: int  # of the runtime


class Row(TypedDict):
    """One stage of the model on the validation photos.

    It has more: the task's metric, its interval, and what else the task measures.
    """

    stage: str  # fp32-torch, fp32-tflite, further schemes, w8a8-sim, w8a8-tflite
    runtime: str  # what ran it, and its version
    n: int  # photos
    agreement: float | None  # fraction of photos with the answer of fp32-torch
    kl: float | None  # mean divergence of the probabilities from those of fp32-torch, nats
    drop_pp: float | None  # percentage points of the metric below fp32-torch; positive is worse
    drop_se_pp: float | None  # standard error of drop_pp, paired on the same photos
    size_bytes: int | None  # of its files; None where it has none
    latency_ms: Latency | None  # on this host; None where it was not measured


class StageTime(TypedDict):
    """One stage of the build."""

    name: str  # as progress shows it
    seconds: float  # that it took, when it ran
    cached: bool  # whether an earlier build had done it
    detail: str  # its result in a few words


class Data(TypedDict):
    """Where the photos came from."""

    source: str  # the folder, list or shards, with their layout
    builtin: bool  # whether photos were drawn
    labels: list[str]  # names of the classes, in order
    n_train: int  # photos to learn from
    n_val: int  # photos that every row is measured on
    n_calibration: int  # photos that ranges were read from
    unreadable: int  # files that could not be read, and were left out


class Epoch(TypedDict):
    """One pass over the training photos; the task's metric has the name ``val_`` and its key."""

    epoch: int  # from 1
    train_loss: float  # mean over the epoch
    learning_rate: float  # at its end
    seconds: float  # that it took
    images_per_s: NotRequired[float | None]  # over the training steps, without validation
    waiting: NotRequired[float | None]  # share of that time in which it waited for data
    resolution: NotRequired[int | None]  # side of the input, pixels


class Training(TypedDict):
    """The training run, oldest epoch first."""

    name: NotRequired[str]  # where there are several: teacher, student 1
    history: list[Epoch]  # an entry for each epoch
    recipe: NotRequired[dict[str, Any]]  # all of its fields, as they were resolved


class RangeChoice(TypedDict):
    """The range of one activation tensor, and why it is that."""

    name: str  # of the tensor, as the network calls it
    low: float  # the least real that 8 bits stand for
    high: float  # the largest
    method: str  # that gave the range, or fixed
    why: str  # in words
    sqnr_db: float | None  # expected signal to noise; None where no values chose the range
    clipped: float | None  # share of the calibration's values outside the range


class RangeSummary(TypedDict):
    """All ranges in short."""

    methods: dict[str, int]  # how many tensors have a range by each method, the commonest first
    worst: list[RangeChoice]  # the tensors of the lowest expected SQNR, lowest first


class NoiseFloor(TypedDict):
    """How far XNNPACK and the built-in kernels are apart on the int8 file, from rounding alone."""

    n: int  # validation photos
    agreement: float  # fraction of photos with the same answer
    kl: float  # mean KL of their probabilities, nats


class Outlier(TypedDict):
    """A file that is further from fp32 than the other forms of the same quantization.

    Where none of its operators is beyond what rounding explains, ``first`` is False and the
    operator is the one that is furthest off; all four are None where the file could not be traced.
    """

    stage: str  # its row
    kl: float  # of its row
    others_kl: float  # the median of the other forms' KL
    tensor: str | None  # the output of the operator, as the network calls it
    operator: str | None  # as the file calls its kind
    steps: float | None  # mean difference of that output, in steps of its integers
    first: bool | None  # whether it is the first operator beyond what rounding explains


class Inversion(TypedDict):
    """A scheme that is further from fp32 than a coarser one of the same build."""

    scheme: str  # the finer one
    kl: float  # of its row
    coarser: str  # the other scheme
    coarser_kl: float  # of that one's row


class Quantization(RangeSummary):
    """How the integers were chosen."""

    scheme: str  # w8a8-static, w8a8-mixed
    risk: str  # of losing accuracy, as far as it was known before: level and reason
    float_layers: list[str]  # operators that mixed precision keeps in float
    method: str  # importance, balanced, mse, percentile, minmax, moving-average, entropy, auto
    repair: str  # ranges (none), ptq (biases corrected), qat, auto
    search: dict[str, Any] | None  # of auto: what every trial gave on the photos that chose
    qat: Training | None  # of qat: its epochs
    noise_floor: NoiseFloor  # a smaller difference between two int8 models says nothing
    outliers: NotRequired[list[Outlier]]  # files beyond the noise of the other forms
    inversions: NotRequired[list[Inversion]]  # schemes worse than a coarser one
    calibration_digest: str  # SHA-256 of the list of calibration photos
    tensors: int  # how many tensors carry a scale
    input_mean: float  # what a float input of the int8 file takes: (pixel - mean) / std
    input_std: float  # likewise


class Target(TypedDict):
    """What became of one target; backticks in the message mark commands."""

    name: str  # as --target has it
    status: str  # ready, compiled, not compiled, rejected, failed; with ", incomplete" behind it
    message: str  # one or two sentences
    files: list[str]  # those for it, relative to the report


class Chip(TypedDict):
    """How a chip's own arithmetic answers, and what the model needs there.

    The photos are a part of the validation photos, evenly spread; ``row`` compares with fp32 on the
    same ones.
    """

    target: str  # as --target has it
    runtime: str | None  # what ran it and its version; None where nothing did
    kind: str | None  # simulator, emulator, reference model, interpreter, runtime
    row: Row | None  # as the rows above; None where nothing ran
    same: (
        float | None
    )  # share of photos whose outputs equal LiteRT's reference kernels' in all bits
    agreement_int8: float | None  # share with the answer of the int8 file in those kernels
    first_difference: str | None  # the first operator that differs from them
    figures: dict[str, Any]  # as `edgekit.targets.executions.ChipFigures`


class OutputFile(TypedDict):
    """One file that the build left behind, its path relative to the report."""

    path: str  # relative to the report
    sha256: str  # of its contents, in hex
    bytes: int  # its size


class Document(TypedDict):
    """Everything that ``report.json`` holds."""

    schema_version: int  # of this layout: 1
    edgekit_version: str  # that built it
    model: str  # the variant, with what was changed of it
    output: str  # of the files: logits or embedding
    command: str  # that asks for the same
    created: str  # ISO 8601
    rows: list[Row]  # one for each form of the model
    stages: list[StageTime]  # in the order in which they ran
    warnings: list[str]  # what a reader should know
    data: Data  # the photos
    preprocessing: dict[str, Any]  # as `edgekit.data.preprocessing.Preprocessing`
    training: Training | None  # None where nothing was trained
    earlier: NotRequired[list[Training]]  # of a student: its teacher, and the students before it
    evaluation: NotRequired[Mapping[str, Any] | None]  # as `edgekit.tasks.task.Page.evaluate`
    quantization: Quantization | None  # None of a run that only trains
    targets: list[Target]  # one for each --target
    chips: NotRequired[list[Chip]]  # of targets whose makers' arithmetic ran
    devices: list[Device]  # the int8 file there, and on the host first; empty without --device
    files: list[OutputFile]  # those of the run
    host: Host  # what built and measured


def task_of(document: Document) -> Task:
    """The task of a run.

    Raises:
        UsageError: it is not known.
    """
    return find_task(document["preprocessing"].get("task", DEFAULT_TASK))


def make_row(
    task: Task,
    stage: str,
    runtime: str,
    outputs: NDArray[Any],
    labels: Any,
    *,
    reference: NDArray[Any] | None = None,
    size_bytes: int | None = None,
    latency: Latency | None = None,
) -> Row:
    """Measures one stage's answers.

    Args:
        task: that they are of.
        stage: which form of the model, for example ``w8a8-tflite``.
        runtime: what ran it, for example ``LiteRT 2.1``.
        outputs: what it answered, ``[n, ...]`` in any dtype.
        labels: of the photos.
        reference: outputs of fp32-torch on the same photos; None where this row is that reference
            itself or where it was not measured.
        size_bytes: size of the model file.
        latency: how fast it ran.

    Raises:
        UsageError: the arrays do not belong together.
    """
    figures = task.measure(outputs, labels, outputs if stage == REFERENCE else reference)
    measured = {"size_bytes": size_bytes, "latency_ms": latency}
    return cast(Row, {"stage": stage, "runtime": runtime, "n": len(outputs), **figures, **measured})


def summarize_ranges(tensors: Mapping[str, Mapping[str, Any]]) -> RangeSummary:
    """What the report says of the ranges.

    Args:
        tensors: by name the fields of `edgekit.calibration.ranges.Choice`.
    """
    methods = Counter(choice["method"] for choice in tensors.values())
    known = [(name, choice) for name, choice in tensors.items() if choice["sqnr_db"] is not None]
    known.sort(key=lambda item: item[1]["sqnr_db"])
    return RangeSummary(
        methods=dict(methods.most_common()),
        worst=[RangeChoice(name=name, **choice) for name, choice in known[:WORST]],  # type: ignore[typeddict-item]
    )


def write_json(document: Document, path: StrPath) -> None:
    """Writes ``report.json``; figures that are not finite become null, as JSON has no NaN.

    Raises:
        EdgekitError: the file cannot be written.
    """
    path = Path(path)
    text = json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_text(path: StrPath, text: str) -> None:
    """Writes a UTF-8 file whole or not at all.

    Raises:
        EdgekitError: the file cannot be written.
    """
    path = Path(path)
    try:
        write_bytes(path, text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        raise EdgekitError(
            f"cannot write {path}",
            cause=error.strerror or str(error),
            hint="free some space, or write to another folder",
        ) from error


class Timing(TypedDict):
    """A model's speed on a device with so many threads; times in milliseconds."""

    delegate: str  # xnnpack, or that of an accelerator
    threads: int  # of the runtime
    load: float | None  # loading the file
    first: float | None  # of the first run
    median: float | None  # of the warm runs
    p5: float | None  # their 5th percentile
    p95: float | None  # their 95th percentile
    n: int  # how many warm runs
    memory_bytes: int | None  # largest resident set of the process, its runtime included
    runtime_memory_bytes: int | None  # the same before the model was loaded
    sensors: dict[str, Any]  # before, during (a list) and after: temperature, clocks, governor
    throttled: list[str]  # by what it is known that the device slowed down


class Accuracy(TypedDict):
    """A model's answers on a device; with the task's metric, None where photos have no label."""

    delegate: str  # as that of the timing
    n: int  # photos
    agreement: float | None  # share of photos with the host's answer
    differing: int | None  # photos whose outputs are not the host's
    largest_difference: float | None  # of an output, in steps of its scale (LSB); of a float as is


class Device(TypedDict):
    """What became of one device."""

    device: str  # its URL
    how: str  # the runtime there
    facts: dict[str, Any]  # as `edgekit doctor` shows them
    timings: list[Timing]  # one for each number of threads and delegate
    accuracy: list[Accuracy]  # one for each delegate; empty where photos were not asked for
    error: str | None  # why something, or everything, is missing
