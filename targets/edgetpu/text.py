"""Turns the bytes of a captured compiler output into lines, for any program that wrote it.

A capture may come from PowerShell (UTF-16), from a terminal (colours, lone carriage returns), from
a web page (no-break spaces), or consist of several of these.
"""

from __future__ import annotations

import codecs
import json
import re
from contextlib import suppress

# In this order, as the mark of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORDS = ("Edge TPU", "Compilation", "Mapped to")
# Of a terminal: colours and cursor movements, titles and links, and two-character commands.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[@-Z\\^_=>78])"
)
_MESSAGES = ("log", "message", "msg", "textPayload")
_INVISIBLE = {0: None, 0xFEFF: None, 0x200B: None, 0xA0: " ", 0x202F: " "}
_LINE_END = re.compile(r"\r\n|\r|\n")
_BEGINNING = "Edge TPU Compiler version"
# A time is no name: one has a letter, or the mark of BuildKit.
_NAME = re.compile(
    r"\s*(?:#\d+(?= )|\[[\w./-]*[A-Za-z][\w./-]*\]|[\w./-]*[A-Za-z][\w./-]*(?=[ ]*\||\t))"
)


def decode(data: bytes) -> str:
    """Returns the text of a file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if b"\0" not in data:
        return data.decode(marked or "utf-8", errors="replace").removeprefix("\ufeff")
    even, odd = data[::2].count(0), data[1::2].count(0)
    readings = [
        *([data.decode(marked, errors="replace")] if marked else []),
        data.decode("utf-16-be" if even > odd else "utf-16-le", errors="replace"),
        # Of a file to which two programs wrote, each in its encoding, what is ASCII remains.
        data.replace(b"\0", b"").decode("utf-8", errors="replace"),
    ]
    # The earlier one where they say the same.
    best = max(readings, key=lambda text: sum(text.count(word) for word in _WORDS))
    return best.replace("\0", "").removeprefix("\ufeff")


def clean_lines(text: str) -> list[str]:
    """Returns the lines of a text without what only a terminal or a browser reads."""
    lines = [part for line in _LINE_END.split(text) for part in _LINE_END.split(unpacked(line))]
    return [_ESCAPES.sub("", line).translate(_INVISIBLE) for line in lines]


def unpacked(line: str) -> str:
    """Returns what a line of JSON has for a message, as Docker's and cloud logs have; else it."""
    if line.lstrip("\ufeff ").startswith("{"):
        with suppress(ValueError, RecursionError):
            record = json.loads(line.strip("\ufeff "))
            found = [record[key] for key in _MESSAGES if isinstance(record.get(key), str)]
            return str(found[0]) if found else line
    return line


def split_streams(lines: list[str]) -> list[list[str]]:
    """Sorts the lines of programs that printed at once, where each line begins with a name.

    Containers (``name  | ``, ``[name] ``), steps of BuildKit (``#7 ``) and GNU parallel
    (``name<tab>``) put one before every line. All is one stream unless the compiler's first lines
    have different names.
    """
    keys = [match[0].strip() if (match := _NAME.match(line)) else "" for line in lines]
    if len({key for key, line in zip(keys, lines, strict=True) if _BEGINNING in line}) < 2:
        return [lines]
    streams: dict[str, list[str]] = {}
    for key, line in zip(keys, lines, strict=True):
        streams.setdefault(key, []).append(line)
    return list(streams.values())
