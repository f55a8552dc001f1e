"""The Ethos-U target: Arm's NPUs for microcontrollers, by way of Arm's compiler Vela.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgekit.errors import UsageError
from edgekit.targets.base import Compiled, Examination, Target
from edgekit.targets.ethosu.options import CUSTOM_OP, ENDING, VelaOptions
from edgekit.targets.ethosu.tools import TOSA, VELA

if TYPE_CHECKING:
    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.logs import LogReader


class EthosUTarget(Target):
    """Arm's Ethos-U55, U65 and U85."""

    name = "ethosu"
    scheme = "w8a8-static"
    custom_operator = CUSTOM_OP
    about = "Arm's NPUs for microcontrollers: Ethos-U55, U65, U85 (Alif, Corstone, NXP i.MX 93)"
    toolchains = (VELA, TOSA)
    compiler_options = VelaOptions
    compiles = True
    made_ending = ENDING
    memories = MappingProxyType({"sram": "SRAM", "flash": "flash"})
    about_check = "For Arm's Ethos-U it is what Vela, Arm's compiler, makes of the file."
    options: VelaOptions

    @property
    def title(self) -> str:
        """What messages call it."""
        return "Arm's Ethos-U"

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Compiles the file with Vela, in memory, and says what of it runs where.

        Raises:
            UsageError: the file cannot be read or is compiled already, or Vela does not take the
                options.
            MissingToolError: Vela is not installed.
            CompileError: Vela does not take the model.
        """
        from edgekit.converters.tflite import file as tflite_file
        from edgekit.targets.ethosu.compiler import is_compiled, run_vela

        path = Path(path)
        model = model or tflite_file.read(path)
        if is_compiled(model):
            raise UsageError(
                f"{path} has been compiled for {self.title} already",
                cause=f"it holds an operator {CUSTOM_OP}",
                hint=f"edgekit inspect {path}",
            )
        prediction = run_vela(path, model, self.options)
        return Examination(path, model, tuple(prediction.findings()), prediction)

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns what Vela says of a file."""
        from edgekit.targets.ethosu.mapping import VelaPrediction

        prediction = self.examine(path).prediction
        assert isinstance(prediction, VelaPrediction)  # noqa: S101 - `examine` makes no other
        return prediction.chip

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled:
        """Writes what Vela made to ``out_dir/NAME_vela.tflite``, with the file's labels.

        Raises:
            NothingMappedError: nothing of it runs on the NPU.
        """
        from edgekit.targets.ethosu.compiler import run_vela, write_compiled
        from edgekit.targets.ethosu.mapping import VelaPrediction

        made = examined.prediction
        if not isinstance(made, VelaPrediction):
            made = run_vela(examined.path, examined.model, self.options_within(timeout_s))
        return write_compiled(examined.path, made, Path(out_dir))

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns Arm's reference model of the arithmetic that the NPU implements."""
        from edgekit.targets.ethosu.reference import execution

        return (execution(),)

    def describe_compiled(self, model: TFLiteModel) -> dict[str, Any] | None:
        """Returns for which NPU it is, what it holds, and what runs on the CPU."""
        from edgekit.targets.ethosu.compiled import describe_compiled

        return describe_compiled(model)

    def compiled_lines(self, described: dict[str, Any]) -> list[str]:
        """Returns the same as lines."""
        from edgekit.targets.ethosu.compiled import compiled_lines

        return compiled_lines(described)

    def log_reader(self) -> LogReader:
        """Returns what reads what Vela printed."""
        from edgekit.targets.ethosu.log_report import log_reader

        return log_reader()
