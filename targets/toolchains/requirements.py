"""A requirements file with hashes, as pip's hash-checking mode reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PINNED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Requirement:
    """One package.

    Attributes:
        name: as indexes write it.
        version: exactly.
        hashes: SHA-256 of the wheels that may be installed.
        line: all of it, for pip.
    """

    name: str
    version: str
    hashes: frozenset[str]
    line: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def is_of(self, wheel: str) -> bool:
        """Whether a file name is that of one of its wheels."""
        name, _, rest = wheel.partition("-")
        return canonical(name) == self.name and rest.startswith(f"{self.version}-")


def read_requirements(path: Path) -> list[Requirement]:
    """Reads all packages of a file, in its order."""
    text = re.sub(r"(^|\s)#.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [
        Requirement(canonical(found["name"]), found["version"], frozenset(HASH.findall(line)), line)
        for line in lines
        if (found := PINNED.match(line))
    ]


def canonical(name: str) -> str:
    """Returns a distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
