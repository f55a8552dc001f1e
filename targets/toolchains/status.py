"""Whether a toolchain is installed, where, and what brings it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgekit.targets.toolchains.toolchain import MARKER, Toolchain, partial

BESIDE, OWN, OUTDATED, UNFINISHED, ABSENT = "beside", "own", "outdated", "unfinished", "no"
BROKEN = "broken"

#: For people.
WORDS = {
    BESIDE: "beside edgekit",
    OWN: "own environment",
    OUTDATED: "outdated",
    UNFINISHED: "unfinished",
    ABSENT: "not installed",
    BROKEN: "broken",
}


@dataclass(frozen=True)
class Status:
    """What there is of a toolchain.

    Attributes:
        name: of the toolchain.
        state: a key of `WORDS`.
        version: of the tool that runs, or that would be installed.
        disk_bytes: of its environment; None where it has none.
        why: it is outdated or broken.
        command: that installs it; None where it is ready.
    """

    name: str
    state: str
    version: str
    disk_bytes: int | None
    why: str | None
    command: str | None

    @property
    def is_ready(self) -> bool:
        """Whether it can be used."""
        return self.state in (BESIDE, OWN)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return asdict(self)


def status(toolchain: Toolchain, *, imported: bool = False) -> Status:
    """Looks at what is installed of a toolchain.

    Args:
        toolchain: to look at.
        imported: import its modules too, in its Python; it takes seconds.
    """
    state, why = _state(toolchain), toolchain.outdated
    command: str | None = f"edgekit toolchain install {toolchain.name}"
    if state in (BESIDE, OWN):
        why = command = None
        if imported:
            from edgekit.targets.toolchains.imports import find_broken

            if broken := find_broken(toolchain.python, toolchain.modules):
                command = _repair(toolchain, state)
                state, why = BROKEN, f"{broken.module} cannot be imported: {broken.cause}"
    disk = (toolchain.marker or {}).get("bytes")
    return Status(toolchain.name, state, toolchain.version, disk, why, command)


def _state(toolchain: Toolchain) -> str:
    if toolchain.is_beside_us:
        return BESIDE
    if toolchain.is_ready:
        return OWN
    if (toolchain.folder / MARKER).exists():
        return OUTDATED
    begun = toolchain.folder.exists() or partial(toolchain.folder).exists()
    return UNFINISHED if begun else ABSENT


def _repair(toolchain: Toolchain, state: str) -> str:
    if state == BESIDE:
        return f'pip install --force-reinstall "{toolchain.beside}"'
    name = toolchain.name
    return f"edgekit toolchain remove {name} && edgekit toolchain install {name}"
