"""Whether the modules of a toolchain can be imported in its Python."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.system import processes
from edgekit.targets.toolchains.work import child_environment

TIMEOUT_S = 300.0  # the first import of a large package reads all of its files from the disk
SAYS = "importing the module "
PROGRAM = f"""
import importlib, sys
for name in sys.argv[1:]:
    print("{SAYS}" + name, file=sys.stderr, flush=True)
    importlib.import_module(name)
"""


@dataclass(frozen=True)
class Broken:
    """A module that cannot be imported.

    Attributes:
        module: its name.
        cause: the last line of the error, or what ended the process.
    """

    module: str
    cause: str


def find_broken(
    python: Path, modules: Sequence[str], timeout_s: float = TIMEOUT_S
) -> Broken | None:
    """Imports modules in another Python; returns the first that fails."""
    try:
        ran = subprocess.run(  # noqa: S603 - a list, no shell
            [str(python), "-I", "-c", PROGRAM, *modules],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(python),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said, cause = error.stderr or b"", f"it did not end within {timeout_s:g} s"
    except OSError as error:
        return Broken(modules[0] if modules else "", f"{python}: {error.strerror}")
    else:
        if ran.returncode == 0:
            return None
        said = ran.stderr
        lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
        cause = lines[-1].strip()[:500] if lines else ""
        if ran.returncode < 0:
            cause = str(processes.died("while it was imported", ran.returncode, None).message)
    names = [
        line.removeprefix(SAYS)
        for line in said.decode(errors="replace").splitlines()
        if line.startswith(SAYS)
    ]
    return Broken(names[-1] if names else ", ".join(modules), cause)
