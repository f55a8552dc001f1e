"""What a target needs beyond edgekit itself, and whether that is installed."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from edgekit.system.host import installed
from edgekit.targets.toolchains.status import WORDS, status
from edgekit.targets.toolchains.toolchain import Toolchain


@dataclass(frozen=True)
class Need:
    """A maker's tool, a package or a program.

    Attributes:
        what: its name and, where it is known, its version.
        is_installed: whether it can be used.
        state: the same in words.
        command: what installs it; None where it is installed, or no command does.
    """

    what: str
    is_installed: bool
    state: str
    command: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return asdict(self)


def of_toolchain(toolchain: Toolchain) -> Need:
    """Returns a maker's tool as a need."""
    found = status(toolchain)
    state = f"{WORDS[found.state]} ({found.why})" if found.why else WORDS[found.state]
    return Need(f"{toolchain.title} {found.version}", found.is_ready, state, found.command)


def of_extra(extra: str, *packages: str) -> Need:
    """Returns the packages of an extra as a need."""
    there = all(find_spec(package) for package in packages)
    versions = ", ".join(f"{name} {installed(name) or ''}".strip() for name in packages)
    command = None if there else f'pip install "edgekit[{extra}]"'
    return Need(versions, there, _said(there), command)


def of_program(name: str, command: str | None = None) -> Need:
    """Returns a program as a need.

    Args:
        name: on PATH.
        command: what installs it.
    """
    there = shutil.which(name) is not None
    return Need(name, there, _said(there), None if there else command)


def _said(there: bool) -> str:
    return "installed" if there else "not installed"
