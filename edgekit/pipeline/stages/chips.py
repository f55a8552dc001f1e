"""The stages that run a file in a chip's own arithmetic, on a part of the validation photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.image_set import PhotoSet
from edgekit.data.images import Pixels
from edgekit.data.selection import evenly
from edgekit.errors import EdgekitError
from edgekit.pipeline.stage import FolderOf, hashed_as
from edgekit.pipeline.stages.evaluate import OnFile, classify, keep_outputs
from edgekit.runs import CHIP, LOGITS
from edgekit.runtimes.predict import predict_file
from edgekit.system.console import Progress
from edgekit.system.files import write_json
from edgekit.targets.executions import Execution
from edgekit.tasks.registry import find_task


@dataclass(frozen=True, eq=False, kw_only=True)
class OnPart(OnFile):
    """A stage that runs a file on a part of the validation photos, evenly spread.

    Attributes:
        limit: how many photos at the most.
    """

    limit: int

    def photos(self, of: FolderOf) -> PhotoSet:
        """The photos."""
        photos = self.converted.original.splits(of).val
        return photos.subset(evenly(len(photos), self.limit))

    def keep(self, folder: Path, outputs: NDArray[Any], of: FolderOf) -> str:
        """Keeps what the file answered for `photos`; returns a few words on it."""
        original, photos = self.converted.original, self.photos(of)
        if original.head == "none":
            outputs = classify(outputs, of(original.trained), original.task(of))
        kept = keep_outputs(folder, outputs, photos, original.preprocessing(of))
        return f"{kept} on {len(photos)} photos"


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluateReference(OnPart):
    """The int8 .tflite file in LiteRT's reference kernels, which chips are held against."""

    title = "evaluate reference kernels"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        path = of(self.converted) / self.converted.file
        preprocessing = self.converted.original.preprocessing(of)
        advance = partial(progress, "evaluate")
        outputs = predict_file(path, self.photos(of), preprocessing, 1, advance, "reference")
        return self.keep(folder, outputs, of)


def are_same(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the outputs of each photo are equal, bool [n]."""
    names = first.dtype.names
    parts = [(first[name], second[name]) for name in names] if names else [(first, second)]
    same = np.ones(len(first), np.bool_)
    for one, other in parts:
        same &= (one == other).reshape(len(first), -1).all(axis=1)
    return same


def _of_execution(execution: Execution) -> dict[str, Any]:
    tool = execution.toolchain
    return {
        "row": execution.row,
        "tool": f"{tool.package} {tool.version}",
        "requirements": tool.digest,
        **dict(execution.reads),
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulate(OnPart):
    """A file in a chip's own arithmetic.

    Attributes:
        execution: what runs it.
        reference: what it is held against where it claims to be exact.
    """

    execution: Execution = field(metadata=hashed_as(_of_execution))
    reference: EvaluateReference | None = None

    title = "run {0.execution.row}"

    @property
    def tools(self) -> tuple[str, ...]:
        """None of edgekit's own environment; the execution names its tool."""
        return ()

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        preprocessing = self.converted.original.preprocessing(of)
        photos = self.photos(of)
        pixels = np.stack([preprocessing.pixels(photos.load(k)) for k in range(len(photos))])
        path = of(self.converted) / self.converted.file
        answers = self.execution.run(path, pixels, partial(progress, self.execution.kind))
        outputs = find_task(preprocessing.task).keep(answers.outputs, preprocessing)
        difference = None
        if self.reference is not None:
            wanted = np.load(of(self.reference) / LOGITS, allow_pickle=False)
            difference = self._first_difference(path, pixels, wanted, outputs)
        write_json(
            folder / CHIP, {"figures": answers.figures.to_dict(), "first_difference": difference}
        )
        return self.keep(folder, outputs, of)

    def _first_difference(
        self, path: Path, pixels: Pixels, wanted: NDArray[Any], outputs: NDArray[Any]
    ) -> str | None:
        """The first operator that differs, on the first photo whose answer does; in words."""
        from edgekit.parity.first_difference import find_first_difference

        differing = np.flatnonzero(~are_same(wanted, outputs))
        if not len(differing):
            return None
        try:
            photo = pixels[differing[:1]]
            return str(find_first_difference(path, self.execution, photo[0]) or "none alone")
        except EdgekitError as error:  # a report that lacks an operator is better than none
            return f"unknown: {error.message}"
