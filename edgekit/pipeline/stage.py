"""A stage and its folder: keyed by what it reads, complete or absent, resumable in between."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from edgekit.runs import RECORD, folder_name
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.system.host import installed
from edgekit.version import __version__

#: In the metadata of a field: what of its value enters the key; None for nothing.
ENTERS = "enters"


#: The metadata of a field that does not decide the result: a torch device, a callback.
UNHASHED: Mapping[str, Any] = {ENTERS: None}


def hashed_as(what: Callable[[Any], Any]) -> Mapping[str, Any]:
    """The metadata of a field of whose value only ``what(value)`` decides the result."""
    return {ENTERS: what}


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage(ABC):
    """One step of a build; its fields are its inputs, and their hash is its key.

    A field is another stage, whose folder this one reads, or a value of JSON, of a dataclass, or of
    tuples of those; the metadata of any other field is `UNHASHED` or `hashed_as`.

    Attributes:
        title: as the user sees it; ``{0}`` is the stage, as in ``convert {0.scheme}``.
        record: one more wherever the same inputs give other files, so that those of an earlier
            version are not reused.
    """

    title: ClassVar[str]
    record: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """As the user sees it, for example ``convert w8a8-static``."""
        return self.title.format(self)

    @property
    def tools(self) -> tuple[str, ...]:
        """The distributions whose versions decide the result."""
        return ()

    @abstractmethod
    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """Writes the results.

        Args:
            folder: gets them; it may hold what an interrupted attempt left.
            progress: told how far the work is.
            of: gives the folder of a stage that is an input.

        Returns:
            A few words on the results.
        """

    @cached_property
    def reads(self) -> dict[str, Any]:
        """What decides the result, as JSON values; of another stage its key."""
        tools = {tool: installed(tool) for tool in self.tools}
        return _values_of(self) | {"record": self.record} | ({"tools": tools} if tools else {})

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the result, through all stages before it."""
        recipe = {"edgekit": __version__, "name": self.name, "reads": self.reads}
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


#: Gives the folder of a stage that is finished.
FolderOf = Callable[[Stage], Path]


def _values_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that decide, as JSON values."""
    values = {}
    for item in dataclasses.fields(record):
        what = item.metadata.get(ENTERS, _same)
        if what is not None:
            values[item.name] = _json(what(getattr(record, item.name)))
    return values


def _same(value: Any) -> Any:
    return value


def _json(value: Any) -> Any:
    if isinstance(value, Stage):
        return value.key
    if dataclasses.is_dataclass(value):
        return _values_of(value)
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} is no input of a stage; declare what of it decides")


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
        detail = stage.run(partial, progress, self.folder)
        seconds = round(time.perf_counter() - started, 3)
        record = {"name": stage.name, "reads": stage.reads, "seconds": seconds, "detail": detail}
        write_json(partial / RECORD, record)
        if folder.exists():  # a damaged record, or a rerun that was asked for
            shutil.rmtree(folder)
        os.replace(partial, folder)
        return Outcome(stage.name, folder, seconds, cached=False, detail=detail)
