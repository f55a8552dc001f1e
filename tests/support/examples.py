"""The examples in the README and in docs/: code blocks, and commands within sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from places import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        line: of the first line of its text.
    """

    page: Path
    language: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of a page in their order, of one language or of all."""
    text = page.read_text("utf-8")
    found = [
        Block(page, match[1], text[: match.start()].count("\n") + 2, match[2])
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every command, and where it is, without its comment.

    A block ``sh`` is a script; in a block ``console``, commands follow a prompt, and the rest is
    what they print.
    """
    for page in PAGES:
        for block in blocks(page):
            lines = block.text.replace("\\\n", " ").splitlines()
            if block.language == "console":
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            elif block.language != "sh":
                continue
            for line in lines:
                command = re.sub(r"(^|\s+)#.*$", "", line).strip()
                if command:
                    yield command, str(block)


def sentences(page: Path) -> Iterator[str]:
    """The code within the sentences of a page."""
    prose = _FENCE.sub("", page.read_text("utf-8"))
    for match in re.finditer(r"`([^`\n]+)`", prose):
        yield match[1].replace("\\|", "|")


def split(command: str) -> list[str]:
    """The words of a command, without variables in front of it."""
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words
