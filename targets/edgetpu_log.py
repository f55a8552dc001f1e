"""Reads what `edgetpu_compiler` prints and logs, by meaning rather than by line number."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any

from edgekit.targets.edgetpu_status import MAPPED


@dataclass(frozen=True)
class Row:
    """A row of the operator table: operators of one kind that met the same fate.

    Attributes:
        status: the compiler's words; "Mapped to Edge TPU", or why not.
    """

    name: str
    count: int
    status: str

    @property
    def is_mapped(self) -> bool:
        """True when these operators run on the Edge TPU."""
        return self.status == MAPPED


@dataclass(frozen=True)
class CompilerOutput:
    """The compiler's figures; None where it did not print one (its .log has only the table).

    Attributes:
        milliseconds: time that the compilation took.
        on_chip_bytes: parameters cached in the Edge TPU's memory.
        on_chip_free_bytes: what is left of that memory.
        off_chip_bytes: parameters streamed for every inference.
        total: operators of the input model.
        stated_mapped: "Number of operations that will run on Edge TPU".
        stated_on_cpu: "Number of operations that will run on CPU".
        rows: the operator table, in the compiler's order, which is that of no graph.
        input_model: the name of the model's file without its folder.
        output_model: the name of the compiled file without its folder.
    """

    version: str | None
    milliseconds: int | None
    input_bytes: int | None
    output_bytes: int | None
    on_chip_bytes: int | None
    on_chip_free_bytes: int | None
    off_chip_bytes: int | None
    subgraphs: int | None
    total: int | None
    stated_mapped: int | None
    stated_on_cpu: int | None
    rows: tuple[Row, ...]
    input_model: str | None = None
    output_model: str | None = None

    @property
    def mapped(self) -> int | None:
        """Operators on the Edge TPU; None where neither a table nor a figure says so."""
        if self.rows:
            return sum(row.count for row in self.rows if row.is_mapped)
        return self.stated_mapped

    @property
    def on_cpu(self) -> int | None:
        """Operators on the CPU; None where neither a table nor a figure says so."""
        if self.rows:
            return sum(row.count for row in self.rows if not row.is_mapped)
        return self.stated_on_cpu

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures and the table as JSON values."""
        record = asdict(self)
        record["rows"] = [asdict(row) for row in self.rows]
        return record


_UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_HEADER = re.compile(r"^Operator\s+Count\s+Status\s*$", re.MULTILINE)
# Bounded, so that a text that is no log takes neither time nor numbers beyond measure.
_ROW = re.compile(r"^(\S{1,200})[ \t]{1,200}(\d{1,12})[ \t]{1,200}(\S.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^Input model:", re.MULTILINE)
_TIME = r"compiled successfully in (\d{1,12}) ms"


def parse_output(text: str) -> CompilerOutput:
    """Reads the stdout of one model, or a .log; statuses new to us are kept as they are."""
    header = _HEADER.search(text)
    table = _ROW.findall(text[header.end() :]) if header else []
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    memory = "memory {} for caching model parameters"
    return CompilerOutput(
        version=version.group(1) if version else None,
        milliseconds=_count(_TIME, text),
        input_bytes=_size("Input size", text),
        output_bytes=_size("Output size", text),
        on_chip_bytes=_size("On-chip " + memory.format("used"), text),
        on_chip_free_bytes=_size("On-chip " + memory.format("remaining"), text),
        off_chip_bytes=_size("Off-chip memory used for streaming uncached model parameters", text),
        subgraphs=_count(r"Number of Edge TPU subgraphs: (\d{1,12})", text),
        total=_count(r"Total number of operations: (\d{1,12})", text),
        stated_mapped=_count(r"operations that will run on Edge TPU: (\d{1,12})", text),
        stated_on_cpu=_count(r"operations that will run on CPU: (\d{1,12})", text),
        rows=tuple(Row(name, int(count), status.rstrip()) for name, count, status in table),
        input_model=_name("Input(?: model)?", text),
        output_model=_name("Output(?: model)?", text),
    )


def parse_outputs(text: str) -> list[CompilerOutput]:
    """Reads the stdout of a run on one or more models: the figures of each in the order printed.

    A block begins at "Input model:". The version and the time of a block may stand before it, and
    a time that stands before all blocks is that of the whole run.
    """
    starts = [match.start() for match in _BLOCK.finditer(text)]
    if not starts:
        return [parse_output(text)]
    version = parse_output(text).version
    outputs = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        times = re.findall(_TIME, text[:start])
        output = parse_output(text[start:end])
        time = int(times[-1]) if times else _count(_TIME, text)
        outputs.append(replace(output, version=version, milliseconds=time))
    return outputs


def _count(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else None


def _size(label: str, text: str) -> int | None:
    match = re.search(re.escape(label) + r": (\d{1,12}(?:\.\d{1,12})?)([KMG]i)?B", text)
    return round(float(match.group(1)) * _UNITS[match.group(2)]) if match else None


def _name(label: str, text: str) -> str | None:
    match = re.search(rf"^{label}: (.*\S)\s*$", text, re.MULTILINE)
    return PurePath(match.group(1)).name if match else None


# What the compiler prints when it fails, why, and what to do; from its users' reports.
# {0} is what the pattern's first group found.
_FAILURES = (
    (
        r"dynamic-sized tensors",
        "a tensor's size is only known at run time",
        "convert with fixed sizes and batch 1",
    ),
    (
        r"large activation tensors",
        "the activations do not fit the Edge TPU's memory",
        "add --search-delegate, use a lower resolution, or stop earlier with "
        "--intermediate-tensors",
    ),
    (
        r"no_integer_overflow_from_quantization",
        "a bias overflows, because a channel's weights are almost zero",
        "give that channel a larger weight scale, or prune it",
    ),
    (
        r"Didn't find op for builtin opcode(?: '(\w+)')?",
        "the operator {0} is newer than the compiler",
        "keep to the operator versions of TensorFlow 2.5",
    ),
    (
        r"requires runtime version \((\d+)\)",
        "the compiled file needs runtime {0} of the Edge TPU, and an older one is installed",
        "update the runtime, or compile with --min-runtime-version of the one that is there",
    ),
    (
        r"Model failed in Tflite interpreter",
        "the TensorFlow Lite inside the compiler cannot run the model",
        "run `edgekit inspect` on it",
    ),
    (
        r"Internal compiler error",
        "an internal error of the compiler, known from reductions over very large maps",
        "use a lower resolution, or find the operator with `edgekit compile --bisect`",
    ),
    (
        r"[Cc]ompilation (?:child process )?(?:timed out|exceeded)",
        "the compiler's own time limit",
        "allow it more time with --timeout",
    ),
    (
        r"Segmentation fault",
        "the compiler crashed (segmentation fault)",
        "find the operator with `edgekit compile --bisect`",
    ),
    (
        r"Model not quantized|Invalid model",
        "the model is not fully quantized",
        "build it with scheme w8a8-static",
    ),
)


def known_failure(text: str) -> tuple[str, str] | None:
    """Returns cause and remedy of a failure that the compiler is known for, else None."""
    for pattern, cause, hint in _FAILURES:
        match = re.search(pattern, text)
        if match:
            return cause.format(*(group or "?" for group in match.groups())), hint
    return None


def is_silent(text: str) -> bool:
    """True when the compiler printed nothing but its version: older ones die like that."""
    lines = [line for line in text.splitlines() if line.strip()]
    return all(line.startswith("Edge TPU Compiler version") for line in lines)
