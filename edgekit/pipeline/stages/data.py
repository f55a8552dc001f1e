"""The photos of a run: found, read, and divided into training, validation and calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.data.splits import Wanted
from edgekit.data.unlabelled import fingerprint_unlabelled, load_unlabelled
from edgekit.pipeline.stage import FolderOf, Stage, hashed_as
from edgekit.runs import SPLITS, UNLABELLED
from edgekit.system.console import Progress
from edgekit.system.files import write_json
from edgekit.system.memory import return_freed_memory
from edgekit.tasks.registry import find_task


@dataclass(frozen=True)
class Sources:
    """Where a task's photos are; without ``data``, they are the built-in ones.

    ``photos`` is the folder of the photos where ``data`` is a file of their annotations.
    """

    data: str | None = None
    val: str | None = None
    calibration: str | None = None
    unlabelled: str | None = None
    task: str = DEFAULT_TASK
    photos: str | None = None

    def state(self) -> tuple[str, str | None]:
        """What tells these photos from others, without reading them.

        Raises:
            UsageError: there are none.
        """
        labelled = find_task(self.task).fingerprint(self.wanted())
        return labelled, fingerprint_unlabelled(self.unlabelled) if self.unlabelled else None

    def wanted(self, **more: Any) -> Wanted:
        """What is asked of the task, with other fields of `Wanted`."""
        return Wanted(self.data, self.val, self.calibration, photos=self.photos, **more)


@dataclass(frozen=True, eq=False, kw_only=True)
class Data(Stage):
    """Finds, reads and divides the photos.

    Attributes:
        sources: where they are.
        calibration_count: how many training photos calibrate.
        seed: of everything random in the run.
        resolution: side of the built-in photos, which are drawn at the network's; None for others.
    """

    sources: Sources = field(metadata=hashed_as(Sources.state))
    calibration_count: int
    seed: int
    resolution: int | None

    title = "data"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        given = self.sources
        wanted = given.wanted(
            calibration_count=self.calibration_count,
            seed=self.seed,
            progress=progress,
            builtin_resolution=self.resolution or 0,  # only the built-in photos read it
        )
        splits = find_task(given.task).find_splits(wanted)
        write_json(folder / SPLITS, splits.to_dict())
        if given.unlabelled is not None:
            unlabelled = load_unlabelled(given.unlabelled, splits, progress)
            write_json(folder / UNLABELLED, unlabelled.to_dict())
        return_freed_memory()  # a listing of a million photos leaves hundreds of megabytes
        counts = f"{len(splits.train)} train, {len(splits.val)} val, {len(splits.labels)} classes"
        return f"{counts}, {len(splits.unreadable)} unreadable" if splits.unreadable else counts
