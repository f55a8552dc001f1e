"""The Edge TPU target: checks the documented rules, then runs Google's compiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.file import CUSTOM_OP, TFLiteModel
from edgekit.errors import CompileError, UsageError
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.system.paths import StrPath
from edgekit.targets.base import Compiled, Finding, Target
from edgekit.targets.devices.hosts import Host
from edgekit.targets.edgetpu import compiler as edgetpu_compiler
from edgekit.targets.edgetpu import costs as edgetpu_family
from edgekit.targets.edgetpu import passes as edgetpu_passes
from edgekit.targets.edgetpu.compiler import CompiledFile
from edgekit.targets.edgetpu.mapping import Prediction, predict
from edgekit.targets.edgetpu.options import TIMEOUT_S, CompilerOptions
from edgekit.targets.edgetpu.rules import check_edgetpu, refusals


class EdgeTPUTarget(Target):
    """Coral's Edge TPU, by way of `edgetpu_compiler` 16.0.

    Args:
        timeout_s: how many seconds the compiler may take.
    """

    name = "edgetpu"
    scheme = "w8a8-static"

    def __init__(self, timeout_s: int = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s

    def prepare(self, graph: Graph) -> Graph:
        """Divides means over large maps; gives Lite and EdgeTPU networks the pool of Google's."""
        return edgetpu_passes.prepare(graph)

    def advice(self, spec: ModelSpec, resolution: int) -> list[str]:
        """Returns what the variant costs there, against those that were made for it."""
        return edgetpu_family.advice(spec, resolution)

    def check(self, path: StrPath) -> list[Finding]:
        """Returns what the compiler will refuse (errors) or leave on the CPU (warnings)."""
        path = Path(path)
        return check_edgetpu(tflite_file.read(path))

    def predict(self, path: StrPath) -> Prediction:
        """Returns the predicted mapping and memory of a file that is not compiled yet."""
        path = Path(path)
        return predict(_uncompiled(path))

    def command(self, path: StrPath, out_dir: StrPath) -> list[str]:
        """Returns the compiler's command line."""
        path = Path(path)
        out_dir = Path(out_dir)
        return CompilerOptions(timeout_s=self.timeout_s).command([str(path)], str(out_dir))

    def compile(self, path: StrPath, out_dir: StrPath) -> Compiled:
        """Compiles the file to ``out_dir/NAME_edgetpu.tflite`` and verifies the outcome.

        Raises:
            CompileError: a rule is broken, the compiler failed, or its output is no compiled model.
            MissingToolError: the compiler is not on PATH.
            UsageError: the file cannot be read.
        """
        path = Path(path)
        out_dir = Path(out_dir)
        options = CompilerOptions(timeout_s=self.timeout_s)
        (made,) = self.compile_files([path], out_dir, options)
        figures = made.figures[0].to_dict()
        return Compiled(made.outputs[0], made.log, made.mapped, made.on_cpu, figures)

    def compile_files(
        self,
        paths: Sequence[StrPath],
        out_dir: StrPath,
        options: CompilerOptions,
        host: Host | None = None,
        force: bool = False,
    ) -> list[CompiledFile]:
        """Compiles files, together where that is possible; see `edgetpu_compiler.compile_files`.

        Args:
            paths: .tflite files that are not compiled yet.
            out_dir: where the results and the logs go.
            options: what the compiler is asked for.
            host: where the compiler runs; on this machine by default.
            force: compile even where a rule says that the compiler will refuse.

        Raises:
            CompileError: a rule is broken, the compiler failed, or its output is no compiled model.
            DeviceError: the connection to the host died.
            MissingToolError: the compiler is not there.
            UsageError: a file cannot be read, is compiled already, or shares its name with another.
        """
        files = [Path(path) for path in paths]
        for path in files:
            model = _uncompiled(path)
            errors = [] if force else refusals(model)
            if errors:
                raise CompileError(
                    f"{path} cannot be compiled for the Edge TPU",
                    cause="; ".join(f"{f.where}: {f.message}" for f in errors),
                    hint=errors[0].fix,
                )
        return edgetpu_compiler.compile_files(files, out_dir, options, host)


def _uncompiled(path: Path) -> TFLiteModel:
    """Reads a file that is not compiled yet."""
    model = tflite_file.read(path)
    if CUSTOM_OP in model.custom_codes:
        raise UsageError(
            f"{path} has been compiled for the Edge TPU already",
            cause=f"it holds an {CUSTOM_OP}",
            hint=f"edgekit inspect {path}",
        )
    return model
