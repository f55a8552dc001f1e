"""The log that a deployed program keeps of its answers, and the answers of its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, ValidationError, convert
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.runs import LOGITS, open_run
from edgekit.system.paths import StrPath
from edgekit.system.records import decode_record
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task

#: Of a log's first line.
VERSION = 1
PROBABILITY = "probability"
#: What is added to a probability before its logarithm: int8 has zeros.
LEAST_PROBABILITY = 1e-4
#: The stages whose answers a deployed file's are compared with, the likeliest first.
STAGES = ("evaluate w8a8-tflite", "evaluate w8a8-sim", "evaluate fp32-tflite")


class _Header(Struct, frozen=True):
    """What a log begins with, and each start of the program adds."""

    log: int
    model: str = ""
    kind: str = ""
    labels: tuple[str, ...] = ()


class _Answer(Struct, frozen=True):
    """A line of a log."""

    time: Annotated[datetime, Meta(tz=True)]
    scores: tuple[float, ...]
    ms: float


@dataclass(frozen=True, eq=False)
class AnswerLog:
    """What a log holds.

    Attributes:
        scores: logits, float64 [n, classes].
        labels: names of the classes.
        model: SHA-256 of the file that answered.
        latency: median and 95th percentile in milliseconds.
    """

    scores: NDArray[np.float64]
    labels: tuple[str, ...]
    model: str
    latency: dict[str, float]


def read_log(path: StrPath, since: str | None = None) -> AnswerLog:
    """Reads a log, and the older part of it that ``.1`` is.

    Args:
        path: of the log.
        since: the first time that counts, ISO 8601; all by default.

    Raises:
        UsageError: it cannot be read, holds no answers, or those of several models.
    """
    path, start = Path(path), _time(since)
    header = _Header(0)  # of no version
    headers: list[_Header] = []  # of the answers
    rows: list[_Answer] = []
    older = path.with_name(f"{path.name}.1")
    for part in [*([older] if older.is_file() else []), path]:
        for record in _lines(part):
            if isinstance(record, _Header):
                header = record
            elif start is None or record.time >= start:
                rows.append(record)
                headers.append(header)
    if any(one.log != VERSION for one in (header, *headers)):
        raise UsageError(f"{path} is no log of a deployed program", hint="classify.py --log FILE")
    if len({(one.model, one.labels) for one in headers}) > 1:
        raise UsageError(
            f"{path} holds answers of several models", hint="--since the last was deployed"
        )
    if not rows or len({len(row.scores) for row in rows}) != 1:
        raise UsageError(f"{path} holds no answers", hint="an earlier --since" if since else None)
    scores = np.array([row.scores for row in rows])
    if headers[0].kind == PROBABILITY:
        scores = np.log(scores + LEAST_PROBABILITY)
    median, p95 = np.percentile([row.ms for row in rows], [50, 95])
    latency = {"median": round(float(median), 3), "p95": round(float(p95), 3)}
    return AnswerLog(scores, headers[0].labels, headers[0].model, latency)


def read_validation(folder: StrPath, log: AnswerLog) -> tuple[Task, NDArray[Any]]:
    """What a run is for, and its answers for the validation photos.

    Raises:
        UsageError: the folder holds no run, its answers were removed, or it is of another model.
    """
    run = open_run(folder)
    if run.preprocessing.labels != log.labels:
        raise UsageError(
            f"the log is not of {folder}",
            cause=f"it knows {len(log.labels)} classes, the run {len(run.preprocessing.labels)}",
            hint="the run whose model was deployed",
        )
    stage = next((name for name in STAGES if run.has(name, LOGITS)), None)
    if stage is None:
        raise UsageError(f"the answers in {folder} were removed", hint="build it again")
    answers = np.load(run.stages[stage] / LOGITS, allow_pickle=False)
    return find_task(run.preprocessing.task), answers


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text} is no time", hint="2026-11-30, or with a time") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _lines(path: Path) -> Iterator[_Header | _Answer]:
    """The lines of a log; one that was being written when the power went is left out."""
    try:
        texts = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror) from error
    for number, text in enumerate(texts, 1):
        try:
            record = decode_record(text, dict[str, Any])
            yield convert(record, _Header) if "log" in record else convert(record, _Answer)
        except ValidationError as error:
            raise UsageError(f"{path}, line {number}: no answer", cause=str(error)) from error
        except ValueError:
            if number < len(texts):
                raise UsageError(f"{path}, line {number}: no JSON") from None
