"""The Edge TPU target: checks the documented rules, then runs Google's compiler.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import CompileError, UsageError
from edgekit.targets.base import Compiled, Examination, Target
from edgekit.targets.edgetpu.delegate import EdgeTPUDelegate
from edgekit.targets.edgetpu.options import CUSTOM_OP, ENDING, CompilerOptions

if TYPE_CHECKING:
    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.networks.efficientnet.spec import ModelSpec
    from edgekit.networks.graph import Graph
    from edgekit.system.paths import StrPath
    from edgekit.targets.devices.hosts import Host
    from edgekit.targets.executions import ChipFigures
    from edgekit.targets.logs import LogReader
    from edgekit.targets.needs import Need


class EdgeTPUTarget(Target):
    """Coral's Edge TPU, by way of `edgetpu_compiler` 16.0."""

    name = "edgetpu"
    scheme = "w8a8-static"
    prepares = True
    inspected_schemes = ("w8a8-static", "w8a8-static-uint8", "mixed")
    custom_operator = CUSTOM_OP
    about = "Coral's USB stick, PCIe cards, Dev Boards"
    compiler_options = CompilerOptions
    compiles = True
    made_ending = ENDING
    delegate = EdgeTPUDelegate()
    about_check = (
        "For the Edge TPU this is a prediction of what compiler 16.0 will say, by compiled files, "
        "logs, its documentation and its users' reports; what none of them shows counts as "
        'mapped, and is listed as "not seen". The compiler itself is not needed.'
    )

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.delegate.title

    def needs(self) -> tuple[Need, ...]:
        """Returns Google's compiler."""
        from edgekit.targets.needs import of_program

        return (of_program(self.options.compiler),)

    def prepare(self, graph: Graph) -> Graph:
        """Divides means over large maps; gives Lite and EdgeTPU networks the pool of Google's."""
        from edgekit.targets.edgetpu.passes import prepare

        return prepare(graph)

    def advice(self, spec: ModelSpec, resolution: int) -> list[str]:
        """Returns what the variant costs there, against those that were made for it."""
        from edgekit.targets.edgetpu.costs import advice

        return advice(spec, resolution)

    def costs(self, spec: ModelSpec) -> dict[str, Any]:
        """Returns operators, memory and latencies."""
        from edgekit.targets.edgetpu.costs import costs

        return costs(spec).to_dict()

    def costs_table(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Returns `costs` of several variants as a table."""
        from edgekit.targets.edgetpu.costs import costs_table

        return costs_table(rows)

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds what the compiler refuses (errors) or leaves on the CPU; predicts its mapping."""
        from edgekit.converters.tflite import file as tflite_file
        from edgekit.targets.edgetpu.mapping import check_and_predict

        path = Path(path)
        model = model or tflite_file.read(path)
        if CUSTOM_OP in model.custom_codes:
            raise UsageError(
                f"{path} has been compiled for {self.title} already",
                cause=f"it holds an {CUSTOM_OP}",
                hint=f"edgekit inspect {path}",
            )
        findings, prediction = check_and_predict(model)
        return Examination(path, model, tuple(findings), prediction)

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns the mapping and the memory that we predict; nothing says the latency.

        Raises:
            CompileError: the compiler will refuse the file.
        """
        from edgekit.targets.edgetpu.mapping import MappingPrediction
        from edgekit.targets.executions import ChipFigures

        found = self.examine(path).prediction
        assert isinstance(found, MappingPrediction)  # noqa: S101 - `examine` makes no other
        if found.refused:
            raise CompileError(f"{path} does not suit {self.title}", cause=found.refused[0])
        memory = found.memory
        return ChipFigures(
            memory={"on chip": memory.on_chip_bytes, "streamed": memory.streamed_bytes},
            mapped=found.mapped,
            on_cpu=found.on_cpu,
            fits=memory.fits,
        )

    def command(self, path: StrPath, out_dir: StrPath, timeout_s: int | None = None) -> list[str]:
        """Returns the compiler's command line."""
        options = self.options_within(timeout_s)
        return list(options.command([str(Path(path))], str(Path(out_dir))))

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled:
        """Compiles the file to ``out_dir/NAME_edgetpu.tflite`` and verifies the outcome.

        Raises:
            CompileError: a rule is broken, the compiler failed, or its output is no compiled model.
            MissingToolError: the compiler is not on PATH.
        """
        (made,) = self._compile([examined], out_dir, self.options_within(timeout_s))
        return made

    def compile_files(
        self,
        paths: Sequence[StrPath],
        out_dir: StrPath,
        options: CompilerOptions,
        host: Host | None = None,
        force: bool = False,
    ) -> list[Compiled]:
        """Compiles files, together where that is possible; see `edgetpu.compiler.compile_files`."""
        return self._compile([self.examine(path) for path in paths], out_dir, options, host, force)

    def _compile(
        self,
        files: Sequence[Examination],
        out_dir: StrPath,
        options: CompilerOptions,
        host: Host | None = None,
        force: bool = False,
    ) -> list[Compiled]:
        from edgekit.targets.edgetpu.compiler import compile_files

        for examined in [] if force else files:
            self.check_taken(examined)
        made = compile_files([examined.path for examined in files], out_dir, options, host)
        if options.changes_mapping:
            return made
        pairs = zip(made, files, strict=True)
        return [
            replace(one, predicted=e.prediction.mapped) if e.prediction else one for one, e in pairs
        ]

    def describe_compiled(self, model: TFLiteModel) -> dict[str, Any] | None:
        """Returns what runs where, and what it needs."""
        from edgekit.targets.edgetpu.compiled import describe_compiled

        return describe_compiled(model)

    def compiled_lines(self, described: dict[str, Any]) -> list[str]:
        """Returns the same as lines."""
        from edgekit.targets.edgetpu.compiled import compiled_lines

        return compiled_lines(described)

    def log_reader(self) -> LogReader:
        """Returns what reads the compiler's logs and captured output."""
        from edgekit.targets.edgetpu.log_report import log_reader

        return log_reader()
