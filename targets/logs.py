"""What reads the logs of a target's compiler, for ``edgekit report``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogReader:
    """Reads logs and captured output of one compiler.

    Attributes:
        decode: the text of a file.
        is_log_line: whether a line of JSON is a line of a log.
        read: what a text says of each model, as JSON values: among them ``failure``, None where
            there is none, and ``mapped``, None where the text ends before its outcome. Nothing
            where no line is the compiler's.
        lines: what `read` says of one model, for a person.
    """

    decode: Callable[[bytes], str]
    is_log_line: Callable[[str], bool]
    read: Callable[[str], list[dict[str, Any]]]
    lines: Callable[[dict[str, Any]], list[str]]
