"""Reads what Vela prints: why operators stay on the CPU, and its own list of operators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WARNING = re.compile(
    r"Warning \((?P<check>[^)]{1,60})\) operator: (?P<kind>\w+), ofm: '(?P<name>.*)'"
)
_REASON = "Reason: "
_COUNTS = re.compile(r"(CPU|NPU) operators = (\d+) \(")
_ROW = re.compile(r"\s+(CPU|NPU): (\w+) = (.*)")
_MEMORY = re.compile(r"Total (SRAM|DRAM|On-chip Flash|Off-chip Flash) used +([0-9.]{1,15}) KiB")
_FAILURE = re.compile(r"RuntimeError: (Compilation failed.*)")
_MEMORIES = {"On-chip Flash": "on-chip flash", "Off-chip Flash": "flash"}
_TITLE = "Network summary for "
#: Of lines that say something of the request as a whole.
_NOTE = "Warning: "


@dataclass(frozen=True)
class VelaLog:
    """What Vela printed.

    Attributes:
        network: its name; None where the text ends before that.
        reasons: why an operator stays on the CPU, by its kind and the name of its output.
        operators: Vela's own, after its rewriting: processor, kind and name of the output.
        mapped: how many of those run on the NPU; None where the text ends before that.
        on_cpu: how many do not.
        notes: its warnings about the request.
        memory: bytes, by the memory's name.
        failure: why it failed; None where it did not.
    """

    network: str | None
    reasons: Mapping[tuple[str, str], str]
    operators: tuple[tuple[str, str, str], ...]
    mapped: int | None
    on_cpu: int | None
    notes: tuple[str, ...]
    memory: Mapping[str, int]
    failure: str | None


def parse_log(text: str) -> VelaLog:
    """Reads what Vela printed; what it does not know of is passed over."""
    reasons: dict[tuple[str, str], str] = {}
    operators, notes = [], []
    counts: dict[str, int] = {}
    memory: dict[str, int] = {}
    network = failure = None
    key: tuple[str, str] | None = None
    for line in text.splitlines():
        if found := _WARNING.search(line):
            key = (found["kind"], found["name"])
        elif key and line.startswith(_REASON):
            reasons[key] = line.removeprefix(_REASON).strip()
        elif key and line.strip() and key in reasons:
            reasons[key] += f"; {line.strip()}"
        elif not line.strip():
            key = None
        elif line.startswith(_NOTE):
            notes.append(line.removeprefix(_NOTE).strip())
        elif line.startswith(_TITLE):
            network = line.removeprefix(_TITLE).strip()
        elif found := _COUNTS.match(line):
            counts[found[1]] = int(found[2])
        elif found := _ROW.match(line):
            operators.append((found[1], found[2], found[3].partition(" (outputs ")[0]))
        elif found := _MEMORY.match(line):
            memory[_MEMORIES.get(found[1], found[1])] = round(float(found[2]) * 1024)
        elif found := _FAILURE.match(line):
            failure = found[1]
    return VelaLog(
        network=network,
        reasons=reasons,
        operators=tuple(operators),
        mapped=counts.get("NPU"),
        on_cpu=counts.get("CPU"),
        notes=tuple(notes),
        memory=memory,
        failure=failure,
    )
