"""What Vela maps of a file: which of its operators run on the NPU, and why others do not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from edgekit.converters.findings import ERROR, WARNING, Finding
from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.system.text import milliseconds
from edgekit.targets.ethosu.summary import figure_lines, memory_text
from edgekit.targets.executions import ChipFigures
from edgekit.targets.prediction import Prediction

UNEXPLAINED = "Vela does not say why"
NOTHING_MAPPED = "no operator of it runs on the NPU"
#: What to do, by the operator and words of Vela's reason; the first whose words are in both.
FIXES = (
    ("QUANTIZE", "", "a network with integer ends has none there: `edgekit build --io uint8`"),
    ("", "DataType Float", "quantize it to int8: `edgekit build` writes such a file"),
    ("", "DataType", "write it with int8 tensors"),
    ("", "opType", "write the network without this operator"),
    ("", "", "change what the reason names, or let the CPU compute it"),
)


@dataclass(frozen=True)
class Mapped:
    """An operator of the file.

    Attributes:
        index: in the file.
        name: its kind.
        output: the name of its first output.
        processor: "NPU" or "CPU".
        reason: of Vela's, why it is on the CPU; None on the NPU.
        fix: what to do about that; likewise.
    """

    index: int
    name: str
    output: str
    processor: str
    reason: str | None = None
    fix: str | None = None

    @property
    def is_mapped(self) -> bool:
        """Whether the NPU runs it."""
        return self.processor == "NPU"


def map_operators(
    model: TFLiteModel, compiled: TFLiteModel, reasons: Mapping[tuple[str, str], str]
) -> tuple[Mapped, ...]:
    """Says where the operators of a file run: those that are still in the compiled one on the CPU.

    Args:
        model: the file.
        compiled: what Vela made of it.
        reasons: of Vela's, by kind of operator and name of its output.
    """
    kept = Counter(_key(compiled, op) for op in compiled.operators)
    # Vela takes a fused activation for an operator of its own, which bears the output's name.
    by_output: dict[str, str] = {}
    for (_, output), reason in reasons.items():
        by_output.setdefault(output, reason)
    found = []
    for op in model.operators:
        key = _key(model, op)
        if not kept[key]:
            found.append(Mapped(op.index, op.name, key[1], "NPU"))
            continue
        kept[key] -= 1
        reason = reasons.get(key) or by_output.get(key[1]) or UNEXPLAINED
        found.append(Mapped(op.index, op.name, key[1], "CPU", reason, fix_for(op.name, reason)))
    return tuple(found)


def fix_for(name: str, reason: str) -> str:
    """Returns what to do about an operator that Vela leaves on the CPU for that reason."""
    return next(text for kind, words, text in FIXES if kind in name and words in reason)


def why_refused(operators: Sequence[Mapped]) -> tuple[str, ...]:
    """Says why nothing of a file is mapped; nothing where something is."""
    if any(op.is_mapped for op in operators):
        return ()
    reason = operators[0].reason if operators else "it has no operators"
    return (f"{NOTHING_MAPPED}: {reason}",)


def _key(model: TFLiteModel, op: Operator) -> tuple[str, str]:
    return op.name, model.tensors[op.outputs[0]].name if op.outputs else ""


@dataclass(frozen=True)
class VelaPrediction(Prediction):
    """What Vela has made of a file.

    Attributes:
        operators: in the file's order.
        refused: why nothing of the file is mapped; empty where something is.
        chip: what the model needs.
        figures: of the compiler, as JSON values.
        compiled: the compiled model's bytes.
        log: what Vela printed.
        summary: the text of Vela's table of figures.
    """

    operators: tuple[Mapped, ...]
    refused: tuple[str, ...]
    chip: ChipFigures
    figures: dict[str, Any]
    compiled: bytes = field(repr=False)
    log: str = field(repr=False)
    summary: str = field(repr=False)

    @cached_property
    def mapped(self) -> int:
        """Operators on the NPU."""
        return sum(op.is_mapped for op in self.operators)

    @property
    def on_cpu(self) -> int:
        """Operators on the CPU."""
        return len(self.operators) - self.mapped

    @property
    def share_of_operators(self) -> float:
        """Operators on the NPU among all, 0 to 1."""
        return self.mapped / len(self.operators) if self.operators else 0.0

    @property
    def obstacle(self) -> tuple[str | None, str | None]:
        """The first operator that is left out, and its fix."""
        left = next((op for op in self.operators if not op.is_mapped), None)
        return (f"{left.index} {left.name}: {left.reason}", left.fix) if left else (None, None)

    def findings(self) -> list[Finding]:
        """Returns what stays on the CPU, operators of one kind and reason together."""
        groups: dict[tuple[str, str, str], list[Mapped]] = {}
        for op in self.operators:
            if not op.is_mapped:
                alike = in_short(op.reason or "")
                groups.setdefault((op.name, alike, op.fix or ""), []).append(op)
        found = [
            Finding(
                WARNING,
                "on-cpu",
                f"{ops[0].index} {name}" + f" and {len(ops) - 1} more" * (len(ops) > 1),
                f"it stays on the CPU: {reason}",
                fix,
            )
            for (name, reason, fix), ops in groups.items()
        ]
        if self.refused:
            fix = self.obstacle[1] or ""
            found.insert(0, Finding(ERROR, "nothing-mapped", "model", self.refused[0], fix))
        return found

    def __str__(self) -> str:
        by = f"{self.mapped} of {len(self.operators)} operators on the NPU"
        return ", ".join([by, *self._needs()])

    def _needs(self) -> list[str]:
        needs = [memory_text(self.chip.memory)] if self.chip.memory else []
        if self.chip.latency_ms is not None:
            needs.append(f"{milliseconds(self.chip.latency_ms)} ms ({self.chip.latency_by})")
        return needs

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        return {
            "refused": list(self.refused),
            "operators_total": len(self.operators),
            "operators_on_npu": self.mapped,
            "operators_on_cpu": self.on_cpu,
            "share_of_operators": self.share_of_operators,
            "chip": self.chip.to_dict(),
            **self.figures,
            "operators": [asdict(op) for op in self.operators],
        }

    def lines(self, every: bool) -> list[str]:
        """Returns the table of operators, then the figures."""
        share = 100 * self.share_of_operators
        return [
            *(self._every() if every else self._by_kind()),
            "",
            f"NPU          {self.figures['accelerator']}, {self.figures['system_config']}, "
            f"{self.figures['memory_mode']}",
            f"on the NPU   {self.mapped} of {len(self.operators)} operators ({share:.1f} %), "
            f"{self.on_cpu} on the CPU",
            *figure_lines(self.figures),
        ]

    def _by_kind(self) -> list[str]:
        counts = Counter(
            (op.name, op.processor, in_short(op.reason or "")) for op in self.operators
        )
        rows = [
            f"{name:<31}{count:<8}{processor:<5}{reason}".rstrip()
            for (name, processor, reason), count in sorted(counts.items())
        ]
        return [f"{'Operator':<31}{'Count':<8}Processor", "", *rows]

    def _every(self) -> list[str]:
        rows = [
            f"{op.index:<6}{op.name:<26}{op.processor:<5}{op.output}  {op.reason or ''}".rstrip()
            for op in self.operators
        ]
        return [f"{'':<6}{'Operator':<26}{'':<5}Output", "", *rows]


def in_short(reason: str) -> str:
    """A reason without the tensor's name and the rule, so that the like are counted as one."""
    return re.sub(r"(DataType \w+) \(.*\)$", r"\1", reason.partition("; ")[0])
