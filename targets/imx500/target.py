"""The target of Sony's IMX500.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.targets.base import Compiled, Demand, Examination, Target
from edgekit.targets.imx500.options import ConverterOptions
from edgekit.targets.imx500.toolchain import TOOLCHAIN

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.files import Form, Source

#: By row of the report: the row and the stem of the file, and whether MCT is given the weights
#: of the quantized network (equalized, biases corrected), else the trained ones.
ROWS = {
    "w8a8-imx500": ("w8a8-mct", "w8a8-imx500", True),
    "w8a8-imx500-plain": ("w8a8-mct-plain", "w8a8-imx500-plain", False),
}


class IMX500Target(Target):
    """Raspberry Pi's AI Camera: MCT quantizes, Sony's converter packs."""

    name = "imx500"
    scheme = "w8a8-static"
    about = "Raspberry Pi AI Camera (Sony IMX500)"
    takes = "int8 .onnx (MCT)"
    ending = ".onnx"
    toolchains = (TOOLCHAIN,)
    compiler_options = ConverterOptions
    compiles = True

    @property
    def title(self) -> str:
        """What messages call it."""
        return "IMX500"

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns MCT's network of our corrected weights, which is compiled, and of plain ones."""
        from edgekit.targets.files import Form

        return tuple(
            Form(
                row=row,
                stem=stem,
                suffixes=(".onnx",),
                quantized=quantized,
                write=partial(_write, f"{stem}.onnx"),
                # The form of the input: bytes, the normalization within the first convolution.
                reads=(("imx500-converter", TOOLCHAIN.version), ("input", "bytes")),
                toolchain=TOOLCHAIN,
                is_hosted=False,
            )
            for row, stem, quantized in ROWS.values()
        )

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns MCT's own operators, in ONNX Runtime, on either file."""
        from edgekit.targets.executions import Execution
        from edgekit.targets.imx500.model import answer

        return tuple(
            Execution(
                row=row,
                of=file,
                runtime="MCT's quantizers in ONNX Runtime",
                kind="simulator",
                toolchain=TOOLCHAIN,
                run=answer,
                most=100,
            )
            for row, (file, *_) in ROWS.items()
        )

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds whether a file is one of MCT's, with the record of a build."""
        from edgekit.targets.imx500.model import read_record

        return Examination(Path(path), model or read_record(Path(path)), ())

    def demand(self, examined: Examination) -> Demand:
        """Returns the memory, by the converter.

        Raises:
            MissingToolError: the converter is not installed, or Java.
            CompileError: it does not take the file, or the network does not fit.
        """
        from edgekit.targets.imx500.compiler import convert

        memory = convert(examined.path, self.options, only_memory=True).memory
        line = f"memory: {memory}, by {TOOLCHAIN.title} {TOOLCHAIN.version}"
        return Demand((line,), {"memory": dict(memory.figures.memory), "fits": memory.fits})

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns the memory, by the converter."""
        from edgekit.targets.imx500.compiler import convert

        return convert(Path(path), self.options, only_memory=True).memory.figures

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled:
        """Converts the file; see `edgekit.targets.imx500.compiler`."""
        from edgekit.targets.imx500.compiler import compile_file

        self.check_taken(examined)
        options = self.options_within(timeout_s)
        return compile_file(examined.path, Path(out_dir), options)


def _write(name: str, source: Source, folder: Path) -> str:
    from edgekit.targets.imx500.model import write_quantized

    photos = source.calibration()
    return write_quantized(source.graph, source.preprocessing, photos, folder / name)
