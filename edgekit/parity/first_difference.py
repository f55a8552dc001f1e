"""Finds the first operator at which an execution departs from LiteRT's reference kernels.

An execution answers for whole files alone. So the file is cut: the operators that lead to one of
them, and it, are a file whose answer is that operator's output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.converters.answer import answers_of
from edgekit.converters.tflite.file import Operator, TFLiteModel, parse, read_bytes
from edgekit.converters.tflite.slice import Slicer
from edgekit.data.images import Pixels
from edgekit.errors import EdgekitError, MissingToolError
from edgekit.runtimes.litert import LiteRT
from edgekit.system.paths import StrPath
from edgekit.targets.executions import Execution

#: Of reals that no integers stand for, relative.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class FirstDifference:
    """An operator whose output differs while all of its inputs are equal.

    Attributes:
        index: of the operator in the file.
        operator: its name, such as "CONV_2D".
        tensor: the name of its output.
        steps: the largest difference in steps of the output; 1 where that is float.
        differing: how many values differ.
        values: how many there are.
    """

    index: int
    operator: str
    tensor: str
    steps: int
    differing: int
    values: int

    def __str__(self) -> str:
        steps = f"{self.steps} step{'s' * (self.steps != 1)}"
        return (
            f"{self.index} {self.operator}, tensor {self.tensor}, by up to {steps} "
            f"in {self.differing:,} of {self.values:,} values"
        )


def find_first_difference(
    path: StrPath, execution: Execution, pixels: Pixels
) -> FirstDifference | None:
    """Finds where an execution of a .tflite file departs from LiteRT's reference kernels.

    It is a binary search over the operators in their order, repeated before an operator that has
    unequal inputs; a difference that later operators undo is not looked for.

    Args:
        path: of the file.
        execution: of such files; its answers for a part of the file are that part's output, flat.
        pixels: a photo on which its answer differs, uint8 [height, width, 3].

    Returns:
        The operator; None where the answers are equal, or differ on no part of the file alone.

    Raises:
        MissingToolError: the execution's toolchain is not installed.
        UsageError: the file cannot be read or cut.
        EdgekitError: LiteRT or the execution cannot run the file.
    """
    path = Path(path)
    contents = read_bytes(path)
    model = parse(contents, name=str(path))
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        search = _Search(contents, model, execution, pixels[None], Path(folder))
        return search.run(path)


class _Search:
    def __init__(
        self, contents: bytes, model: TFLiteModel, execution: Execution, batch: Pixels, folder: Path
    ) -> None:
        self.slicer, self.model = Slicer(contents), model
        self.execution, self.batch, self.folder = execution, batch, folder
        self.known: dict[int, FirstDifference | None] = {}
        self.refused: set[int] = set()  # operators with which a part cannot end

    def run(self, path: Path) -> FirstDifference | None:
        outputs = answers_of([self.model.tensors[index] for index in self.model.outputs])
        made = (self.model.producer(output.index) for output in outputs)
        ends = [op for op in made if op is not None]
        if len(ends) == 1 and self._compare(path, ends[0]) is None:
            return None
        wrong = [one for one in map(self._at, ends) if one is not None]
        found = min(wrong, key=lambda one: one.index) if wrong else None
        while found is not None:
            found = self._begin(self._before(found.index))
            earlier = [self._at(op) for op in self._tested(self.model.operators[found.index])]
            differing = [one for one in earlier if one is not None]
            if not differing:
                return found
            found = min(differing, key=lambda one: one.index)
        return None

    def _begin(self, path: list[Operator]) -> FirstDifference:
        """The first that differs, if all behind it do; of operators of which the last does."""
        equal, unequal = -1, len(path) - 1
        while unequal - equal > 1:
            middle = (equal + unequal) // 2
            differs = self._at(path[middle]) is not None
            if path[middle].index in self.refused:
                del path[middle]
                unequal -= 1
            elif differs:
                unequal = middle
            else:
                equal = middle
        found = self._at(path[unequal])
        assert found is not None  # noqa: S101 - the last one's is given
        return found

    def _before(self, index: int) -> list[Operator]:
        """The operators that lead to one, and it, in the order of execution."""
        wanted = {index}
        for op in reversed(self.model.operators[: index + 1]):
            if op.index in wanted:
                wanted |= {source.index for source in self._producers(op)}
        return [op for op in self.model.operators if op.index in wanted]

    def _producers(self, op: Operator) -> list[Operator]:
        """The operators that write its inputs."""
        found = (self.model.producer(tensor) for tensor in op.inputs)
        return [producer for producer in found if producer is not None]

    def _tested(self, op: Operator) -> Iterator[Operator]:
        """The nearest operators before one with which a part can end."""
        for producer in self._producers(op):
            self._at(producer)
            if producer.index in self.refused:
                yield from self._tested(producer)
            else:
                yield producer

    def _at(self, op: Operator) -> FirstDifference | None:
        """How the output of an operator differs; None where it does not, or cannot be had."""
        if op.index not in self.known:
            part = self.folder / "part.tflite"
            part.write_bytes(self.slicer.ending_at(op.index))
            try:
                self.known[op.index] = self._compare(part, op)
            except MissingToolError:
                raise
            except EdgekitError:  # a maker's compiler may refuse what is no whole network
                self.known[op.index] = None
                self.refused.add(op.index)
        return self.known[op.index]

    def _compare(self, path: Path, op: Operator) -> FirstDifference | None:
        """Runs a file that ends with an operator in both ways."""
        expected = LiteRT(path, kernels="reference").run(self.batch).reshape(-1)
        answers = self.execution.run(path, self.batch, lambda done, total: None)
        outputs = answers.outputs.reshape(-1)
        tensor = self.model.tensors[op.outputs[0]]
        if tensor.scale is None:
            steps = (~np.isclose(outputs, expected, rtol=TOLERANCE, atol=0)).astype(np.int64)
        else:
            steps = np.abs(np.rint((outputs - expected) / tensor.scale)).astype(np.int64)
        if not steps.any():
            return None
        return FirstDifference(
            index=op.index,
            operator=op.name,
            tensor=tensor.name,
            steps=int(steps.max()),
            differing=int(np.count_nonzero(steps)),
            values=steps.size,
        )
