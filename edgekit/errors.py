"""Every error that edgekit raises on purpose, each with its exit code.

EdgekitError            1  the run failed
├── DivergedError       1  a training's loss is no longer a number
├── UsageError          2  the request or its input cannot be used
├── MissingToolError    3  a tool or an optional extra is not installed
├── DeviceError         4  a device cannot be reached
├── GateError           5  an accuracy, latency or mapping gate is not met
└── CompileError        6  a target's compiler rejected the model

An interrupted run (Ctrl-C, SIGTERM) ends with 130.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

INTERRUPTED = 130


class EdgekitError(Exception):
    """A failure that the user can act on.

    Args:
        message: what went wrong, in one sentence.
        cause: why, as far as it is known.
        hint: what to try next.
    """

    exit_code = 1

    def __init__(self, message: str, *, cause: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error: {self.message}"]
        if self.cause:
            lines.append(f"cause: {self.cause}")
        if self.hint:
            lines.append(f"try:   {self.hint}")
        return "\n".join(lines)


class DivergedError(EdgekitError):
    """The loss of a training is no longer a number."""


class UsageError(EdgekitError):
    """The request, or a file or folder that it names, cannot be used."""

    exit_code = 2


class MissingToolError(EdgekitError):
    """An external program or an optional extra is not installed."""

    exit_code = 3


class DeviceError(EdgekitError):
    """A device cannot be reached or does not answer."""

    exit_code = 4


class GateError(EdgekitError):
    """A threshold that the user set is not met."""

    exit_code = 5


class CompileError(EdgekitError):
    """A target's compiler rejected the model."""

    exit_code = 6


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ``"did you mean 'b0'?"`` for a near miss, else the list of what is known."""
    names = sorted(known)
    near = {name: difflib.SequenceMatcher(None, word, name).ratio() for name in names}
    close = sorted((name for name in names if near[name] >= 0.4), key=lambda n: -near[n])[:3]
    if close:
        return "did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
    return "one of " + ", ".join(names)


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Returns a whole number, of Python or numpy, as an int.

    Raises:
        UsageError: it is a fraction, a truth value or no number, or less than ``least``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number", cause=f"it is {value!r}")
    if number < least:
        raise UsageError(f"{name} must be at least {least}", cause=f"it is {number}")
    return number
