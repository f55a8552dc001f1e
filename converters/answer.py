"""Which outputs of a model file are its answer: the first, or all where they are rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from edgekit.converters.classifier import End

    _End = TypeVar("_End", bound=End)


@dataclass(frozen=True)
class Rows:
    """Outputs that are rows, as many of each: numbers of the same places.

    Attributes:
        count: of rows.
        columns: of each output.
    """

    count: int
    columns: tuple[int, ...]

    def __str__(self) -> str:
        numbers = " and ".join(map(str, self.columns))
        return f"{numbers} numbers at each of {self.count} places"


def rows_of(outputs: Sequence[End]) -> Rows | None:
    """What several outputs [1, rows, columns] with one number of rows are; None of any others."""
    shapes = [output.shape or () for output in outputs]
    if len(shapes) < 2 or any(len(shape) != 3 or not _is_one(shape[0]) for shape in shapes):
        return None
    sizes = [size for shape in shapes for size in shape[1:]]
    found = [size for size in sizes if isinstance(size, int) and size > 0]
    counts = set(found[::2])
    if len(found) < len(sizes) or len(counts) != 1:
        return None
    return Rows(counts.pop(), tuple(found[1::2]))


def answers_of(outputs: Sequence[_End]) -> tuple[_End, ...]:
    """The outputs that are a file's answer, in its order.

    Of rows they are joined: all columns of the first output, then those of the next.
    """
    return tuple(outputs) if rows_of(outputs) else tuple(outputs[:1])


def _is_one(batch: int | str) -> bool:
    """Whether a first size is one photo, or left to the run."""
    return isinstance(batch, str) or batch == 1 or batch < 0
