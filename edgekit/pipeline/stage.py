"""A stage and its folder: keyed by what it reads, complete or absent, resumable in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.runs import RECORD, folder_name
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.version import __version__


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: as the user sees it, for example ``convert w8a8-static``.
        reads: JSON values that decide the result: options, hashes, versions of tools.
        needs: the stages whose results it reads.
        work: writes the results into the folder it is given, and returns a few words on them.
            It may find there what an interrupted attempt left.
    """

    name: str
    reads: Mapping[str, Any]
    needs: tuple[Stage, ...]
    work: Callable[[Path, Progress], str] = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """SHA-256 of everything that decides the result, through all stages before it."""
        recipe = {
            "edgekit": __version__,
            "name": self.name,
            "reads": self.reads,
            "needs": [stage.key for stage in self.needs],
        }
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """A finished stage.

    Attributes:
        name: of the stage.
        folder: where its results lie.
        seconds: what it took when it ran.
        cached: whether it had run before.
        detail: a few words on the result.
    """

    name: str
    folder: Path
    seconds: float
    cached: bool
    detail: str


class StageStore:
    """The folders of a run's stages.

    Args:
        root: the folder that holds them; made when the first stage runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: Stage) -> Path:
        """Where the stage's results lie, or will."""
        return self.root / folder_name(stage.name, stage.key)

    def finished(self, stage: Stage) -> Outcome | None:
        """The outcome of an earlier run, if the stage has one."""
        try:
            record = read_json(self.folder(stage) / RECORD)
        except (OSError, ValueError):
            return None
        return Outcome(
            stage.name, self.folder(stage), record["seconds"], cached=True, detail=record["detail"]
        )

    def partial(self, stage: Stage) -> Path:
        """Where the stage works until it is done, and where an interrupted attempt left it."""
        folder = self.folder(stage)
        return folder.with_name(folder.name + ".partial")

    def run(self, stage: Stage, progress: Progress, *, fresh: bool = False) -> Outcome:
        """Runs a stage; its folder appears, whole, when it is done.

        Args:
            stage: the stage.
            progress: told how far it is.
            fresh: whether what an interrupted attempt left is thrown away instead of used.
        """
        folder, partial = self.folder(stage), self.partial(stage)
        if fresh and partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        detail = stage.work(partial, progress)
        seconds = round(time.perf_counter() - started, 3)
        record = {"name": stage.name, "reads": stage.reads, "seconds": seconds, "detail": detail}
        write_json(partial / RECORD, record)
        if folder.exists():  # a damaged record, or a rerun that was asked for
            shutil.rmtree(folder)
        os.replace(partial, folder)
        return Outcome(stage.name, folder, seconds, cached=False, detail=detail)
