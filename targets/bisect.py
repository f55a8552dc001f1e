"""Finds the operator at which a compiler begins to fail, by cutting the model shorter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.converters.tflite.slice import Slicer
from edgekit.system import files as atomic
from edgekit.system.paths import StrPath

Fails = Callable[[Path], bool]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Culprit:
    """The operator with which the shortest failing prefix of a model ends.

    Attributes:
        inputs: its tensors as text, such as "int8 [1, 56, 56, 24] (stem)"; constants among them.
        outputs: likewise.
        fails_alone: whether the compiler fails on the operator alone too.
        file: the smallest failing file.
    """

    index: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fails_alone: bool
    file: Path


@dataclass(frozen=True)
class Bisection:
    """What a search found.

    Attributes:
        fails: whether the whole file fails.
        operators: how many it has.
        culprit: None where the file does not fail, or fails in no part that can be cut out.
        doubt: why the outcome may mislead; None where nothing speaks against it.
        runs: how often the compiler was run.
    """

    fails: bool
    operators: int
    culprit: Culprit | None
    doubt: str | None
    runs: int


def bisect(path: StrPath, fails: Fails, out_dir: StrPath, note: Note = lambda _: None) -> Bisection:
    """Finds the shortest prefix of a model, in the order of execution, that fails.

    It is a binary search, so it takes for granted that whatever contains a failing prefix fails;
    `Bisection.doubt` says where that, or a repetition of the outcome, did not hold.

    Args:
        path: a .tflite file.
        fails: says whether the compiler fails on a file.
        out_dir: where the smallest failing file is kept, as NAME_failing.tflite.
        note: is told how the search goes.

    Raises:
        UsageError: the file cannot be read or cut.
    """
    path = Path(path)
    out_dir = Path(out_dir)
    model = tflite_file.read(path)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        search = _Search(path, Slicer(path.read_bytes()), fails, Path(folder), note)
        return search.run(model, out_dir)


class _Search:
    def __init__(self, path: Path, slicer: Slicer, fails: Fails, folder: Path, note: Note) -> None:
        self.path, self.slicer, self.fails = path, slicer, fails
        self.folder, self.note = folder, note
        self.runs = 0

    def run(self, model: TFLiteModel, out_dir: Path) -> Bisection:
        total = len(model.operators)
        if not self._fails(self.path.read_bytes(), "the whole file"):
            return Bisection(False, total, None, None, self.runs)
        if total == 0 or not self._prefix(total):
            reason = "the file fails, but its operators written to a new file do not"
            return Bisection(True, total, None, reason, self.runs)
        count = self._shortest(total)
        doubt = self._doubt(count)
        alone = self.slicer.cut(count - 1)
        fails_alone = self._fails(alone, f"operator {count - 1} alone")
        kept = out_dir / f"{self.path.stem}_failing.tflite"
        out_dir.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(kept, alone if fails_alone else self.slicer.prefix(count))
        culprit = _culprit(model, count - 1, fails_alone, kept)
        return Bisection(True, total, culprit, doubt, self.runs)

    def _shortest(self, failing: int) -> int:
        """How many operators the shortest failing prefix has, given the length of a failing one."""
        passing = 0
        while failing - passing > 1:
            middle = (passing + failing) // 2
            if self._prefix(middle):
                failing = middle
            else:
                passing = middle
        return failing

    def _doubt(self, count: int) -> str | None:
        """Tries the boundary once more, and prefixes that the search need not have tried."""
        if not self._prefix(count):
            return f"the first {count} operators failed once and passed once"
        if count < len(self.slicer) and not self._prefix(count + 1):
            return (
                f"the first {count + 1} operators pass, although the first {count} of them fail, "
                "so the failure may begin at other operators too"
            )
        for shorter in sorted({count - 1, count // 2} - {0, count}, reverse=True):
            if self._prefix(shorter):
                return (
                    f"the first {shorter} operators fail as well, so the failure does not begin "
                    f"at one operator, or does not repeat"
                )
        return None

    def _prefix(self, count: int) -> bool:
        return self._fails(self.slicer.prefix(count), f"the first {count} operators")

    def _fails(self, contents: bytes, what: str) -> bool:
        file = self.folder / self.path.name
        file.write_bytes(contents)
        self.runs += 1
        failed = self.fails(file)
        self.note(f"{what}: {'fails' if failed else 'passes'}")
        return failed


def _culprit(model: TFLiteModel, index: int, fails_alone: bool, file: Path) -> Culprit:
    operator = model.operators[index]
    inputs, outputs = (
        tuple(_describe(model.tensors[i]) for i in ends if i >= 0)
        for ends in (operator.inputs, operator.outputs)
    )
    return Culprit(index, operator.name, inputs, outputs, fails_alone, file)


def _describe(tensor: Tensor) -> str:
    constant = ", constant" if tensor.is_constant else ""
    return f"{tensor.dtype} {list(tensor.shape)} ({tensor.name}{constant})"
