"""The options of `edgetpu_compiler` 16.0, checked before it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.targets.base import TIMEOUT_S, option

TOOL = "edgetpu_compiler"
CUSTOM_OP = "edgetpu-custom-op"  # what it puts in the place of all that it maps
ENDING = "_edgetpu"  # of the names of what it makes
RUNTIMES = range(10, 15)  # what --min_runtime_version takes


@dataclass(frozen=True)
class CompilerOptions:
    """What `edgetpu_compiler` is asked for; by default what it does by itself.

    Attributes:
        compiler: the program, by name or place.
        min_runtime_version: the oldest Edge TPU runtime, 10 to 14, that is to run the result.
        num_segments: into how many files for as many Edge TPUs the model is split; at least 2.
        search_delegate: try again with fewer operators on the Edge TPU when that fails.
        search_step: how many operators fewer each time.
        intermediate_tensors: names of tensors where the Edge TPU's part is to end.
        multiple_subgraphs: several parts on the Edge TPU; experimental, and often slower.
        timeout_s: how many seconds the compiler may take by its own clock.

    Raises:
        UsageError: a value is out of its range.
    """

    compiler: str = option(TOOL, f"The compiler's program; else {TOOL} on PATH.")
    min_runtime_version: int | None = option(
        None, "The oldest Edge TPU runtime that is to run it, 10 to 14."
    )
    num_segments: int | None = option(None, "Split each file for as many Edge TPUs, 2 or more.")
    search_delegate: bool = option(False, "On failure, try with fewer operators.")
    search_step: int | None = option(None, "With --search-delegate: how many fewer each time.")
    intermediate_tensors: tuple[str, ...] = option(
        (), "Where the Edge TPU's part ends.", "NAME,...", separator=","
    )
    multiple_subgraphs: bool = option(
        False, "Several parts on the Edge TPU: experimental in the compiler, often slower."
    )
    timeout_s: int = option(TIMEOUT_S, "Seconds that the compiler may take.", name="timeout")

    def __post_init__(self) -> None:
        version, segments = self.min_runtime_version, self.num_segments
        _demand(
            version is None or version in RUNTIMES,
            f"--min-runtime-version {version} is not in {RUNTIMES[0]} to {RUNTIMES[-1]}",
        )
        _demand(segments is None or segments >= 2, f"--num-segments {segments} is less than 2")
        step = self.search_step
        _demand(step is None or step >= 1, f"--search-step {step} is less than 1")
        _demand(step is None or self.search_delegate, "--search-step needs --search-delegate")
        _demand(self.timeout_s >= 1, f"--timeout {self.timeout_s} is less than 1 second")
        _demand(bool(self.compiler.strip()), "--compiler names no program")
        _demand(
            all(name and "," not in name for name in self.intermediate_tensors),
            "--intermediate-tensors has an empty name",
        )

    @property
    def one_by_one(self) -> bool:
        """True when the options concern a single model, so that several are not co-compiled."""
        return self.num_segments is not None or bool(self.intermediate_tensors)

    @property
    def changes_mapping(self) -> bool:
        """True when the options change which operators run on the Edge TPU."""
        return self.one_by_one or self.search_delegate or self.multiple_subgraphs

    def command(self, models: Sequence[str], out_dir: str) -> list[str]:
        """Returns the command line that compiles the models, together, into ``out_dir``."""
        line = [self.compiler, "--out_dir", out_dir, "--show_operations"]
        line += ["--timeout_sec", str(self.timeout_s)]
        if self.min_runtime_version is not None:
            line += ["--min_runtime_version", str(self.min_runtime_version)]
        if self.num_segments is not None:
            line += ["--num_segments", str(self.num_segments)]
        if self.search_delegate:
            line.append("--search_delegate")
        if self.search_step is not None:
            line += ["--delegate_search_step", str(self.search_step)]
        if self.intermediate_tensors:
            line += ["--intermediate_tensors", ",".join(self.intermediate_tensors)]
        if self.multiple_subgraphs:
            line.append("--enable_multiple_subgraphs")
        return [*line, *models]

    def outputs(self, stem: str) -> list[str]:
        """Returns the names of the files that the model ``stem``.tflite becomes."""
        count = self.num_segments
        if count is None:
            return [f"{stem}{ENDING}.tflite"]
        return [f"{stem}_segment_{i}_of_{count}{ENDING}.tflite" for i in range(count)]


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message, hint="edgekit compile --help")
