"""A maker's tool: an extra of edgekit where its pins fit, else an environment of its own."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from edgekit.errors import MissingToolError
from edgekit.system.files import read_json
from edgekit.system.host import installed

#: In an environment that is complete: what it was made from.
MARKER = "ready.json"


@dataclass(frozen=True)
class Program:
    """A program that a tool needs and that no Python package brings.

    Attributes:
        name: on PATH.
        hint: how it is installed.
    """

    name: str
    hint: str


@dataclass(frozen=True)
class Toolchain:
    """A maker's tool, as packages of PyPI.

    Attributes:
        name: what follows ``edgekit toolchain install``.
        title: in messages, such as "Arm's Vela".
        package: the distribution whose version is the tool's.
        modules: what must be importable for it.
        licence: by its name.
        requirements: the file with the exact version and the hashes of everything, a closed set.
        note: what may not be redistributed, or else is to be known before installation.
        extra: of edgekit, where its pins fit beside us; None: it needs its own environment.
        installed_mb: what its environment takes, about.
        download_mb: what is fetched for it, about.
        borrows: packages of edgekit's own environment that it sees too, such as torch.
        programs: what else it needs.
    """

    name: str
    title: str
    package: str
    modules: tuple[str, ...]
    licence: str
    requirements: Path
    note: str = ""
    extra: str | None = None
    installed_mb: int = 0
    download_mb: int = 0
    borrows: tuple[str, ...] = ()
    programs: tuple[Program, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its own environment is, or would be."""
        return toolchains_folder() / self.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the requirements."""
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    @property
    def pinned(self) -> str:
        """The version that the requirements ask for."""
        wanted = "[-_.]".join(map(re.escape, re.split("[-_.]+", self.package)))
        text = self.requirements.read_text("utf-8")
        found = re.search(rf"^{wanted}==([^\s;\\]+)", text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    @property
    def is_beside_us(self) -> bool:
        """Whether edgekit's own environment has it."""
        return self.extra is not None and all(find_spec(name) for name in self.modules)

    @property
    def is_ready(self) -> bool:
        """Whether its own environment is complete, and made from these requirements."""
        try:
            made_from = read_json(self.folder / MARKER)
        except (OSError, ValueError):
            return False
        return made_from.get("requirements_sha256") == self.digest and self._python.exists()

    @property
    def is_installed(self) -> bool:
        """Whether there is a Python that has it."""
        return self.is_beside_us or self.is_ready

    @property
    def version(self) -> str:
        """Of the tool that would run; what is pinned where there is none."""
        beside = installed(self.package) if self.is_beside_us else None
        return beside or self.pinned

    @property
    def python(self) -> Path:
        """The Python that has it.

        Raises:
            MissingToolError: none has.
        """
        if self.is_beside_us:
            return Path(sys.executable)
        if self.is_ready:
            return self._python
        raise self.missing()

    @property
    def _python(self) -> Path:
        windows = os.name == "nt"
        return self.folder / ("Scripts/python.exe" if windows else "bin/python")

    def missing(self) -> MissingToolError:
        """The error where it is not installed, with the command that installs it."""
        outdated = (self.folder / MARKER).exists()
        cause = "its environment is of another version of edgekit" if outdated else None
        install = f"edgekit toolchain install {self.name}"
        extra = f', or pip install "edgekit[{self.extra}]"' if self.extra else ""
        return MissingToolError(
            f"{self.title} is not installed", cause=cause, hint=f"{install}{extra}"
        )


def toolchains_folder() -> Path:
    """Where the environments are: EDGEKIT_TOOLCHAINS, or in the user's data folder."""
    if chosen := os.environ.get("EDGEKIT_TOOLCHAINS"):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("edgekit", appauthor=False) / "toolchains"
