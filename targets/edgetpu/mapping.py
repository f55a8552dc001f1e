"""Predicts what the Edge TPU compiler will make of a .tflite file: per operator, and as a whole.

The compiler is a TFLite delegate: it claims the operators that it supports, and TFLite's
partitioner joins them into subgraphs (tensorflow/lite/graph_info.cc). Only the first of these is
compiled, unless it is asked for all of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

from edgekit.converters.findings import ERROR, Finding
from edgekit.converters.tflite.cost import macs
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.system.text import size
from edgekit.targets.edgetpu.memory import Memory, estimate_memory
from edgekit.targets.edgetpu.operators import not_seen
from edgekit.targets.edgetpu.rules import check_edgetpu, unmapped
from edgekit.targets.edgetpu.status import BEHIND, FAILED, MAPPED, MEANINGS
from edgekit.targets.prediction import Prediction

NOT_SEEN = "not seen"  # how the reason of an operator begins that counts as mapped


@dataclass(frozen=True)
class Predicted:
    """One operator's fate.

    Attributes:
        status: the compiler's words (`edgekit.targets.edgetpu.status`).
        reason: what exactly keeps it off the Edge TPU, and what showed that; of a mapped operator,
            "not seen" and what nothing shows of it; else None.
        fix: what to do about it; likewise.
        macs: multiply-accumulates.
    """

    index: int
    name: str
    status: str
    reason: str | None
    fix: str | None
    macs: int

    @property
    def is_mapped(self) -> bool:
        """True when it runs on the Edge TPU."""
        return self.status == MAPPED

    @property
    def is_seen(self) -> bool:
        """False when it counts as mapped, though nothing shows that the compiler maps the like."""
        return not (self.is_mapped and self.reason)


@dataclass(frozen=True)
class MappingPrediction(Prediction):
    """What the compiler will make of a file.

    Attributes:
        operators: in the file's order.
        refused: why the compiler will refuse the file, or map nothing of it; empty where it won't.
        possible_subgraphs: how many Edge TPU subgraphs the file falls into; the compiler makes one
            of them, or all with ``--enable_multiple_subgraphs``.
        memory: of what is mapped.
    """

    operators: tuple[Predicted, ...]
    refused: tuple[str, ...]
    possible_subgraphs: int
    memory: Memory

    @cached_property
    def mapped(self) -> int:
        """Operators on the Edge TPU."""
        return sum(op.is_mapped for op in self.operators)

    @property
    def not_seen(self) -> list[Predicted]:
        """Operators that count as mapped, though nothing shows it."""
        return [op for op in self.operators if not op.is_seen]

    @property
    def on_cpu(self) -> int:
        """Operators on the CPU."""
        return len(self.operators) - self.mapped

    @property
    def subgraphs(self) -> int:
        """Edge TPU subgraphs in the compiled file: 1, or 0 where nothing is mapped."""
        return int(self.mapped > 0)

    @property
    def first_blocking(self) -> Predicted | None:
        """The first operator that is left out for its own sake; None where all are mapped."""
        blocked = (op for op in self.operators if op.status not in (MAPPED, BEHIND, FAILED))
        return next(blocked, None)

    @property
    def obstacle(self) -> tuple[str | None, str | None]:
        """Why the file is refused, else the first operator that is left out; and its fix."""
        blocking = self.first_blocking
        cause = f"{blocking.index} {blocking.name}: {blocking.reason}" if blocking else None
        return next(iter(self.refused), cause), blocking.fix if blocking else None

    @property
    def share_of_operators(self) -> float:
        """Mapped operators among all, 0 to 1."""
        return self.mapped / len(self.operators) if self.operators else 0.0

    @property
    def share_of_macs(self) -> float:
        """Multiply-accumulates of mapped operators among all, 0 to 1."""
        total = sum(op.macs for op in self.operators)
        mapped = sum(op.macs for op in self.operators if op.is_mapped)
        return mapped / total if total else self.share_of_operators

    def __str__(self) -> str:
        memory = self.memory
        streamed = f", {size(memory.streamed_bytes)} of them streamed" if not memory.fits else ""
        unseen = f" ({len(self.not_seen)} not seen before)" if self.not_seen else ""
        return (
            f"predicted: {self.mapped} of {len(self.operators)} operators mapped{unseen} in "
            f"{self.subgraphs} subgraph; {size(memory.parameter_bytes)} of parameters{streamed}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the prediction as JSON values; the keys are those of ``edgekit check --json``."""
        blocking = self.first_blocking
        return {
            "refused": list(self.refused),
            "operators_total": len(self.operators),
            "operators_on_tpu": self.mapped,
            "operators_on_cpu": self.on_cpu,
            "operators_not_seen": len(self.not_seen),
            "share_of_operators": self.share_of_operators,
            "share_of_macs": self.share_of_macs,
            "subgraphs": self.subgraphs,
            "possible_subgraphs": self.possible_subgraphs,
            "first_blocking": blocking.index if blocking else None,
            **self.memory.to_dict(),
            "operators": [asdict(op) for op in self.operators],
        }

    def lines(self, every: bool) -> list[str]:
        """Returns the table in the compiler's form, then what it adds up to."""
        blocking = self.first_blocking
        return [
            *(_every(self) if every else _by_kind(self)),
            "",
            f"mapped       {self.mapped} of {len(self.operators)} operators "
            f"({100 * self.share_of_operators:.1f} %), "
            f"{100 * self.share_of_macs:.1f} % of the MACs",
            *_not_seen(self),
            _subgraphs(self),
            "blocking     " + (f"{blocking.index} {blocking.name}" if blocking else "no operator"),
            *_memory(self.memory),
        ]


def predict(model: TFLiteModel) -> MappingPrediction:
    """Predicts the mapping of a file that has not been compiled yet."""
    return check_and_predict(model)[1]


def check_and_predict(model: TFLiteModel) -> tuple[list[Finding], MappingPrediction]:
    """Applies the rules once: what they find, and the mapping that follows."""
    reasons = unmapped(model)
    findings = check_edgetpu(model, reasons)
    refused = tuple(f"{f.where}: {f.message}" for f in findings if f.severity == ERROR)
    parts = partition(model, {op.index for op in model.operators} - reasons.keys())
    mapped = parts[0] if parts and not refused else frozenset()
    operators = []
    for op in model.operators:
        own = reasons.get(op.index)
        if own:
            why: tuple[str, str | None, str | None] = own.status, str(own), own.fix
        elif op.index in mapped:
            unknown = not_seen(model, op)
            why = MAPPED, f"{NOT_SEEN}: {unknown}" if unknown else None, None
        elif refused:
            why = FAILED, refused[0], MEANINGS[FAILED].fix
        else:
            why = BEHIND, MEANINGS[BEHIND].text, MEANINGS[BEHIND].fix
        operators.append(Predicted(op.index, op.name, *why, macs(model, op)))
    memory = estimate_memory(model, [op for op in model.operators if op.index in mapped])
    return findings, MappingPrediction(tuple(operators), refused, len(parts), memory)


def partition(model: TFLiteModel, supported: set[int]) -> list[frozenset[int]]:
    """Joins the supported operators into subgraphs, in the order in which they would run.

    TFLite collects in rounds: each takes all operators of one kind, supported or not, whose
    inputs are ready or become so within it. The kind of a round is that of the first operator
    that is ready.

    Args:
        model: the file.
        supported: operators that the delegate claims, by index.

    Returns:
        The supported rounds: operators by index.
    """
    makers = {tensor: op.index for op in model.operators for tensor in op.outputs}
    needs = [{makers[i] for i in op.inputs if i in makers} for op in model.operators]
    readers: dict[int, list[int]] = defaultdict(list)
    for index, own in enumerate(needs):
        for maker in own:
            readers[maker].append(index)
    waits = [len(own) for own in needs]
    ready: dict[bool, list[int]] = {True: [], False: []}  # heaps
    for index, count in enumerate(waits):
        if count == 0:
            heappush(ready[index in supported], index)
    parts = []
    while ready[True] or ready[False]:
        kind = bool(ready[True]) and (not ready[False] or ready[True][0] < ready[False][0])
        taken = []
        while ready[kind]:
            index = heappop(ready[kind])
            taken.append(index)
            for reader in readers[index]:
                waits[reader] -= 1
                if waits[reader] == 0:
                    heappush(ready[reader in supported], reader)
        if kind:
            parts.append(frozenset(taken))
    return parts


def _by_kind(prediction: MappingPrediction) -> list[str]:
    counts = Counter((op.name, op.status) for op in prediction.operators)
    return [
        f"{'Operator':<31}{'Count':<11}Status",
        "",
        *(f"{name:<31}{count:<11}{status}" for (name, status), count in sorted(counts.items())),
    ]


def _every(prediction: MappingPrediction) -> list[str]:
    return [
        f"{'':<6}{'Operator':<31}{'MACs':>14}  Status",
        "",
        *(f"{op.index:<6}{op.name:<31}{op.macs:>14,}  {op.status}" for op in prediction.operators),
    ]


def _not_seen(prediction: MappingPrediction) -> list[str]:
    """The operators that count as mapped though nothing shows it, the like in one line."""
    kinds = Counter((op.name, op.reason) for op in prediction.not_seen)
    count = len(prediction.not_seen)
    noun = "operator counts" if count == 1 else "operators count"
    head = f"not seen     {count} {noun} as mapped; no compiled file or log shows it"
    lines = [f"  {times} x {name}: {reason}" for (name, reason), times in sorted(kinds.items())]
    return [head, *lines] if count else []


def _subgraphs(prediction: MappingPrediction) -> str:
    more = prediction.possible_subgraphs
    if prediction.refused or more <= 1:
        return f"subgraphs    {prediction.subgraphs}"
    return (
        f"subgraphs    {prediction.subgraphs}; with "
        f"`edgekit compile --multiple-subgraphs` {more}, "
        "which is often slower than the CPU alone"
    )


def _memory(memory: Memory) -> list[str]:
    lines = [
        f"parameters   {size(memory.parameter_bytes)}: {size(memory.on_chip_bytes)} kept on the "
        f"chip, {size(memory.streamed_bytes)} streamed (an estimate)",
        f"activations  {size(memory.largest_activation_bytes)} at the largest operator",
    ]
    if memory.streamed_bytes:
        times = memory.streaming_ms()
        lines.append(
            f"streaming    at least {times['usb2']:.1f} ms per inference over USB 2, "
            f"{times['usb3']:.1f} ms over USB 3, {times['pcie']:.1f} ms over PCIe (an estimate)"
        )
    return lines
