"""Reads what Rockchip's compiler prints: operators, memory, messages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.targets.npus.mapping import NPUMapping, Operator

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
#: A row of its "Network Layer Information Table": ID, OpType, DataType, Target, …, cycles of DDR,
#: NPU and in all, for some chips the use of their multipliers, KB read and written, FullName.
_ROW = re.compile(
    r"^D RKNN: \[[\d:.]+\] +\d+ +(?P<kind>\S+) +(?P<dtype>\S+) +(?P<on>NPU|CPU|GPU) +.*? "
    r"(?:\d+/\d+/(?P<cycles>\d+) +)?(?:[\d.]+% +)?(?P<kb>[\d.]+|\\) +(?P<name>\S.*?) *$",
    re.MULTILINE,
)
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([\d.]+) ?KB")
_MEMORY_NAMES = {"Internal": "internal", "Weight": "weights"}
_MESSAGE = re.compile(
    r"^([EW]) (?:RKNN: \[[\d:.]+\] )?(?!rknn-toolkit2 version)(.+)$", re.MULTILINE
)
_SEVERITIES = {"E": "error", "W": "warning"}
_ENDS = ("InputOperator", "OutputOperator")


@dataclass(frozen=True)
class Message:
    """Something that the compiler says of a model.

    Attributes:
        severity: "error" or "warning", by the compiler's own letter: it goes on after errors too.
        text: what it says.
    """

    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"


@dataclass(frozen=True)
class CompilerLog:
    """What is read from a log.

    Attributes:
        mapping: where each operator runs.
        memory: bytes by what they are.
        messages: each once, errors first.
    """

    mapping: NPUMapping
    memory: dict[str, int]
    messages: tuple[Message, ...]


def read_log(text: str, by: str) -> CompilerLog:
    """Reads the log of a compilation.

    Args:
        text: all that was printed.
        by: the compiler and its version.
    """
    text = _COLOUR.sub("", text)
    rows = [row for row in _ROW.finditer(text) if row["kind"] not in _ENDS]
    operators = [(row["on"], Operator(row["kind"], row["name"].partition(":")[2])) for row in rows]
    cycles = sum(int(row["cycles"]) for row in rows if row["cycles"])
    memory = {
        _MEMORY_NAMES[what]: round(float(kilobytes) * 1024)
        for what, kilobytes in _MEMORY.findall(text)
    }
    mapping = NPUMapping(
        by,
        tuple(one for on, one in operators if on == "NPU"),
        tuple(one for on, one in operators if on != "NPU"),
        {"cycles": cycles} if cycles else {},
    )
    found = dict.fromkeys(
        (letter, " ".join(said.split())) for letter, said in _MESSAGE.findall(text)
    )
    messages = [Message(_SEVERITIES[letter], said) for letter, said in found]
    return CompilerLog(mapping, memory, tuple(sorted(messages, key=lambda one: one.severity)))
