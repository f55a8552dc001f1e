"""The target of ExecuTorch.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.targets.base import Demand, Examination, Target
from edgekit.targets.executorch.toolchain import TOOLCHAIN

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.files import Form, Source

ROW = "w8a8-executorch"
FORM = "w8a8-pte"
_STEM = "w8a8-static-xnnpack"


class ExecuTorchTarget(Target):
    """Phones and boards with ExecuTorch: the program is written for XNNPACK, and compiled there."""

    name = "executorch"
    scheme = "w8a8-static"
    accepts_mixed = True
    about = "Android, iOS and Arm boards with ExecuTorch (XNNPACK)"
    takes = "int8 .pte"
    ending = ".pte"
    toolchains = (TOOLCHAIN,)

    @property
    def title(self) -> str:
        """What messages call it."""
        return "ExecuTorch"

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the program with the network's own integers."""
        from edgekit.targets.files import Form

        return (
            Form(
                row=FORM,
                stem=_STEM,
                suffixes=(".pte",),
                quantized=True,
                write=_write,
                reads=(("executorch", TOOLCHAIN.version),),
                toolchain=TOOLCHAIN,
                is_hosted=False,
            ),
        )

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns the runtime itself, on this host."""
        from edgekit.targets.executions import Execution
        from edgekit.targets.executorch.program import answer

        return (
            Execution(
                row=ROW,
                of=FORM,
                runtime=f"ExecuTorch {TOOLCHAIN.version}, XNNPACK",
                kind="runtime",
                toolchain=TOOLCHAIN,
                run=answer,
            ),
        )

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds whether the runtime takes a .pte file, and whether the file is one of ours."""
        from edgekit.converters.findings import WARNING, Finding
        from edgekit.errors import UsageError
        from edgekit.targets.executorch.program import read_preprocessing

        path = Path(path)
        findings: tuple[Finding, ...] = ()
        try:
            model = read_preprocessing(path)
        except UsageError as error:
            fix = error.hint or ""
            findings = (Finding(WARNING, "record", "model", error.cause or error.message, fix),)
        return Examination(path, model, findings)

    def demand(self, examined: Examination) -> Demand | None:
        """Returns the size, and the time of a photo on this host; None for a file of others."""
        if examined.model is None:
            return None
        figures = self.estimate(examined.path)
        memory = dict(figures.memory)
        line = f"program: {memory['program']:,} bytes; {figures.latency_ms:.2f} ms for a photo, "
        values = {"memory": memory, "latency_ms": figures.latency_ms}
        return Demand((line + str(figures.latency_by),), values)

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns the time of a photo on this host, and the size of the file."""
        import numpy as np

        from edgekit.targets.executorch.program import answer, read_preprocessing

        path = Path(path)
        side = read_preprocessing(path).resolution
        return answer(
            path, np.zeros((10, side, side, 3), np.uint8), lambda done, total: None
        ).figures


def _write(source: Source, folder: Path) -> str:
    from edgekit.targets.executorch.program import write_program

    return write_program(source.graph, source.preprocessing, folder / f"{_STEM}.pte")
