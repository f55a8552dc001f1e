"""The target of Snapdragon's Hexagon NPU.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.targets.base import Compiled, Examination, Target
from edgekit.targets.qnn.options import ENDING, CompilerOptions
from edgekit.targets.toolchains.toolchain import Toolchain

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.files import Form

TOOLCHAIN = Toolchain(
    name="qnn",
    title="Qualcomm's compiler for Hexagon",
    package="onnxruntime-qnn",
    modules=("onnxruntime", "onnxruntime_qnn"),
    licence="MIT; Qualcomm's AI Stack License for the libraries in it",
    requirements=Path(__file__).with_name("qnn.txt"),
    note=(
        "Qualcomm's libraries may be passed on only inside an application, not by themselves; it "
        "needs x86-64 and Python 3.11 or newer"
    ),
    installed_mb=490,
    download_mb=150,
)
#: Photos in a report: Lite0 at 224 px takes 1.4 s each.
MOST = 100
ROW = "w8a8-htp"
_CONTEXT = "com.microsoft.EPContext"  # what the compiler leaves in the place of what it maps


class QNNTarget(Target):
    """Snapdragon's Hexagon tensor processor, by ONNX Runtime's QNN provider."""

    name = "qnn"
    scheme = "w8a8-static"
    accepts_mixed = True
    about = "Snapdragon phones, laptops, robots (Hexagon NPU)"
    takes = "int8 .onnx (QDQ)"
    ending = ".onnx"
    toolchains = (TOOLCHAIN,)
    compiler_options = CompilerOptions
    compiles = True
    made_ending = ENDING

    @property
    def title(self) -> str:
        """What messages call it."""
        return "Hexagon"

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the int8 .onnx file with normalised reals as its input."""
        from edgekit.targets.npus.file import nchw_forms

        return nchw_forms()

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns Qualcomm's emulation of the chip."""
        from edgekit.targets.executions import Answers, Execution
        from edgekit.targets.npus.file import NCHW

        given: CompilerOptions = self.options_within(options.compile_timeout)

        def run(path: Path, pixels: Any, advance: Any) -> Answers:
            from edgekit.targets.qnn.compiler import emulate

            return emulate(TOOLCHAIN, path, pixels, given.chip, given.timeout_s, advance)

        return (
            Execution(
                row=ROW,
                of=NCHW.row,
                runtime=f"QNN HTP emulation {TOOLCHAIN.version}",
                kind="emulator",
                toolchain=TOOLCHAIN,
                run=run,
                most=MOST,
                reads=(("soc", given.soc.upper()),),
            ),
        )

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds what Hexagon refuses or leaves on the CPU; its compiler says it if installed."""
        from edgekit.converters.findings import WARNING, Finding
        from edgekit.targets.qnn.compiler import ask_compiler

        expected = self.examine_alone(path, model)
        if expected.refusals or not TOOLCHAIN.is_installed:
            return expected
        mapping = ask_compiler(TOOLCHAIN, expected.path, self.options)
        fixes = {finding.where: finding.fix for finding in expected.findings}
        left = tuple(
            Finding(
                WARNING,
                "on-cpu",
                str(one),
                f"{TOOLCHAIN.title} leaves it on the CPU: {one.why}",
                fixes.get(str(one), "write it with QDQ pairs round every operator"),
            )
            for one in mapping.on_cpu
        )
        return Examination(expected.path, expected.model, left, mapping)

    def examine_alone(self, path: StrPath, model: Any = None) -> Examination:
        """Finds what the file alone shows.

        Raises:
            UsageError: it cannot be read, or has been compiled already.
        """
        from edgekit.converters.onnx import file as onnx_file
        from edgekit.errors import UsageError
        from edgekit.targets.onnx import classifier_findings
        from edgekit.targets.qnn.rules import findings

        path = Path(path)
        model = model or onnx_file.read(path)
        if any(node.kind == _CONTEXT for node in model.nodes):
            raise UsageError(
                f"{path} has been compiled for {self.title} already", cause=f"it holds {_CONTEXT}"
            )
        return Examination(path, model, (*classifier_findings(model), *findings(model)))

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns operators and the size of the context binary, by the compiler."""
        import tempfile

        from edgekit.targets.executions import ChipFigures
        from edgekit.targets.qnn.compiler import compile_file

        examined = self.examine_alone(path)
        with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
            free = replace(self.options, min_mapped=None)
            made = compile_file(TOOLCHAIN, examined.path, Path(scratch), free)
        return made.chip or ChipFigures()

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled:
        """Compiles the file to a context binary; see `edgekit.targets.qnn.compiler`."""
        from edgekit.targets.qnn.compiler import compile_file

        self.check_taken(examined)
        options = self.options_within(timeout_s)
        return compile_file(TOOLCHAIN, examined.path, Path(out_dir), options)
