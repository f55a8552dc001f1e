"""What compilers of NPUs made of a file, as a target reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import CompileError, UsageError
from edgekit.system.text import size
from edgekit.targets.base import Compiled, Examination, NothingMappedError
from edgekit.targets.executions import ChipFigures
from edgekit.targets.npus.mapping import NPUMapping

if TYPE_CHECKING:
    from edgekit.targets.devices.hosts import Host


def check_request(title: str, files: Sequence[Examination], host: Host | None, force: bool) -> None:
    """Raises where files cannot be compiled as asked.

    Args:
        title: of the target.
        files: to be compiled.
        host: where; only this machine can.
        force: compile even what is expected to be refused.

    Raises:
        CompileError: a rule of the target is broken.
        UsageError: two files share their name, or another host is asked for.
    """
    from edgekit.targets.devices.hosts import LocalHost

    if host is not None and not isinstance(host, LocalHost):
        raise UsageError(
            f"{title}'s compiler runs on this machine only", hint="leave --compile-host out"
        )
    stems = [examined.path.stem for examined in files]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise UsageError(f"two files are called {twice}", hint="compile them into two folders")
    for examined in [] if force else files:
        if examined.refusals:
            raise CompileError(
                f"{examined.path} cannot be compiled for {title}",
                cause="; ".join(f"{f.where}: {f.message}" for f in examined.refusals),
                hint=examined.refusals[0].fix,
            )


def make_compiled(
    source: Path,
    outputs: Sequence[Path],
    log: Path,
    mapping: NPUMapping,
    figures: Mapping[str, Any],
    chip: ChipFigures,
    messages: Sequence[str] = (),
) -> Compiled:
    """Returns the record of a compiled file.

    Args:
        source: what was compiled.
        outputs: what was made.
        log: of the compiler.
        mapping: where each operator runs.
        figures: of the compiler, as JSON values.
        chip: what the file needs there.
        messages: of the compiler, for a person.

    Raises:
        NothingMappedError: all of the model stays on the CPU.
    """
    if not mapping.mapped:
        raise NothingMappedError(
            f"{source} stays on the CPU", cause=mapping.obstacle[0], hint=f"see {log}"
        )
    made = [f"  {path}  {size(path.stat().st_size)}" for path in outputs]
    said = [f"  {message}" for message in messages]
    memory = ", ".join(f"{name} {size(count)}" for name, count in chip.memory.items())
    return Compiled(
        source=source,
        outputs=tuple(outputs),
        log=log,
        mapped=mapping.mapped,
        on_cpu=len(mapping.on_cpu),
        figures=({**figures, **mapping.to_dict()},),
        lines=(str(source), *mapping.lines(False), f"  {memory}", *said, *made),
        summary=f"{source.name}: {mapping}; {memory}",
        chip=chip,
    )
