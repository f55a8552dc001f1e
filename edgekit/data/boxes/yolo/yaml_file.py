"""The few lines of a ``data.yaml`` that say where photos are and how classes are called.

A parser of YAML would be a dependency for five keys whose values are text and flat lists; what is
not of that form ends with a message, and other keys are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.data.label_files import decode_text
from edgekit.errors import UsageError

_KEY = re.compile(r"([A-Za-z_]+)\s*:(?:\s+(.*)|)$")
_KNOWN = ("path", "train", "val", "valid", "test", "names")
#: A quoted text, or anything up to a separator.
_TOKEN = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)"|([^,:\[\]{}]+?))\s*(?=[,:]|$)""")
_HINT = (
    "write 'names: [cat, dog]', or a line '0: cat' for each class below 'names:', and 'train:' and "
    "'val:' with a folder or a list of photos each"
)


class YoloYaml(NamedTuple):
    """What is read of the file.

    Attributes:
        names: of the classes, by index.
        path: what photos are relative to, as the file has it; '' without one.
        photos: by 'train', 'val' or 'test': folders, or lists of photos.
    """

    names: tuple[str, ...]
    path: str
    photos: dict[str, tuple[str, ...]]


def read_yolo_yaml(path: Path) -> YoloYaml:
    """Reads a file.

    Raises:
        UsageError: it has no names, or a value is neither text nor a flat list.
    """
    try:
        lines = re.split(r"\r\n|\r|\n", decode_text(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    values: dict[str, Any] = {}
    for number, key, text, below in _entries(lines):
        if key in _KNOWN:
            try:
                values["val" if key == "valid" else key] = _value(text, below)
            except ValueError as error:
                raise UsageError(
                    f"{path} cannot be used", cause=f"line {number}: {key}: {error}", hint=_HINT
                ) from error
    names = values.get("names", ())
    if isinstance(names, str) or not names:
        raise UsageError(f"{path} cannot be used", cause="it has no list of names", hint=_HINT)
    photos = {
        key: (found,) if isinstance(found, str) else tuple(found)
        for key in ("train", "val", "test")
        if (found := values.get(key))
    }
    base = values.get("path", "")
    return YoloYaml(tuple(names), base if isinstance(base, str) else "", photos)


def _entries(lines: Sequence[str]) -> Iterator[tuple[int, str, str, list[str]]]:
    """The keys at the margin, with what is behind and below each, and the lines' numbers."""
    found: list[tuple[int, str, str, list[str]]] = []
    for number, line in enumerate(lines, 1):
        text = _without_comment(line)
        key = _KEY.fullmatch(text)
        if key:
            found.append((number, key[1], (key[2] or "").strip(), []))
        elif found and text.strip():
            found[-1][3].append(text.strip())
    yield from found


def _without_comment(line: str) -> str:
    """The line up to a # that is at its beginning or behind a blank, and in no quotes."""
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (not place or line[place - 1] in " \t,[{:"):
            quote = character
        elif character == "#" and (not place or line[place - 1] in " \t"):
            return line[:place].rstrip()
    return line.rstrip()


def _value(text: str, below: Sequence[str]) -> str | list[str]:
    """Text, a list, or the values of a table whose keys are 0, 1, 2, …

    Raises:
        ValueError: it is something else.
    """
    if text[:1] in ("[", "{"):
        whole = " ".join([text, *below]).strip()
        if whole[-1:] != {"[": "]", "{": "}"}[text[0]]:
            raise ValueError("it does not end")
        inner = whole[1:-1].strip().rstrip(",")
        return _numbered(_flow(inner)) if text[0] == "{" else [one for one, _ in _flow(inner)]
    if text:
        return "" if text in ("null", "~") else _scalar(text)
    if all(line.startswith("- ") for line in below):
        return [_scalar(line[2:]) for line in below]
    pairs = []
    for line in below:
        key, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"'{line[:40]}' is neither an entry of a list nor of a table")
        pairs.append((_scalar(key), _scalar(value)))
    return _numbered(pairs)


def _flow(text: str) -> list[tuple[str, str]]:
    """The entries between brackets: (value, '') of a list, (key, value) of a table."""
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ValueError(f"'{text[place : place + 40]}' cannot be read")
        one, place = _text(token), token.end()
        other = ""
        if text[place : place + 1] == ":":
            token = _TOKEN.match(text, place + 1)
            if token is None:
                raise ValueError(f"'{text[place : place + 40]}' cannot be read")
            other, place = _text(token), token.end()
        found.append((one, other))
        place += 1
    return found


def _scalar(text: str) -> str:
    """Text as it is, or in quotes."""
    text = text.strip()
    token = _TOKEN.fullmatch(text) if text[:1] in ("'", '"') else None
    return _text(token) if token else text


def _text(token: re.Match[str]) -> str:
    single, double, plain = token.groups()
    if single is not None:
        return str(single).replace("''", "'")
    if double is not None:
        return re.sub(r"\\(.)", r"\1", double)
    return str(plain)


def _numbered(pairs: Sequence[tuple[str, str]]) -> list[str]:
    table = {int(key): value for key, value in pairs}
    if sorted(table) != list(range(len(pairs))):
        raise ValueError("classes are not numbered 0, 1, 2, …")
    return [table[number] for number in range(len(table))]
