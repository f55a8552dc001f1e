"""Fills the texts that are deployed, so that no name in them can be taken for code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("files")


def render(name: str, record: dict[str, Any], folder: Path = FOLDER, **more: Any) -> bytes:
    """Fills a template with the values of ``model.json``.

    Args:
        name: of the template.
        record: what ``model.json`` holds.
        folder: of the template.
        more: further values, by name.
    """
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - sources and Markdown, with filters for names
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": markdown_code,
        "comment": comment,
        "kotlin": kotlin_string,
        "c": c_string,
        "f32": floats,
    }
    return environment.get_template(name).render(m=record, **more).encode()


def markdown_code(text: str) -> str:
    """A name as code in Markdown, on one line; what does not print becomes a question mark."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def comment(text: str) -> str:
    """A name within a comment of one line, which no backslash continues."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def kotlin_string(text: str) -> str:
    """A Kotlin string literal in ASCII."""
    return json.dumps(text).replace("$", "\\$").replace("\\f", "\\u000c")


def c_string(text: str) -> str:
    """A C string literal of the UTF-8 bytes; all but plain characters in octal."""
    data = text.encode("utf-8", "surrogateescape")
    plain = re.compile(r"[A-Za-z0-9 _.,:;+/-]")
    return '"' + "".join(chr(b) if plain.match(chr(b)) else f"\\{b:03o}" for b in data) + '"'


def floats(values: Sequence[float]) -> str:
    """Numbers as literals of 32-bit floats, in Kotlin and C++ alike, exact."""
    return ", ".join(f"{value:.9g}f" if _has_point(value) else f"{value:.1f}f" for value in values)


def _has_point(value: float) -> bool:
    """Whether the short form has a point or an exponent, without which C++ takes no ``f``."""
    return bool(set(f"{value:.9g}") & set(".e"))
