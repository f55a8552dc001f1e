"""What a target is: where a model is to run, what it accepts, and how it is compiled for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.converters.findings import Finding
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.system.paths import StrPath

if TYPE_CHECKING:
    from edgekit.options.build import BuildOptions
    from edgekit.targets.edgetpu.mapping import Prediction
    from edgekit.targets.files import Form

__all__ = ["Compiled", "Finding", "Target"]


@dataclass(frozen=True)
class Compiled:
    """What a target's compiler made.

    Attributes:
        model: the compiled file.
        log: what the compiler printed.
        mapped: how many operators run on the accelerator; None where the compiler does not say.
        on_cpu: how many stay on the CPU; likewise.
        details: further figures of the compiler as JSON values.
    """

    model: Path
    log: Path
    mapped: int | None
    on_cpu: int | None
    details: Mapping[str, Any] = field(default_factory=dict)


class Target(ABC):
    """A place where a model can run; a plug-in of the entry point group `edgekit.targets`.

    Attributes:
        name: what follows ``--target``.
        scheme: the quantization that it takes, such as "w8a8-static".
        accepts_mixed: whether it also takes files of that scheme with some layers in float.
        timeout_s: how many seconds its compiler may take.
    """

    name: ClassVar[str]
    scheme: ClassVar[str]
    accepts_mixed: ClassVar[bool] = False
    timeout_s: int = 180

    def prepare(self, graph: Graph) -> Graph:
        """Rewrites a network as the target wants it, before its ranges are chosen.

        Args:
            graph: float, prepared (`edgekit.networks.passes.prepare`).

        Returns:
            The same function in reals with the same weights; the same Graph where nothing is to be
            rewritten.

        Raises:
            UsageError: the target cannot run the network at this resolution.
        """
        return graph

    def advice(self, spec: ModelSpec, resolution: int) -> list[str]:
        """Returns what one should know before a variant is built for the target, a line each.

        Args:
            spec: the variant.
            resolution: side of its input in pixels.
        """
        return []

    @abstractmethod
    def check(self, path: StrPath) -> list[Finding]:
        """Returns what in the model file does not suit the target.

        Raises:
            UsageError: the file cannot be read.
        """

    def predict(self, path: StrPath) -> Prediction | None:
        """Returns what the target's compiler will make of the file; None where it has none.

        Raises:
            UsageError: the file cannot be read, or has been compiled already.
        """
        return None

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the files of its own that a build is to write and measure; TFLite's are always.

        Raises:
            MissingToolError: what writes or runs them is not installed.
        """
        return ()

    def command(self, path: StrPath, out_dir: StrPath) -> list[str] | None:
        """Returns the command that compiles ``path``; None where nothing is to be compiled."""
        return None

    def compile(self, path: StrPath, out_dir: StrPath) -> Compiled | None:
        """Compiles the model file into ``out_dir``; None where nothing is to be compiled.

        Raises:
            CompileError: the model does not suit the target, or its compiler failed.
            MissingToolError: the compiler is not installed.
        """
        return None
