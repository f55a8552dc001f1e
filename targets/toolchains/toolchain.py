"""A maker's tool: an extra of edgekit where its pins fit, else an environment of its own."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekit.errors import MissingToolError
from edgekit.system.host import installed
from edgekit.system.records import decode_record
from edgekit.targets.toolchains.requirements import canonical, read_requirements

#: In an environment that is complete: what it was made from.
MARKER = "ready.json"
#: In an environment: what edgekit's own lends it.
BORROWED = "borrowed"


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
        extra: of edgekit, or ``PACKAGE[EXTRA]`` of another package, where its pins fit beside us;
            None: it needs its own environment.
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
        wanted = canonical(self.package)
        rows = read_requirements(self.requirements)
        return next((row.version for row in rows if row.name == wanted), "")

    @property
    def beside(self) -> str:
        """What pip installs beside edgekit."""
        return self.extra if self.extra and "[" in self.extra else f"edgekit[{self.extra}]"

    @property
    def is_beside_us(self) -> bool:
        """Whether edgekit's own environment has it."""
        return self.extra is not None and all(map(_is_found, self.modules))

    @property
    def is_ready(self) -> bool:
        """Whether its own environment is complete, and made from these requirements."""
        return self.marker is not None and not self.outdated and self._python.exists()

    @property
    def marker(self) -> dict[str, Any] | None:
        """What its own environment was made from; None where it is not complete."""
        with suppress(OSError, ValueError):
            return decode_record((self.folder / MARKER).read_bytes(), dict[str, Any])
        return None

    @property
    def outdated(self) -> str | None:
        """Why its own environment is complete and yet not to be used; None where that is not so."""
        made_from = self.marker
        if made_from is None:
            return None
        if made_from.get("requirements_sha256") != self.digest:
            return "its environment is of another version of edgekit"
        borrowed = made_from.get("borrowed", {})
        if borrowed and made_from.get("python") != this_python():
            return f"it borrows packages of Python {this_python()}, and has another one"
        for name, version in borrowed.items():
            if (now := installed(name)) != version:
                return f"it was made with {name} {version}, and edgekit has {now or 'none'}"
        places = list((self.folder / BORROWED).glob("*"))
        if borrowed and not (places and all(place.exists() for place in places)):
            return "what it borrows has moved"
        return None

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
        return python_in(self.folder)

    def missing(self) -> MissingToolError:
        """The error where it is not installed, with the command that installs it."""
        install = f"edgekit toolchain install {self.name}"
        extra = f', or pip install "{self.beside}"' if self.extra else ""
        return MissingToolError(
            f"{self.title} is not installed", cause=self.outdated, hint=f"{install}{extra}"
        )


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what it is in
        return False


def partial(environment: Path) -> Path:
    """Where the wheels of an environment are until it is complete."""
    return environment.with_name(environment.name + ".partial")


def python_in(environment: Path) -> Path:
    """The Python of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def packages_in(environment: Path) -> Path:
    """Where the packages of an environment of this Python are."""
    folder = "Lib" if os.name == "nt" else f"lib/python{this_python()}"
    return environment / folder / "site-packages"


def this_python() -> str:
    """The release of the Python that edgekit runs on, such as 3.11."""
    return ".".join(map(str, sys.version_info[:2]))


def toolchains_folder() -> Path:
    """Where the environments are: EDGEKIT_TOOLCHAINS, or in the user's data folder."""
    if chosen := os.environ.get("EDGEKIT_TOOLCHAINS"):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("edgekit", appauthor=False) / "toolchains"
