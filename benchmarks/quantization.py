"""Post-training quantization, ours and the peers', on the same network, photos and weights.

    python benchmarks/quantization.py v2-b0 --data FOLDER --eval LIST --weights FILE --json FILE
    python benchmarks/quantization.py --run RUN      # a folder of `edgekit build`
    python benchmarks/quantization.py                # B0 after 3 epochs on the built-in shapes

Accuracy and latency are of the emitted file in its own runtime, against the float file in LiteRT.
All tools are given the same decoded photos. Each first quantizes a tiny network, so that imports
count for nobody; timed is all that it does then from a float network and photos to a file. Peers
are optional: `pip install -c constraints.txt -e ".[bench]"`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quantization_peers import PEERS, RUNTIMES, Emitted, Floats, Work, install, quiet, runtime_of
from quantization_subject import Pixels, Subject, find_subject, tiny_subject

from edgekit.calibration import statistics
from edgekit.calibration.activations import rounded_at_kernels
from edgekit.calibration.bias import correct_biases
from edgekit.calibration.equalize import channel_extremes, equalize, groups
from edgekit.calibration.importance import batch_for, weigh
from edgekit.calibration.layerwise import photos_for
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.ranges import IMPORTANCE
from edgekit.calibration.reconstruction import reconstruct_blocks
from edgekit.converters.input_record import own_normalization
from edgekit.converters.openvino import write as openvino
from edgekit.converters.tflite.write import convert
from edgekit.data.selection import evenly
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks.graph import Graph
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.pipeline.post_training import WEIGHING_PHOTOS
from edgekit.pipeline.stages.quantize import INPUT_METHOD
from edgekit.system import text as fmt
from edgekit.system.files import write_json
from edgekit.system.host import describe_host, usable_cores
from edgekit.system.memory import keep_freed_memory
from edgekit.tasks.classification.metrics import agreement, kl_divergence, paired_drop, top_k

#: Warm runs per file and round.
RUNS = 20
#: The row of ours that OpenVINO runs.
IN_OPENVINO = "ours ptq, OpenVINO"
#: Ours may take this share of TensorFlow's time.
GATE = 0.15
VERSIONS = (
    *("torch", "tensorflow-cpu", "ai-edge-litert", "litert-quantizer"),
    *("openvino", "nncf", "onnx", "onnxruntime"),
)

#: From the subject, the float network, the quantized one and inputs to a better quantized one.
Repair = Callable[[Subject, Graph, Graph, Floats], Graph]
#: By the clock, and of all threads on the CPU.
Seconds = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """What a tool gave: figures of `edgekit.tasks.classification.metrics`, and what its work took.

    Attributes:
        source: the float network that it began with, in words.
        seconds: from that and the photos to a file.
        cpu_seconds: of all its threads; a busy machine changes these less.
        median_ms: of one photo, without copying where the runtime lets it be left out.
    """

    name: str
    runtime: str
    source: str
    top1: float
    drop_pp: float
    drop_se_pp: float
    agreement: float
    kl: float
    seconds: float | None
    cpu_seconds: float | None
    size_bytes: int
    median_ms: float = float("nan")


def post_training(
    subject: Subject,
    *,
    ranges: str = IMPORTANCE,
    equalized: bool = False,
    repair: Repair | None = None,
) -> Graph:
    """Ours: from a float network and photos to an int8 network, as the stages of a build do it.

    Args:
        subject: the network and the photos.
        ranges: how they are chosen.
        equalized: whether channels are, before anything else.
        repair: what is done after the ranges.
    """
    record = subject.preprocessing
    graph, mean, std = absorb_normalization(
        prepare(subject.graph), record.mean, record.std, INPUT_METHOD
    )
    inputs = (subject.calibration - np.float32(mean)) / np.float32(std)
    if equalized:
        tensors = [name for group in groups(graph) for name in group.tensors]
        graph = equalize(graph, channel_extremes(graph, _batches(inputs, 16), tensors))
    fixed = fixed_ranges(graph, mean, std)
    histograms = collect(graph, _batches(inputs, 16), skip=fixed)
    if ranges == IMPORTANCE:
        some = inputs[evenly(len(inputs), WEIGHING_PHOTOS)]
        histograms = weigh(graph, histograms, _batches(some, batch_for(graph)))
    quantized = quantize(graph, {**choose_ranges(histograms, ranges), **fixed})
    if repair:
        some = inputs[evenly(len(inputs), photos_for(graph))]
        quantized = repair(subject, graph, quantized, some)
    return quantized


def _batches(inputs: Floats, size: int) -> list[Floats]:
    return np.array_split(inputs, range(size, len(inputs), size))


def _biases(subject: Subject, graph: Graph, quantized: Graph, inputs: Floats) -> Graph:
    return correct_biases(graph, quantized, inputs)


def _statistics(subject: Subject, graph: Graph, quantized: Graph, inputs: Floats) -> Graph:
    params = quantized.quant[quantized.input]
    pixels = np.array(subject.preprocessing.mean) - 128 - params.zero_point[0]
    return statistics.correct_biases(subject.graph, quantized, pixels * params.scale[0])


def _reconstruction(subject: Subject, graph: Graph, quantized: Graph, inputs: Floats) -> Graph:
    corrected = correct_biases(graph, quantized, inputs)
    return reconstruct_blocks(graph, corrected, inputs)


def _at_kernels(subject: Subject, graph: Graph, quantized: Graph, inputs: Floats) -> Graph:
    return correct_biases(graph, rounded_at_kernels(graph, quantized), inputs)


#: Ours by name: from the subject to the network of a .tflite file, or of `IN_OPENVINO`'s.
OURS: dict[str, Callable[[Subject], Graph]] = {
    "ours ranges": post_training,
    "ours ptq": partial(post_training, repair=_biases),
    "ours ptq, statistics": partial(post_training, repair=_statistics),
    "ours ptq, mse": partial(post_training, ranges="mse", repair=_biases),
    "ours ptq, balanced": partial(post_training, ranges="balanced", repair=_biases),
    "ours ptq, equalized": partial(post_training, equalized=True, repair=_biases),
    "ours ptq, reconstruction": partial(post_training, repair=_reconstruction),
    IN_OPENVINO: partial(post_training, repair=_at_kernels),
}
NAMES = (*OURS, *PEERS)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        names = _chosen(options.only)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _say("float network and photos …")
            document = measure(find_subject(options, folder), names, options, folder)
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print_table(document)
    if options.json:
        write_json(options.json, document)
    return EdgekitError.exit_code if document["failed"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("model", nargs="?", default="b0", help="the variant: b0, lite0, v2-b0, … [b0]")
    add("--run", type=Path, help="take network and photos from a finished build instead")
    add("--data", type=Path, help="photos, as `edgekit build` takes them [built-in shapes]")
    add("--eval", type=Path, help="photos that accuracy is measured on [a fifth of --data]")
    add("--calibration", type=Path, help="calibration photos [256 of --data]")
    add("--weights", help="as `edgekit build` takes them")
    add("--resolution", type=int, help="side of the input in pixels [the variant's]")
    add("--limit", type=int, help="at most so many photos of each kind")
    add("--only", nargs="+", metavar="NAME", help=", ".join(NAMES))
    add("--threads", type=int, default=usable_cores(), help="of the runtimes [all cores]")
    add("--rounds", type=int, default=5, help="of the latency measurement")
    add("--json", type=Path, help="file to write the figures to")
    return parser


def _chosen(only: Sequence[str] | None) -> list[str]:
    for name in only or ():
        if name not in NAMES:
            raise UsageError(f"there is no '{name}'", hint=did_you_mean(name, NAMES))
    return [name for name in NAMES if not only or name in only]


def measure(
    subject: Subject, names: Sequence[str], options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Runs the tools one after another, then all files in turn.

    Returns:
        JSON values: the rows, what was skipped and what failed, and on what it was measured.
    """
    keep_freed_memory()  # as a build does
    fp32 = _write_fp32(subject, folder)
    expected = runtime_of(fp32, options.threads).logits(subject.photos)
    rows, files = [_row("fp32", fp32, (None, None), expected, expected, subject)], [fp32]
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    tiny = tiny_subject()
    for name in names:
        _say(f"{name} …")
        try:
            with quiet():
                emitted, seconds = _timed(name, subject, tiny, folder)
                logits = runtime_of(emitted, options.threads).logits(subject.photos)
        except Exception as error:  # one tool's fault must not lose the others' figures
            if isinstance(error, ImportError) and name in PEERS:
                skipped[name] = f"{error}: {install(name)}"
            else:
                failed[name] = f"{type(error).__name__}: {error}"
            continue
        rows.append(_row(name, emitted, seconds, expected, logits, subject))
        files.append(emitted)
    _say("latency …")
    for index, median in enumerate(_latency(files, subject.photos[0], options)):
        rows[index] = replace(rows[index], median_ms=median)
    times = {row.name: row.seconds for row in rows if row.seconds}
    ours, tensorflow = times.get("ours ptq"), times.get("tensorflow")
    return {
        "schema_version": 1,
        "host": describe_host(VERSIONS),
        "model": subject.graph.name,
        "resolution": subject.preprocessing.resolution,
        "calibration_photos": len(subject.calibration),
        "eval_photos": len(subject.photos),
        "threads": options.threads,
        "rounds": options.rounds,
        "rows": [asdict(row) for row in rows],
        "skipped": skipped,
        "failed": failed,
        "ptq_over_tensorflow": ours / tensorflow if ours and tensorflow else None,
    }


def _timed(name: str, subject: Subject, tiny: Subject, folder: Path) -> tuple[Emitted, Seconds]:
    """Warms a tool up and lets it do its work: the file, and the seconds and those of the CPU."""
    ready = partial(_ours, name) if name in OURS else PEERS[name].ready
    ready(tiny, folder)()
    work = ready(subject, folder)
    began, cpu_began = time.perf_counter(), time.process_time()
    emitted = work()
    return emitted, (time.perf_counter() - began, time.process_time() - cpu_began)


def _ours(name: str, subject: Subject, folder: Path) -> Work:
    path = folder / f"{name}{'.xml' if name == IN_OPENVINO else '.tflite'}"

    def work() -> Emitted:
        quantized, record = OURS[name](subject), subject.preprocessing
        if name == IN_OPENVINO:
            openvino.save(openvino.convert(quantized, io="float32", preprocessing=record), path)
            record = own_normalization(quantized, record)
        else:  # as the peers: bytes cost a QUANTIZE at each end
            path.write_bytes(convert(quantized, io="int8"))
        return Emitted(path, record)

    return work


def _write_fp32(subject: Subject, folder: Path) -> Emitted:
    path = folder / "fp32.tflite"
    path.write_bytes(convert(prepare(subject.graph)))
    return Emitted(path, subject.preprocessing)


def _row(
    name: str,
    emitted: Emitted,
    seconds: Seconds | tuple[None, None],
    expected: Floats,
    logits: Floats,
    subject: Subject,
) -> Row:
    before, after = (top_k(found, subject.truth, 1) for found in (expected, logits))
    drop, error = paired_drop(before, after)
    return Row(
        name,
        RUNTIMES[emitted.path.suffix].name,
        emitted.source,
        float(after.mean()),
        100 * drop,
        100 * error,
        agreement(expected.argmax(1), logits.argmax(1)),
        kl_divergence(expected, logits),
        seconds[0],
        seconds[1],
        emitted.size,
    )


def _latency(
    files: Sequence[Emitted], photo: Pixels, options: argparse.Namespace
) -> npt.NDArray[np.float64]:
    """Median milliseconds of each file; in turn, so that a noisy machine favours none."""
    rounds = [
        [runtime_of(emitted, options.threads).median_ms(photo, RUNS) for emitted in files]
        for _ in range(options.rounds)
    ]
    return np.median(rounds, axis=0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "top-1 %": lambda row: fmt.percent(row["top1"]),
    "drop pp": lambda row: f"{fmt.points(row['drop_pp'])} ± {fmt.points(row['drop_se_pp'])}",
    "agrees %": lambda row: fmt.percent(row["agreement"]),
    "KL": lambda row: fmt.nats(row["kl"]),
    "quantize s": lambda row: f"{row['seconds']:.1f}" if row["seconds"] else fmt.NOTHING,
    "size": lambda row: fmt.size(row["size_bytes"]),
    "median ms": lambda row: fmt.milliseconds(row["median_ms"]),
}


def print_table(document: dict[str, Any]) -> None:
    """Prints what `measure` found."""
    print(
        f"{document['model']} at {document['resolution']} px, {document['calibration_photos']} "
        f"calibration photos, measured on {document['eval_photos']}, {document['threads']} threads"
    )
    lines = [["", *COLUMNS, "runtime"]]
    for row in document["rows"]:
        lines.append([row["name"], *(cell(row) for cell in COLUMNS.values()), row["runtime"]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells, runtime in lines:
        middle = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False))
        print("  ".join([name.ljust(widths[0]), *middle, runtime]))
    for word in ("skipped", "failed"):
        for name, why in document[word].items():
            print(f"{word} {name}: {why}")
    share = document["ptq_over_tensorflow"]
    if share is not None:
        verdict = "at most" if share <= GATE else "MORE than"
        print(f"ours ptq took {share:.2f} of TensorFlow's time, {verdict} the {GATE} wanted")


if __name__ == "__main__":
    sys.exit(main())
