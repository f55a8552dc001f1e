"""What compilers of NPUs made of a file, as a target reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.system.text import size
from edgekit.targets.base import Compiled, NothingMappedError
from edgekit.targets.executions import ChipFigures
from edgekit.targets.npus.mapping import NPUMapping


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
