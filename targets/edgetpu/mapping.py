"""Predicts what the Edge TPU compiler will make of a .tflite file: per operator, and as a whole.

The compiler is a TFLite delegate: it claims the operators that it supports, and TFLite's
partitioner joins them into subgraphs (tensorflow/lite/graph_info.cc). Only the first of these is
compiled, unless it is asked for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

from edgekit.converters.tflite.cost import macs
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.system.text import size
from edgekit.targets.edgetpu.memory import Memory, estimate_memory
from edgekit.targets.edgetpu.operators import not_seen
from edgekit.targets.edgetpu.rules import refusals, unmapped
from edgekit.targets.edgetpu.status import BEHIND, FAILED, MAPPED, MEANINGS

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
class Prediction:
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
    def on_tpu(self) -> int:
        """Operators on the Edge TPU."""
        return sum(op.is_mapped for op in self.operators)

    @property
    def not_seen(self) -> list[Predicted]:
        """Operators that count as mapped, though nothing shows it."""
        return [op for op in self.operators if not op.is_seen]

    @property
    def on_cpu(self) -> int:
        """Operators on the CPU."""
        return len(self.operators) - self.on_tpu

    @property
    def subgraphs(self) -> int:
        """Edge TPU subgraphs in the compiled file: 1, or 0 where nothing is mapped."""
        return int(self.on_tpu > 0)

    @property
    def first_blocking(self) -> Predicted | None:
        """The first operator that is left out for its own sake; None where all are mapped."""
        blocked = (op for op in self.operators if op.status not in (MAPPED, BEHIND, FAILED))
        return next(blocked, None)

    @property
    def share_of_operators(self) -> float:
        """Mapped operators among all, 0 to 1."""
        return self.on_tpu / len(self.operators) if self.operators else 0.0

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
            f"predicted: {self.on_tpu} of {len(self.operators)} operators mapped{unseen} in "
            f"{self.subgraphs} subgraph; {size(memory.parameter_bytes)} of parameters{streamed}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the prediction as JSON values; the keys are those of ``edgekit check --json``."""
        blocking = self.first_blocking
        return {
            "refused": list(self.refused),
            "operators_total": len(self.operators),
            "operators_on_tpu": self.on_tpu,
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


def predict(model: TFLiteModel) -> Prediction:
    """Predicts the mapping of a file that has not been compiled yet."""
    reasons = unmapped(model)
    refused = tuple(f"{finding.where}: {finding.message}" for finding in refusals(model))
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
    return Prediction(tuple(operators), refused, len(parts), memory)


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
