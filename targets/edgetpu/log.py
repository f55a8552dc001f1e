"""What `edgetpu_compiler` prints and logs, as figures, operators and failures of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgekit.targets.edgetpu.failures import Failure, known_failure
from edgekit.targets.edgetpu.log_reader import Block, read_blocks
from edgekit.targets.edgetpu.status import MAPPED
from edgekit.targets.edgetpu.text import clean_lines, split_streams


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
        stated_mapped: "Number of operations that will run on Edge TPU"; all of them where the
            compiler has nothing to say of unsupported ones.
        stated_on_cpu: "Number of operations that will run on CPU", likewise.
        rows: the operator table, in the compiler's order, which is that of no graph.
        input_model: the name of the model's file without its folder.
        output_model: the name of the compiled file without its folder.
        failure: why there is no compiled file; None where there is one.
    """

    version: str | None = None
    milliseconds: int | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    on_chip_bytes: int | None = None
    on_chip_free_bytes: int | None = None
    off_chip_bytes: int | None = None
    subgraphs: int | None = None
    total: int | None = None
    stated_mapped: int | None = None
    stated_on_cpu: int | None = None
    rows: tuple[Row, ...] = ()
    input_model: str | None = None
    output_model: str | None = None
    failure: Failure | None = None

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

    @property
    def missing(self) -> int:
        """How many operators the compiler counted that its table, as far as we have it, lacks."""
        counted = sum(row.count for row in self.rows)
        return max(0, (self.total or 0) - counted) if self.rows else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures, the table and the failure as JSON values."""
        return asdict(self) | {"rows": [asdict(row) for row in self.rows]}


def parse_outputs(text: str) -> list[CompilerOutput]:
    """Reads logs and captured outputs, one or more in a text: each model in the order of the text.

    Lines may be indented, have any prefix (a time, a container's name, ``> ``) and any line end; a
    .log and the output of the same compilation are one. A compilation that failed is an output
    with a failure, and few figures or none.

    Returns:
        Nothing where no line of the text is the compiler's.
    """
    outputs = [
        (_output(block), block.is_log)
        for lines in split_streams(clean_lines(text))
        for block in read_blocks(lines)
    ]
    if not outputs:
        # Nothing is said but an error, whose words might be another program's.
        failure = known_failure(text, whoever=False)
        return [CompilerOutput(failure=failure)] if failure else []
    return _merge(outputs)


def parse_output(text: str) -> CompilerOutput:
    """Reads the output or the .log of one model; without figures where there is none in it."""
    return next(iter(parse_outputs(text)), CompilerOutput())


def _output(block: Block) -> CompilerOutput:
    figures = dict(block.figures)
    free, available = figures.get("on_chip_free_bytes"), figures.pop("available_bytes", None)
    if free is None and available is not None:  # version 2.0 counts the other way
        figures["on_chip_free_bytes"] = available - figures.get("on_chip_bytes", 0)
    output = CompilerOutput(
        version=block.version,
        milliseconds=block.milliseconds,
        rows=tuple(Row(*row) for row in block.rows),
        input_model=block.input_model,
        output_model=block.output_model,
        failure=block.failure,
        **figures,
    )
    return _completed(output, block.has_end and not block.is_partly_mapped)


def _completed(output: CompilerOutput, is_whole: bool) -> CompilerOutput:
    """Adds the numbers of operators that follow from the others.

    Of a model that is mapped whole, the compiler prints the total alone. The sentence on
    unsupported operators would stand right behind it.
    """
    total, mapped, on_cpu = output.total, output.stated_mapped, output.stated_on_cpu
    if total is None:
        return output
    if mapped is None and on_cpu is None:
        if output.subgraphs == 0:
            mapped = 0
        elif is_whole:
            mapped = total
    if mapped is None and on_cpu is not None:
        mapped = total - on_cpu
    if on_cpu is None and mapped is not None:
        on_cpu = total - mapped
    return replace(output, stated_mapped=mapped, stated_on_cpu=on_cpu)


def _merge(outputs: Sequence[tuple[CompilerOutput, bool]]) -> list[CompilerOutput]:
    """Puts the table of a .log to the captured output of the same compilation."""
    merged = [None if is_log else output for output, is_log in outputs]
    taken: set[int] = set()
    for place, (log, is_log) in enumerate(outputs):
        if not is_log:
            continue
        for other, printed in enumerate(merged):
            if printed and not outputs[other][1] and other not in taken and _is_of(log, printed):
                merged[other] = replace(printed, rows=log.rows)
                taken.add(other)
                break
        else:
            merged[place] = log
    return [output for output in merged if output]


def _is_of(log: CompilerOutput, printed: CompilerOutput) -> bool:
    """True where a .log and a captured output are of the same compilation."""
    if not log.rows or log.output_model != printed.output_model:
        return False
    if log.version and printed.version and log.version != printed.version:
        return False
    if printed.rows:
        return sorted(map(str, printed.rows)) == sorted(map(str, log.rows))
    return printed.total in (None, sum(row.count for row in log.rows))
