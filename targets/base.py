"""What a target is: where a model is to run, what it accepts, and how it is compiled for it.

All that the core needs to know of a target is a member here, with a default.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.converters.findings import ERROR, Finding
from edgekit.errors import CompileError, UsageError

if TYPE_CHECKING:  # `edgekit --help` shows texts of targets, and shall load nothing heavy
    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.networks.efficientnet.spec import ModelSpec
    from edgekit.networks.graph import Graph
    from edgekit.options.build import BuildOptions
    from edgekit.system.paths import StrPath
    from edgekit.targets.delegates import DelegateLibrary
    from edgekit.targets.deploy.material import Material, Project
    from edgekit.targets.devices.hosts import Host
    from edgekit.targets.executions import ChipFigures, Execution
    from edgekit.targets.files import Form
    from edgekit.targets.logs import LogReader
    from edgekit.targets.needs import Need
    from edgekit.targets.prediction import Prediction
    from edgekit.targets.toolchains.toolchain import Toolchain

__all__ = [
    "Compiled",
    "Demand",
    "Examination",
    "Finding",
    "NothingMappedError",
    "Target",
    "option",
]

TIMEOUT_S = 180  # of a compiler


class NothingMappedError(CompileError):
    """The compiler ran, and left all of the model on the CPU."""


@dataclass(frozen=True)
class Examination:
    """A file that a target has read, parsed and checked, once.

    Attributes:
        path: of the file.
        model: what the target's reader makes of it.
        findings: what in it does not suit the target.
        prediction: what the compiler will make of it; None where the target has none.
    """

    path: Path
    model: Any
    findings: tuple[Finding, ...]
    prediction: Prediction | None = None

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Why the target does not take the file; empty where it does."""
        return tuple(finding for finding in self.findings if finding.severity == ERROR)


@dataclass(frozen=True)
class Demand:
    """What a file asks of a chip and of the program that runs it there, beside a compiler's share.

    Attributes:
        lines: for a person.
        values: the same as JSON values, by names of ``edgekit check --json``.
    """

    lines: tuple[str, ...]
    values: dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """What a target's compiler made of a file.

    Attributes:
        source: what was compiled.
        outputs: the compiled files; several where the model was split into segments.
        log: what the compiler printed.
        mapped: how many operators run on the accelerator.
        on_cpu: how many stay on the CPU.
        figures: of the compiler, as JSON values, for each part of the model.
        lines: all of it for a person, a line each.
        summary: the same in one line.
        predicted: how many operators our check expected it to map; None where it was not asked.
        chip: what it needs there, as far as the compiler says it.
    """

    source: Path
    outputs: tuple[Path, ...]
    log: Path
    mapped: int
    on_cpu: int
    figures: tuple[dict[str, Any], ...]
    lines: tuple[str, ...]
    summary: str
    predicted: int | None = None
    chip: ChipFigures | None = None

    @property
    def model(self) -> Path:
        """The first compiled file."""
        return self.outputs[0]

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        return {
            "input": str(self.source),
            "outputs": [str(path) for path in self.outputs],
            "log": str(self.log),
            "mapped": self.mapped,
            "on_cpu": self.on_cpu,
            "compiler": list(self.figures),
        }


def option(
    default: Any,
    help: str,
    metavar: str | None = None,
    *,
    name: str | None = None,
    separator: str | None = None,
) -> Any:
    """Declares a field of a target's ``compiler_options``, and the option of ``edgekit compile``.

    Args:
        default: of the field; the option shows it where it is a number.
        help: of the option.
        metavar: how its value is called.
        name: of the option, where it is not that of the field.
        separator: of the values that one option holds.
    """
    meta = {"help": help, "metavar": metavar, "name": name, "separator": separator}
    return dataclasses.field(default=default, metadata=meta)


class Target(ABC):
    """A place where a model can run; a plug-in of the entry point group `edgekit.targets`.

    Attributes:
        name: what follows ``--target``.
        scheme: the quantization that it takes, such as "w8a8-static".
        accepts_mixed: whether it also takes files of that scheme with some layers in float.
        prepares: whether `prepare` rewrites networks.
        inspected_schemes: of .tflite files that ``edgekit inspect`` shows its findings on.
        custom_operator: what its compiler leaves in a .tflite file in the place of all that it
            maps; a file that holds one is compiled for the target.
        about: a line for ``edgekit targets``: the chips.
        takes: the files that it takes, in words.
        ending: of those files.
        toolchains: makers' tools that it uses, the one that compiles first.
        compiler_options: a frozen dataclass of `option` fields; None where it has none. They are
            options of ``edgekit compile`` and ``check``, and of a build by ``--target-option``.
        compiles: whether `compile_files` is for it.
        made_ending: what its compiler puts behind the name of a file; empty where it does not.
        memories: what limits of ``sram`` and ``flash`` are about, by the names of `ChipFigures`.
        delegate: what hands a compiled file's operators to it; ``--delegate`` calls it like the
            target.
    """

    name: ClassVar[str]
    scheme: ClassVar[str]
    accepts_mixed: ClassVar[bool] = False
    prepares: ClassVar[bool] = False
    inspected_schemes: ClassVar[tuple[str, ...]] = ()
    custom_operator: ClassVar[str | None] = None
    about: ClassVar[str] = ""
    takes: ClassVar[str] = "int8 .tflite"
    ending: ClassVar[str] = ".tflite"
    toolchains: ClassVar[tuple[Toolchain, ...]] = ()
    compiler_options: ClassVar[type[Any] | None] = None
    compiles: ClassVar[bool] = False
    made_ending: ClassVar[str] = ""
    memories: ClassVar[Mapping[str, str]] = {}
    delegate: ClassVar[DelegateLibrary | None] = None
    #: What ``edgekit check --help`` says of it.
    about_check: ClassVar[str] = ""
    #: What ``edgekit deploy --help`` says of `project`; empty where it has no sources.
    about_project: ClassVar[str] = ""

    def __init__(self, options: Any = None) -> None:
        """Makes the target.

        Args:
            options: of the class `compiler_options`; its defaults unless given.
        """
        self.options = (
            self.compiler_options() if options is None and self.compiler_options else options
        )

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name

    def needs(self) -> tuple[Need, ...]:
        """Returns what it needs beyond edgekit itself, for ``edgekit targets``."""
        from edgekit.targets.needs import of_toolchain

        return tuple(map(of_toolchain, self.toolchains))

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

    def costs(self, spec: ModelSpec) -> dict[str, Any] | None:
        """Returns what a variant costs on the target, as JSON values; None where it cannot say."""
        return None

    def costs_table(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Returns `costs` of several variants as lines."""
        return [str(row) for row in rows]

    @abstractmethod
    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Reads and checks a file, and predicts what the compiler will make of it.

        Args:
            path: of the file.
            model: what the target's reader makes of it, where it has been read already.

        Raises:
            UsageError: the file cannot be read, or has been compiled already.
        """

    def demand(self, examined: Examination) -> Demand | None:
        """Returns what ``edgekit check`` says beside the prediction; None where that is all."""
        return None

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the files of its own that a build is to write and measure; TFLite's are always.

        Raises:
            MissingToolError: what writes or runs them is not installed.
        """
        return ()

    def executions(self, options: BuildOptions) -> tuple[Execution, ...]:
        """Returns how the chip's own arithmetic runs files of a build, a row of the report each.

        Nothing is demanded of a toolchain here: a build leaves out those whose toolchain is not
        installed, and says so.
        """
        return ()

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns what a file needs on the chip, by its compiler or its runtime.

        Raises:
            UsageError: nothing can say it for this target.
            MissingToolError: what says it is not installed.
            CompileError: the file does not suit the target.
        """
        raise UsageError(f"nothing estimates what a file needs on the target {self.name}")

    def command(
        self, path: StrPath, out_dir: StrPath, timeout_s: int | None = None
    ) -> list[str] | None:
        """Returns the command that compiles ``path``; None where nothing is to be compiled."""
        return None

    def options_within(self, timeout_s: int | None) -> Any:
        """Returns its options with that many seconds for the compiler; its own where None."""
        return self.options if timeout_s is None else replace(self.options, timeout_s=timeout_s)

    def compile(
        self, examined: Examination, out_dir: StrPath, timeout_s: int | None = None
    ) -> Compiled | None:
        """Compiles an examined file into ``out_dir``; None where nothing is to be compiled.

        Args:
            examined: the file.
            out_dir: where the results and the log go.
            timeout_s: seconds for the compiler; by default what the target's options say.

        Raises:
            CompileError: the model does not suit the target, or its compiler failed.
            MissingToolError: the compiler is not installed.
        """
        return None

    def examine_alone(self, path: StrPath, model: Any = None) -> Examination:
        """Examines a file as `examine` does, without running a compiler for it."""
        return self.examine(path, model)

    def compile_files(
        self,
        paths: Sequence[StrPath],
        out_dir: StrPath,
        options: Any,
        host: Host | None = None,
        force: bool = False,
    ) -> Sequence[Compiled]:
        """Compiles files as ``edgekit compile`` asks for it; by default one by one, by `compile`.

        Args:
            paths: files that are not compiled yet.
            out_dir: where the results and the logs go.
            options: of the class `compiler_options`.
            host: where the compiler runs; on this machine by default.
            force: compile even what the compiler is expected to refuse.

        Raises:
            CompileError: as `compile`, or a rule of the target is broken.
            DeviceError: the connection to the host died.
            MissingToolError: the compiler is not there.
            UsageError: a file cannot be read, is compiled already, or shares its name with another;
                or the compiler runs on this machine alone.
        """
        from edgekit.targets.devices.hosts import LocalHost

        if host is not None and not isinstance(host, LocalHost):
            raise UsageError(
                f"the compiler of {self.title} runs on this machine alone",
                hint="leave --compile-host out",
            )
        stems = [Path(path).stem for path in paths]
        if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
            raise UsageError(f"two files are called {twice}", hint="compile them into two folders")
        target = type(self)(options)
        files = [target.examine_alone(path) for path in paths]
        if force:  # what has no findings is refused nowhere
            files = [replace(examined, findings=()) for examined in files]
        for examined in files:
            self.check_taken(examined)
        made = (target.compile(examined, out_dir) for examined in files)
        return [one for one in made if one is not None]

    def check_taken(self, examined: Examination) -> None:
        """Raises CompileError where a file breaks a rule of the target."""
        if examined.refusals:
            raise CompileError(
                f"{examined.path} cannot be compiled for {self.title}",
                cause="; ".join(f"{f.where}: {f.message}" for f in examined.refusals),
                hint=examined.refusals[0].fix,
            )

    def project(self, material: Material) -> Project:
        """Writes sources with which a program on the chip runs a model, where it has some.

        Raises:
            CompileError: the model does not suit the target.
            MissingToolError: what measures it for the sources is not installed.
        """
        raise NotImplementedError

    def source_of(self, path: StrPath) -> Path | None:
        """Returns the file that a compiled one was made from, where it is beside it."""
        path = Path(path)
        source = path.with_name(path.stem.removesuffix(self.made_ending) + self.ending)
        is_made = self.made_ending and path.stem.endswith(self.made_ending)
        return source if is_made and source.is_file() else None

    def describe_compiled(self, model: TFLiteModel) -> dict[str, Any] | None:
        """Returns what a compiled file is, as JSON values; None of any other file."""
        return None

    def compiled_lines(self, described: dict[str, Any]) -> list[str]:
        """Returns what `describe_compiled` found as lines."""
        return [f"{key}: {value}" for key, value in described.items()]

    def log_reader(self) -> LogReader | None:
        """Returns what reads the logs of its compiler; None where it has none."""
        return None
