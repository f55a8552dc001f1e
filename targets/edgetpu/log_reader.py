"""Finds the blocks of models and the failed attempts in the lines of compiler logs and outputs.

A line is known by its words, wherever in it they begin: a continuous-integration service, a logger
or a container puts a prefix before each. What is no line of the compiler is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from pathlib import PurePath

from edgekit.targets.edgetpu.failures import (
    CUT_OFF,
    SILENT,
    Failure,
    explain_failure,
    is_complaint,
    is_own_complaint,
    known_failure,
)
from edgekit.targets.edgetpu.status import FAILED, MEANINGS

LONGEST = 4000  # characters of a line that is read; those that hold something have some 200
NAME_WIDTH = 31  # of the first column of the compiler's table

_FIGURES = {
    "Input size": "input_bytes",
    "Output size": "output_bytes",
    "On-chip memory used for caching model parameters": "on_chip_bytes",
    "On-chip memory remaining for caching model parameters": "on_chip_free_bytes",
    "On-chip memory available for caching model parameters": "available_bytes",
    "Off-chip memory used for streaming uncached model parameters": "off_chip_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "total",
    "Number of operations that will run on Edge TPU": "stated_mapped",
    "Number of operations that will run on CPU": "stated_on_cpu",
}
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Numbers and blanks are bounded, so that a text that is no log takes neither time nor memory.
_ROW = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]{0,99})([ \t]{1,200})(\d{1,12})[ \t]{1,200}(?=\S)")
_STATUSES = MEANINGS.keys() - {FAILED}  # that one is of a file
_LOG_HEAD = tuple(re.compile(rf"(?<!\w){word}: (.*\S)") for word in ("Input", "Output"))


@dataclass
class Block:
    """What the compiler says of a model, or that it failed on one.

    Attributes:
        figures: by the names of `CompilerOutput`.
        rows: name, count and status of each row of the table.
        is_log: whether it is from a .log, which has no figures.
        is_partly_mapped: whether it says that not all operators are mapped.
        has_end: whether something follows its number of operators.
    """

    version: str | None = None
    milliseconds: int | None = None
    figures: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[str, int, str]] = field(default_factory=list)
    input_model: str | None = None
    output_model: str | None = None
    failure: Failure | None = None
    is_log: bool = False
    is_partly_mapped: bool = False
    has_end: bool = False


@dataclass
class _Run:
    """One call of the compiler as far as it is read, or one segment of a call.

    Attributes:
        before: complaints of earlier attempts, and of before its first line: what a program says
            on stderr may be captured before what it says on stdout.
        said: complaints since then.
        refused: the model that it calls invalid.
        is_started: whether it began to compile.
        is_open: false once it was said how it ended.
        has_failed: whether its last word was a failure.
    """

    version: str | None
    before: list[str]
    said: list[str] = field(default_factory=list)
    milliseconds: int | None = None
    blocks: list[Block] = field(default_factory=list)
    refused: str | None = None
    is_started: bool = False
    is_open: bool = True
    has_failed: bool = False

    @property
    def has_compiled(self) -> bool:
        """True where a compilation of it succeeded."""
        return bool(self.blocks) or self.milliseconds is not None

    def failure(self) -> Failure | None:
        """Returns why it failed; None where it did not."""
        if self.has_failed or (self.said and not self.has_compiled):
            is_explained = known_failure("\n".join(self.said)) is not None
            return explain_failure(self.said if is_explained else self.before + self.said)
        if self.has_compiled:
            return None
        return CUT_OFF if self.is_started else SILENT


def read_blocks(lines: Iterable[str]) -> list[Block]:
    """Returns the blocks and the failures, in the order of the lines."""
    reader = _Reader()
    kept = [line for line in lines if len(line) <= LONGEST and line.strip()]
    for line, following in pairwise([*kept, ""]):
        reader.read(line, following)
    reader.finish()
    return reader.blocks


class _Reader:
    """Takes lines in order; `blocks` is complete after `finish`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._run: _Run | None = None
        self._block: Block | None = None
        self._is_in_table = False
        self._is_interrupted = False  # whether other lines are among those of the table
        self._stray: list[str] = []  # complaints that are of no run

    def read(self, line: str, following: str) -> None:
        """Takes one line; some are known by the one that follows."""
        head = [
            pattern.search(text) for pattern, text in zip(_LOG_HEAD, (line, following), strict=True)
        ]
        if head[0] and head[1]:
            self._open_block(head[0][1], head[1][1]).is_log = True
            return
        if self._is_in_table and self._take_row(line, only_aligned=True):
            return
        for pattern, take in _LINES:
            match = pattern.search(line)
            if match:
                take(self, match)
                return
        if not (self._is_in_table and self._take_row(line)):
            self._take_other(line)

    def finish(self) -> None:
        """Ends the last run."""
        self._end_run()
        if any(map(is_own_complaint, self._stray)):
            self.blocks.append(Block(failure=explain_failure(self._stray)))

    # Lines of the compiler, each with what its pattern found.

    def take_version(self, found: re.Match[str]) -> None:
        """The first line of a call, or of a .log."""
        self._begin_run(found[1])

    def take_search(self, _: re.Match[str]) -> None:
        """With --search-delegate, each segment begins so."""
        run = self._run
        if run is not None and (run.has_compiled or not run.is_open):
            self._begin_run(run.version)
        self._running().is_started = True

    def take_attempt(self, _: re.Match[str]) -> None:
        """With --search-delegate, the next attempt: a failure before it was no end."""
        run = self._running()
        run.before, run.said = run.before + run.said, []
        run.is_started, run.is_open, run.has_failed = True, True, False

    def take_timer(self, _: re.Match[str]) -> None:
        """A compilation begins."""
        if self._run is not None and not self._run.is_open:
            self._begin_run(self._run.version)
        self._running().is_started = True

    def take_time(self, found: re.Match[str]) -> None:
        """It succeeded; the figures of its models follow."""
        run = self._running()
        run.before, run.said = [], []
        run.milliseconds, run.is_open, run.has_failed = int(found[1]), True, False
        self._block = None

    def take_input(self, found: re.Match[str]) -> None:
        """A model's block begins."""
        self._open_block(found[1], None)

    def take_output(self, found: re.Match[str]) -> None:
        """The compiled file of the block."""
        self._within("output_model").output_model = _file_name(found[1])

    def take_figure(self, found: re.Match[str]) -> None:
        """A figure of the block."""
        name = _FIGURES[found[1]]
        self._within(name).figures[name] = round(float(found[2]) * _UNITS[found[3] or ""])

    def take_partly(self, _: re.Match[str]) -> None:
        """Not all operators are mapped; how many follows."""
        if self._block is not None:
            self._block.is_partly_mapped = True

    def take_end(self, _: re.Match[str]) -> None:
        """What follows the figures, and the sentence on unsupported operators if there is one."""
        if self._block is not None:
            self._block.has_end = True

    def take_header(self, _: re.Match[str]) -> None:
        """The table of operators begins."""
        block = self._within("rows")
        block.has_end = self._is_in_table = True
        self._is_interrupted = False

    def take_success(self, _: re.Match[str]) -> None:
        """The end of a compilation that succeeded."""
        if self._run is not None and self._run.is_open:
            if self._block is not None:
                self._block.has_end = True
            self._close()

    def take_refusal(self, found: re.Match[str]) -> None:
        """A model is called invalid; why may follow."""
        if self._run is not None and (self._run.has_compiled or self._run.refused):
            self._begin_run(self._run.version)
        run = self._running()
        run.refused = _file_name(found[1])
        run.said.append(found.string)

    def take_failure(self, found: re.Match[str]) -> None:
        """The last word of a compilation that failed."""
        if self._run is not None and not self._run.is_open:
            self._begin_run(None)
        run = self._running()
        run.said.append(found.string)
        run.has_failed = True
        if found[0] == FAILED:
            self._close()

    # What they have in common.

    def _running(self) -> _Run:
        if self._run is None:
            self._run = _Run(None, self._stray)
            self._stray = []
        return self._run

    def _begin_run(self, version: str | None) -> None:
        run = self._run
        if run and run.version is None and run.failure() and not (run.has_failed or run.refused):
            # Only complaints, and not the last word: they are of the run that begins.
            self._stray, self._run = run.before + run.said, None
        self._end_run()
        self._run = _Run(version, self._stray)
        self._stray = []

    def _end_run(self) -> None:
        run, self._run = self._run, None
        self._block, self._is_in_table = None, False
        if run is None:
            return
        failure = run.failure()
        is_bare = failure is SILENT and not run.before
        if not run.blocks and run.milliseconds is not None:
            run.blocks.append(Block(run.version, run.milliseconds))
        if failure and run.blocks:
            run.blocks[-1].failure = failure
        elif is_bare and self.blocks and self.blocks[-1].version is None:
            # The version was captured after what it is the version of.
            for block in self.blocks:
                block.version = block.version or run.version
        elif failure and (run.version or run.said):
            run.blocks.append(Block(run.version, input_model=run.refused, failure=failure))
        self.blocks += run.blocks

    def _close(self) -> None:
        if self._run is not None:
            self._run.is_open = False
        self._block, self._is_in_table = None, False

    def _open_block(self, input_model: str | None, output_model: str | None) -> Block:
        run = self._running()
        if self._block is not None:
            self._block.has_end = True
        run.before, run.said, run.is_open, run.has_failed = [], [], True, False
        self._block = Block(
            run.version,
            run.milliseconds,
            input_model=_file_name(input_model),
            output_model=_file_name(output_model),
        )
        run.blocks.append(self._block)
        self._is_in_table = False
        return self._block

    def _within(self, name: str) -> Block:
        """The block that a figure is of: a new one where the last has that figure already."""
        block = self._block
        if block is None or name in block.figures or getattr(block, name, None):
            return self._open_block(None, None)
        return block

    def _take_row(self, line: str, only_aligned: bool = False) -> bool:
        """Reads a row of the table after any prefix; false if it is none.

        Of several readings (a prefix may hold a word and a number as well), the one in the
        compiler's columns is right, else the one of a known status.
        """
        readings = []
        for match in _ROW.finditer(line):
            name, status = match[1], line[match.end() :].rstrip()
            is_aligned = len(name + match[2]) == NAME_WIDTH
            rank = (is_aligned, status in _STATUSES, name.isupper())
            readings.append((rank, (name, int(match[3]), status)))
        if not readings or self._block is None:
            return False
        rank, row = max(readings, key=itemgetter(0))  # the first of those that are alike
        # Among other lines, what only looks like a row is none.
        needed = 1 if only_aligned else 2 if self._is_interrupted else 3
        if not any(rank[:needed]):
            return False
        self._block.rows.append(row)
        return True

    def _take_other(self, line: str) -> None:
        self._is_interrupted = True
        run = self._run
        if not is_complaint(line):
            return
        if run is not None and run.is_open and not run.has_compiled:
            run.said.append(line)
        elif is_own_complaint(line) and (run is None or run.is_open):
            run = self._running()
            run.said.append(line)
            run.has_failed = run.has_compiled
        else:
            self._stray.append(line)


def _file_name(text: str | None) -> str | None:
    return PurePath(text).name if text else None


_LINES: tuple[tuple[re.Pattern[str], Callable[[_Reader, re.Match[str]], None]], ...] = tuple(
    (re.compile(pattern), take)
    for pattern, take in (
        (r"Edge TPU Compiler version (\d[\w.]{0,99})\W*$", _Reader.take_version),
        (r"Searching for valid delegate with step", _Reader.take_search),
        (r"Try to compile segment with \d", _Reader.take_attempt),
        (r"Started a compilation timeout timer", _Reader.take_timer),
        (r"compiled successfully in (\d{1,12}) ms", _Reader.take_time),
        (r"\bInput model: (.*\S)", _Reader.take_input),
        (r"\bOutput model: (.*\S)", _Reader.take_output),
        (
            rf"\b({'|'.join(_FIGURES)}): (\d{{1,12}}(?:\.\d{{1,12}})?)([KMG]iB|B)?(?!\w)",
            _Reader.take_figure,
        ),
        (r"but not all operations are supported", _Reader.take_partly),
        (r"See the operation log file|Compilation child process completed", _Reader.take_end),
        (r"\bOperator\s{1,200}Count\s{1,200}Status\s*$", _Reader.take_header),
        (r"Compilation succeeded!", _Reader.take_success),
        (r"Invalid model: (.*\S)", _Reader.take_refusal),
        (
            rf"{FAILED}|Internal compiler error|Model not quantized|Model could not be parsed",
            _Reader.take_failure,
        ),
    )
)
