"""The target of microcontrollers that run TensorFlow Lite Micro.

What it needs is imported where it is used: `edgekit --help` shows its options.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgekit.targets.base import Demand, Examination, Target
from edgekit.targets.tflm.toolchain import TOOLCHAIN

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.deploy.material import Material, Project
    from edgekit.targets.executions import ChipFigures, Execution


class TFLMTarget(Target):
    """Any microcontroller with TFLite Micro; nothing is compiled."""

    name = "tflm"
    scheme = "w8a8-static"
    inspected_schemes = ("w8a8-static",)
    about = "microcontrollers with TFLite Micro: Cortex-M, ESP32, RISC-V"
    toolchains = (TOOLCHAIN,)
    memories = MappingProxyType({"sram": "arena", "flash": "model"})
    about_project = "Write C++ sources for TFLite Micro: model, operators, labels, main.cc."

    @property
    def title(self) -> str:
        """What messages call it."""
        return "TFLite Micro"

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds operators that no resolver has, and what is not int8 throughout."""
        from edgekit.converters.tflite import file as tflite_file
        from edgekit.targets.tflm.rules import check

        model = model or tflite_file.read(path)
        return Examination(Path(path), model, tuple(check(model)))

    def demand(self, examined: Examination) -> Demand:
        """Returns the operators to register, and the memory as far as it is known."""
        from edgekit.targets.tflm.demand import find_demand

        return find_demand(examined.path, examined.model)

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns its own interpreter, with reference kernels, on the int8 file."""
        from edgekit.targets.executions import Execution
        from edgekit.targets.tflm.interpreter import answer

        return (
            Execution(
                row="w8a8-tflm",
                of="w8a8",
                runtime=f"TFLite Micro {TOOLCHAIN.version}",
                kind="interpreter",
                toolchain=TOOLCHAIN,
                run=answer,
                exact=True,
            ),
        )

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns the arena by its own interpreter, and the size of the file.

        Raises:
            MissingToolError: the interpreter is not installed.
            CompileError: it does not take the file.
            UsageError: the file cannot be read.
        """
        from edgekit.targets.executions import ChipFigures
        from edgekit.targets.tflm.interpreter import measure_memory

        path = Path(path)
        allocations = measure_memory(path)
        return ChipFigures(memory=allocations.to_memory(path.stat().st_size))

    def project(self, material: Material) -> Project:
        """Returns the model as a C array and what a program needs beside it.

        Raises:
            MissingToolError: the interpreter, which measures the arena, is not installed.
            CompileError: it does not take the file.
        """
        from edgekit.targets.tflm.project import make_project

        return make_project(material)
