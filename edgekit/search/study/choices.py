"""Choices of a space, and picks of them that together have every block of its networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

Value: TypeAlias = "int | float | bool | str"
Picks: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Choice:
    """Something that differs between the networks of a space.

    Attributes:
        name: ``stage2_kernel``.
        values: to choose from.
    """

    name: str
    values: tuple[Value, ...]


def cover_all(choices: Sequence[Choice]) -> Iterator[Picks]:
    """Every network, but for the depth: a deeper one has all blocks of those that are less deep."""
    free = [choice for choice in choices if choice.name != "depth"]
    deep: Picks = {c.name: c.values[-1] for c in choices if c.name == "depth"}
    for values in product(*(choice.values for choice in free)):
        yield {**deep, **{c.name: value for c, value in zip(free, values, strict=True)}}


def cover_stages(choices: Sequence[Choice]) -> Iterator[Picks]:
    """Picks in which every stage meets every combination of its values after either neighbour.

    A block depends on its stage's values and on the width of the stage before. Widths are picked
    alike in every other stage, so that each pair of them comes up between any two neighbours, and
    all stages go through their other values at the same time.
    """
    stages: dict[str, list[Choice]] = {}
    for choice in choices:
        stages.setdefault(choice.name.partition("_")[0], []).append(choice)
    widths = {choice.values for choice in choices if choice.name.endswith("_width")}
    (of_width,) = widths or {(1.0,)}
    others = [_others(own) for own in stages.values()]
    for odd, even in product(of_width, repeat=2):
        for turn in range(max(map(len, others))):
            picks: dict[str, Value] = {}
            for place, (stage, rows) in enumerate(zip(stages, others, strict=True)):
                picks |= rows[turn % len(rows)]
                if any(choice.name == f"{stage}_width" for choice in stages[stage]):
                    picks[f"{stage}_width"] = even if place % 2 else odd
            yield picks


def _others(choices: Sequence[Choice]) -> list[dict[str, Value]]:
    """All combinations of a stage's values but its width; as many blocks as it may have."""
    blocks = {c.name: c.values[-1] for c in choices if c.name.endswith("_blocks")}
    free = [c for c in choices if not c.name.endswith(("_blocks", "_width"))]
    return [
        {**blocks, **{c.name: value for c, value in zip(free, values, strict=True)}}
        for values in product(*(choice.values for choice in free))
    ]
