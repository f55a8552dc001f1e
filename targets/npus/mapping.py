"""What a maker's compiler runs on its accelerator, and what it leaves to the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgekit.targets.prediction import Prediction


@dataclass(frozen=True)
class Operator:
    """An operator of a compiled model.

    Attributes:
        kind: as the compiler calls it.
        name: of the operator.
        why: what the compiler says of one that it leaves to the CPU.
    """

    kind: str
    name: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@dataclass(frozen=True)
class NPUMapping(Prediction):
    """Where each operator of a file runs, as the compiler itself has said.

    Attributes:
        by: the compiler and its version.
        on_npu: operators on the accelerator, in the order of the network.
        on_cpu: the others.
        counts: figures of the compiler, by name.
    """

    by: str
    on_npu: tuple[Operator, ...]
    on_cpu: tuple[Operator, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.mapped} operators mapped, {len(self.on_cpu)} on the CPU, by {self.by}"

    @property
    def mapped(self) -> int:
        """How many operators run on the accelerator."""
        return len(self.on_npu)

    @property
    def share_of_operators(self) -> float:
        """Mapped operators among all, 0 to 1."""
        return self.mapped / max(1, self.mapped + len(self.on_cpu))

    @property
    def obstacle(self) -> tuple[str | None, str | None]:
        """The first operator on the CPU; nothing is known that helps."""
        if not self.on_cpu:
            return None, None
        first, more = self.on_cpu[0], len(self.on_cpu) - 1
        others = f", and {more} more" if more else ""
        why = f" ({first.why.rstrip('.')})" if first.why else ""
        return f"{first} is on the CPU{why}{others}", None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "by": self.by,
            "mapped": self.mapped,
            "on_cpu": len(self.on_cpu),
            "operators": dict(Counter(one.kind for one in self.on_npu)),
            "operators_on_cpu": [asdict(one) for one in self.on_cpu],
            "figures": dict(self.counts),
        }

    def lines(self, every: bool) -> list[str]:
        """Returns it as a table; every operator, or kinds of them."""
        rows = list(self._rows(every))
        head = f"  {'operator':28} {'count':>6}  runs on"
        return [str(self), head, *rows, *(f"  {key}: {n:,}" for key, n in self.counts.items())]

    def _rows(self, every: bool) -> Iterator[str]:
        if every:
            yield from (f"  {one.kind:28} {1:>6}  NPU  {one.name}" for one in self.on_npu)
        else:
            for kind, count in Counter(one.kind for one in self.on_npu).items():
                yield f"  {kind:28} {count:>6}  NPU"
        for one in self.on_cpu:
            yield f"  {one.kind:28} {1:>6}  CPU  {one.name}{f': {one.why}' if one.why else ''}"
