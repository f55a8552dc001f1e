"""What a user allows, and how much of it a candidate needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from edgekit.errors import UsageError
from edgekit.system.sizes import kibibytes
from edgekit.system.text import milliseconds
from edgekit.targets.base import Target
from edgekit.targets.executions import ChipFigures

#: Fields of `Limits` that are of a chip's memory; its name there is in `Target.memories`.
MEMORIES = ("sram", "flash")


@dataclass(frozen=True)
class Limits:
    """What is allowed; None where it does not matter.

    Attributes:
        latency: milliseconds of one inference.
        sram: bytes of working memory.
        flash: bytes of memory that is only read.
        size: bytes of the int8 file.
        max_drop: points of top-1 that a published int8 figure may be below float.

    Raises:
        UsageError: none is given, or one is not positive.
    """

    latency: float | None = None
    sram: int | None = None
    flash: int | None = None
    size: int | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        if all(value is None for value in given.values()):
            raise UsageError(
                "without a limit everything fits", hint="--latency, --sram, --flash or --size"
            )
        for name, value in given.items():
            if value is not None and value <= 0 and name != "max_drop":
                raise UsageError(f"--{name} {value} is not above 0")

    def check(self, target: Target) -> None:
        """Refuses limits that nothing is known of on a target.

        Raises:
            UsageError: there is one.
        """
        for name in MEMORIES:
            if getattr(self, name) is not None and name not in target.memories:
                raise UsageError(
                    f"--{name} is not for the target {target.name}",
                    cause="nothing says how much of it a file needs there",
                )


@dataclass(frozen=True)
class Need:
    """How much of a limit something needs.

    Attributes:
        limit: its name.
        needed: in the limit's unit; None where it is unknown.
        allowed: likewise.
    """

    limit: str
    needed: float | None
    allowed: float

    @property
    def ratio(self) -> float:
        """What is needed of what is allowed; infinite where it is unknown."""
        return float("inf") if self.needed is None else self.needed / self.allowed

    def __str__(self) -> str:
        allowed = _shown(self.limit, self.allowed)
        if self.needed is None:
            return f"its {TITLES[self.limit]} is not known"
        return f"{TITLES[self.limit]} {_shown(self.limit, self.needed)}, not {allowed}"


TITLES = {"latency": "latency", "sram": "SRAM", "flash": "flash", "size": "file"}


def _shown(limit: str, value: float) -> str:
    return f"{milliseconds(value)} ms" if limit == "latency" else kibibytes(value)


def find_needs(
    limits: Limits, size_bytes: int, found: ChipFigures, memories: Mapping[str, str]
) -> list[Need]:
    """Compares what a file needs with the limits.

    Args:
        limits: what is allowed.
        size_bytes: of the file.
        found: what it needs on the chip.
        memories: of the target.
    """
    return list(_needs(limits, size_bytes, found, memories))


def _needs(
    limits: Limits, size_bytes: int, found: ChipFigures, memories: Mapping[str, str]
) -> Iterator[Need]:
    if limits.size is not None:
        yield Need("size", size_bytes, limits.size)
    if limits.latency is not None:
        yield Need("latency", found.latency_ms, limits.latency)
    if limits.sram is not None:
        yield Need("sram", found.memory.get(memories["sram"]), limits.sram)
    if limits.flash is not None:
        # A model whose constants are in DRAM is copied there from a file in flash.
        yield Need("flash", found.memory.get(memories["flash"], size_bytes), limits.flash)
