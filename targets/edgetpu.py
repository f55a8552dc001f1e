"""The Edge TPU target: checks the documented rules, then runs Google's compiler."""

from __future__ import annotations

from pathlib import Path

from edgekit.converters import tflite_file
from edgekit.converters.tflite_checks import ERROR
from edgekit.errors import CompileError, UsageError
from edgekit.targets import edgetpu_compiler
from edgekit.targets.base import Compiled, Finding, Target
from edgekit.targets.edgetpu_mapping import Prediction, predict
from edgekit.targets.edgetpu_rules import CUSTOM_OP, check_edgetpu


class EdgeTPUTarget(Target):
    """Coral's Edge TPU, by way of `edgetpu_compiler` 16.0.

    Args:
        timeout_s: how many seconds the compiler may take.
    """

    name = "edgetpu"
    scheme = "w8a8-static"

    def __init__(self, timeout_s: int = edgetpu_compiler.TIMEOUT_S) -> None:
        self.timeout_s = timeout_s

    def check(self, path: Path) -> list[Finding]:
        """Returns what the compiler will refuse (errors) or leave on the CPU (warnings)."""
        return check_edgetpu(tflite_file.read(path))

    def predict(self, path: Path) -> Prediction:
        """Returns the predicted mapping and memory of a file that is not compiled yet."""
        model = tflite_file.read(path)
        if CUSTOM_OP in model.custom_codes:
            raise UsageError(
                f"{path} has been compiled for the Edge TPU already",
                cause=f"it holds an {CUSTOM_OP}",
                hint=f"edgekit inspect {path}",
            )
        return predict(model)

    def command(self, path: Path, out_dir: Path) -> list[str]:
        """Returns the compiler's command line."""
        return edgetpu_compiler.command(path, out_dir, self.timeout_s)

    def compile(self, path: Path, out_dir: Path) -> Compiled:
        """Compiles the file to ``out_dir/NAME_edgetpu.tflite`` and verifies the outcome.

        Raises:
            CompileError: a rule is broken, the compiler failed, or its output is no compiled model.
            MissingToolError: the compiler is not on PATH.
            UsageError: the file cannot be read.
        """
        errors = [f for f in self.check(path) if f.severity == ERROR]
        if errors:
            raise CompileError(
                f"{path} cannot be compiled for the Edge TPU",
                cause="; ".join(f"{f.where}: {f.message}" for f in errors),
                hint=errors[0].fix,
            )
        return edgetpu_compiler.compile_model(path, out_dir, self.timeout_s)
