"""The target of Rockchip's NPUs.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.targets.base import Compiled, Examination, Target
from edgekit.targets.rknn.options import CompilerOptions
from edgekit.targets.toolchains.toolchain import Toolchain

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.files import Form

TOOLCHAIN = Toolchain(
    name="rknn",
    title="RKNN-Toolkit2",
    package="rknn-toolkit2",
    modules=("rknn.api",),
    licence="Rockchip's SDK licence; the package has no text of it",
    requirements=Path(__file__).with_name("rknn.txt"),
    note="do not pass Rockchip's libraries on; it needs Linux on x86-64",
    installed_mb=690,
    download_mb=190,
    borrows=("torch",),
)
ROW = "w8a8-rknn"


class RKNNTarget(Target):
    """Rockchip's NPUs: the .rknn file, and the simulator."""

    name = "rknn"
    scheme = "w8a8-static"
    accepts_mixed = True
    about = "Rockchip RK3588, RK3576, RK3566, RK3568 (Radxa, Orange Pi)"
    takes = "int8 .onnx (QDQ)"
    ending = ".onnx"
    toolchains = (TOOLCHAIN,)
    compiler_options = CompilerOptions
    compiles = True

    @property
    def title(self) -> str:
        """What messages call it."""
        return "Rockchip's NPU"

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the int8 .onnx file with normalised reals as its input."""
        from edgekit.targets.npus.file import nchw_forms

        return nchw_forms()

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns Rockchip's simulator."""
        from edgekit.targets.executions import Answers, Execution
        from edgekit.targets.npus.file import NCHW

        given: CompilerOptions = self.options_within(options.compile_timeout)

        def run(path: Path, pixels: Any, advance: Any) -> Answers:
            from edgekit.targets.rknn.compiler import simulate

            return simulate(TOOLCHAIN, path, pixels, given, advance)

        return (
            Execution(
                row=ROW,
                of=NCHW.row,
                runtime=f"RKNN simulator {TOOLCHAIN.version}",
                kind="simulator",
                toolchain=TOOLCHAIN,
                run=run,
                reads=(("platform", given.chip), ("optimization", given.optimization_level)),
            ),
        )

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds what keeps a file off the NPU; the compiler says where operators run."""
        from edgekit.converters.findings import WARNING, Finding
        from edgekit.targets.rknn.compiler import ask_compiler

        expected = self.examine_alone(path, model)
        if expected.refusals or not TOOLCHAIN.is_installed:
            return expected
        said = ask_compiler(TOOLCHAIN, expected.path, self.options)
        errors = tuple(
            Finding(
                WARNING,
                "compiler-message",
                "model",
                f"{TOOLCHAIN.title} says: {message.text}",
                "it went on all the same; look at the accuracy",
            )
            for message in said.messages
            if message.severity == "error"
        )
        return Examination(expected.path, expected.model, errors, said.mapping)

    def examine_alone(self, path: StrPath, model: Any = None) -> Examination:
        """Finds what the file alone shows.

        Raises:
            UsageError: it cannot be read.
        """
        from edgekit.converters.onnx import file as onnx_file
        from edgekit.targets.onnx import classifier_findings
        from edgekit.targets.rknn.rules import findings

        path = Path(path)
        model = model or onnx_file.read(path)
        return Examination(path, model, (*classifier_findings(model), *findings(model)))

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns operators and memory, by the compiler."""
        from edgekit.targets.executions import ChipFigures
        from edgekit.targets.rknn.compiler import ask_compiler

        said = ask_compiler(TOOLCHAIN, Path(path), self.options)
        mapped, on_cpu = said.mapping.mapped, len(said.mapping.on_cpu)
        return ChipFigures(memory=said.memory, mapped=mapped, on_cpu=on_cpu)

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled:
        """Compiles the file to ``NAME_PLATFORM.rknn``; see `edgekit.targets.rknn.compiler`."""
        from edgekit.targets.rknn.compiler import compile_file

        self.check_taken(examined)
        options = self.options_within(timeout_s)
        return compile_file(TOOLCHAIN, examined.path, Path(out_dir), options)
