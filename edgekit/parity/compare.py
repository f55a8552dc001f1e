"""Runs the same photos through every form of a network, and says where two forms part.

End to end, rounding spreads: int8 executions that are all correct differ from each other. That
spread is the noise floor. A fault shows where each operator is given equal inputs: there, the
integer simulation (`edgekit.parity.integer_kernels`) equals LiteRT's built-in kernels exactly and
XNNPACK's to one step.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np

from edgekit.converters.answer import answers_of
from edgekit.converters.tflite.file import Operator, TFLiteModel, parse, read_bytes
from edgekit.converters.tflite.matching import Match, find_differences, intended, match
from edgekit.data.images import Pixels
from edgekit.data.selection import evenly
from edgekit.errors import UsageError
from edgekit.parity.chips import ChipResult, find_executions, run_chips
from edgekit.parity.executions import (
    Array,
    Progress,
    Subject,
    executions,
    find_subject,
    float_tensors,
    runtime,
    trace,
)
from edgekit.parity.operators import OperatorResult, compare_operators
from edgekit.runtimes.base import dequantize
from edgekit.runtimes.litert import LiteRT
from edgekit.system.paths import StrPath
from edgekit.targets.base import Target
from edgekit.targets.executions import Execution
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task

SCHEMA_VERSION = 1
#: Photos that run end to end unless more are asked for.
PHOTOS = 16
#: Photos whose tensors are compared; each gives an operator thousands of values.
TRACED = 4
#: Operators that only change a tensor's type.
_CASTS = ("QUANTIZE", "DEQUANTIZE")


class Pair(TypedDict):
    """Two executions of the same photos.

    ``agreement``: share of photos with the same answer. ``mean_lsb``: mean absolute difference of
    the outputs, in steps of the int8 file's output (None where that is float). ``kl``: mean
    divergence of the probabilities of ``b`` from those of ``a``, in nats.
    """

    a: str
    b: str
    agreement: float
    mean_lsb: float | None
    kl: float


class NoiseFloor(TypedDict):
    """The worst over all pairs of int8 executions, figure by figure."""

    agreement: float
    mean_lsb: float | None
    kl: float


class TensorResult(TypedDict):
    """Signal to quantization noise ratio of a tensor of the int8 file against the float network.

    None where there is no noise, or no signal.
    """

    tensor: str
    operator: str
    sqnr_db: float | None


class DifferenceResult(TypedDict):
    """What the file does not hold as the quantized network says."""

    tensor: str
    kind: str
    message: str


class Parity(TypedDict):
    """What `compare` found.

    ``first`` is the first operator beyond its tolerance. ``tensors`` begin with the worst.
    ``chips`` are those asked for. ``ok`` says that there are no differences and that every operator
    is within its tolerance.
    """

    schema_version: int
    file: str
    float_file: str | None
    photos: int
    source: str
    executions: list[str]
    pairs: list[Pair]
    noise_floor: NoiseFloor
    differences: list[DifferenceResult]
    operators: list[OperatorResult]
    first: OperatorResult | None
    tensors: list[TensorResult]
    chips: list[ChipResult]
    ok: bool


def compare_executions(
    path: StrPath,
    *,
    float_file: StrPath | None = None,
    photos: int = PHOTOS,
    targets: Sequence[Target] = (),
    progress: Progress | None = None,
) -> Parity:
    """Compares the forms of a network with each other.

    Args:
        path: the folder of a finished build, or an int8 .tflite file.
        float_file: beside a file, the float .tflite file of the same network.
        photos: how many run end to end; the validation photos of the run, or built-in ones.
        targets: whose own arithmetic is compared, too.
        progress: told how far it is.

    Raises:
        UsageError: there is no such run or file, or the file is not an int8 classifier with
            operators that `edgekit.parity.integer_kernels` has; nothing runs it for a target.
        MissingToolError: what runs it for a target is not installed.
        EdgekitError: LiteRT, or a target's tool, cannot run the file.
    """
    if photos < 1:
        raise UsageError(f"{photos} photos cannot be compared", hint="--photos 16")
    chips = find_executions(targets)
    subject = find_subject(Path(path), Path(float_file) if float_file else None)
    return compare_subject(subject, photos, progress or (lambda task, done, total: None), chips)


def compare_subject(
    subject: Subject, photos: int, progress: Progress, chips: Sequence[Execution] = ()
) -> Parity:
    """`compare` for what `edgekit.parity.executions.find_subject` found."""
    pixels = _load(subject, photos)
    contents = read_bytes(subject.file)
    model = parse(contents, name=str(subject.file))
    _check_int8(subject.file, model)
    found, wanted, differences = None, model, []
    if subject.quantized is not None:
        found = match(subject.quantized, model)
        wanted = intended(subject.quantized, model, found)
        differences = find_differences(subject.quantized, model, found)
    source = model.tensors[model.inputs[0]]
    builtin = runtime(subject, subject.file, "builtin", source.dtype)
    values = trace(contents, model, [builtin.feed(photo) for photo in pixels[:TRACED]])
    operators = compare_operators(contents, model, wanted, values, _names(model, found), progress)
    tensors = _tensors(subject, pixels[:TRACED], model, values, found)
    simulated: dict[str, Array] = {}
    of_chips: list[ChipResult] = []
    if chips:
        reference = runtime(subject, subject.file, "reference", source.dtype).run(pixels)
        simulated, of_chips = run_chips(subject.file, chips, pixels, reference, progress)
        simulated = {"tflite reference": reference, **simulated}
    names, pairs, floor = _end_to_end(subject, wanted, builtin, pixels, simulated, progress)
    first = next((operator for operator in operators if not operator["ok"]), None)
    return {
        "schema_version": SCHEMA_VERSION,
        "file": str(subject.file),
        "float_file": str(subject.float_file) if subject.float_file else None,
        "photos": len(pixels),
        "source": subject.source,
        "executions": names,
        "pairs": pairs,
        "noise_floor": floor,
        "differences": [DifferenceResult(**asdict(item)) for item in differences],  # type: ignore[typeddict-item]
        "operators": operators,
        "first": first,
        "tensors": tensors,
        "chips": of_chips,
        "ok": first is None and not differences,
    }


def _load(subject: Subject, count: int) -> Pixels:
    """Photos spread over the set, uint8 [n, height, width, 3]."""
    load, prepare = subject.photos.load, subject.preprocessing.pixels
    return np.stack([prepare(load(k)) for k in evenly(len(subject.photos), count)])


def _check_int8(path: Path, model: TFLiteModel) -> None:
    activations = {model.tensors[op.outputs[0]].dtype for op in model.operators if op.outputs}
    if "int8" not in activations:
        hint = "give it as --float beside the int8 file"
        raise UsageError(f"{path} is not an int8 model", hint=hint)


def _names(model: TFLiteModel, found: Match | None) -> dict[int, str]:
    """What tensors are called: as in the Graph, else as in the file."""
    own = {tensor.index: tensor.name for tensor in model.tensors}
    return own | (found.names() if found else {})


def _tensors(
    subject: Subject,
    pixels: Pixels,
    model: TFLiteModel,
    values: dict[int, Array],
    found: Match | None,
) -> list[TensorResult]:
    """Signal to noise of every tensor that has a float counterpart, the worst first."""
    producers = {op.outputs[0]: op.name for op in model.operators}
    results = []
    for index, (name, real) in _counterparts(subject, pixels, model, found).items():
        tensor = model.tensors[index]
        noise = dequantize(values[index], tensor.scale, tensor.zero_point) - real
        power, error = (float(np.square(a, dtype=np.float64).sum()) for a in (real, noise))
        ratio = 10 * float(np.log10(power / error)) if power and error else None
        results.append(
            TensorResult(tensor=name, operator=producers.get(index, "input"), sqnr_db=ratio)
        )
    return sorted(results, key=lambda r: np.inf if r["sqnr_db"] is None else r["sqnr_db"])


def _counterparts(
    subject: Subject, pixels: Pixels, model: TFLiteModel, found: Match | None
) -> dict[int, tuple[str, Array]]:
    """Name and real values by index of the int8 file's tensors."""
    if subject.quantized is not None and found is not None:
        reference = subject.reference or subject.quantized
        reals = float_tensors(reference, subject.quantized, pixels)
        return {
            index: (name, reals[name])
            for name, index in found.tensors.items()
            if name in reals.keys() - reference.class_tensors
            and reals[name].shape[1:] == model.tensors[index].shape[1:]
        }
    if subject.float_file is None:
        return {}
    contents = read_bytes(subject.float_file)
    other = parse(contents, name=str(subject.float_file))
    ours, theirs = (_computing(m) for m in (model, other))
    if [op.name for op in ours] != [op.name for op in theirs]:
        return {}
    feed = runtime(subject, subject.float_file).feed
    values = trace(contents, other, [feed(photo) for photo in pixels])
    return {
        a.outputs[0]: (model.tensors[a.outputs[0]].name, values[b.outputs[0]])
        for a, b in zip(ours, theirs, strict=True)
    }


def _computing(model: TFLiteModel) -> list[Operator]:
    return [op for op in model.operators if op.name not in _CASTS]


def _end_to_end(
    subject: Subject,
    wanted: TFLiteModel,
    builtin: LiteRT,
    pixels: Pixels,
    simulated: Mapping[str, Array],
    progress: Progress,
) -> tuple[list[str], list[Pair], NoiseFloor]:
    """Every form on every photo, and each pair of them."""
    floats, integers = executions(subject, wanted, builtin)
    outputs: dict[str, Array] = {}
    for number, (name, run) in enumerate((floats | integers).items(), 1):
        outputs[name] = run(pixels)
        progress("executions", number, len(floats) + len(integers))
    outputs |= simulated
    steps = output_steps(wanted)
    task = find_task(subject.preprocessing.task)
    kept = {name: task.keep(found, subject.preprocessing) for name, found in outputs.items()}
    couples = itertools.combinations(outputs, 2)
    pairs = [_pair(task, names, kept, outputs, steps) for names in couples]
    alike = integers.keys() - subject.others.keys()  # those may round elsewhere, or otherwise
    spread = [pair for pair in pairs if {pair["a"], pair["b"]} <= alike]
    apart = [pair["mean_lsb"] for pair in spread if pair["mean_lsb"] is not None]
    floor = NoiseFloor(
        agreement=min(pair["agreement"] for pair in spread),
        mean_lsb=max(apart) if apart else None,
        kl=max(pair["kl"] for pair in spread),
    )
    return list(outputs), pairs, floor


def output_steps(model: TFLiteModel) -> Array | None:
    """The scale of the last integer tensor, or of each column of the rows where there are several.

    That is the output's, or what is dequantized for it; None where one of them is float.
    """
    scales: list[float] = []
    outputs = answers_of([model.tensors[index] for index in model.outputs])
    for output in outputs:
        producer, scale = model.producer(output.index), output.scale
        if producer is not None and producer.name == "DEQUANTIZE":
            scale = model.tensors[producer.inputs[0]].scale
        if not scale:
            return None
        scales += [scale] * (output.shape[-1] if len(outputs) > 1 else 1)
    return np.array(scales)


def _pair(
    task: Task,
    names: tuple[str, str],
    kept: Mapping[str, Array],
    outputs: Mapping[str, Array],
    steps: Array | None,
) -> Pair:
    a, b = names
    near = task.compare(kept[a], kept[b])
    apart = np.abs(outputs[a].astype(np.float64) - outputs[b])
    return Pair(
        a=a,
        b=b,
        agreement=near.agreement,
        mean_lsb=None if steps is None else float((apart / steps).mean()),
        kl=near.kl,
    )
