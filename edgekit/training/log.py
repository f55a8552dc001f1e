"""What a run tells while it goes on: event files for TensorBoard, and a table of its epochs."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import text

from edgekit.system.files import write_bytes
from edgekit.training.outputs import TABLE

if TYPE_CHECKING:
    from edgekit.tasks.task import Metric
    from edgekit.training.epochs import Epoch

COLUMNS = (
    "epoch", "train_loss", "val_score", "learning_rate", "seconds", "images_per_s", "waiting",
    "resolution",
)  # fmt: skip

#: Between two steps that are written, so that the files of a run of days stay small.
STEP_SECONDS = 2.0
#: Between two times at which what was written reaches the disk.
FLUSH_SECONDS = 10.0


class TrainingLog:
    """Writes a run's event file and ``history.csv``; use it as a context manager.

    Every curve has the steps as its axis, an epoch standing at its last step. A run that goes on
    starts an event file of its own, which hides what an interrupted run wrote from that step on.

    A log that cannot be written stops no training: ``warn`` is told once. The event file then
    ends, and ``history.csv`` is tried again after the next epoch.

    Args:
        folder: where the files go; made where it is missing.
        hyperparameters: by name, shown as a text summary.
        start_step: the first step that will be run, counted from 0.
        history: the epochs before it; ``history.csv`` is cut to these.
        warn: told that the log cannot be written.
        metric: what the score of an epoch is called.
    """

    def __init__(
        self,
        folder: Path,
        hyperparameters: Mapping[str, Any],
        start_step: int,
        history: Sequence[Epoch],
        warn: Callable[[str], None],
        metric: Metric,
    ) -> None:
        self.folder, self._warn, self._metric = folder, warn, metric
        self._history = list(history)
        self._last_step = start_step - 1
        self._written = self._flushed = -math.inf
        self._events: EventFile | None = None
        self._warned = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._events = EventFile(folder, start_step)
            self._events.write(start_step, text("hyperparameters", _table(hyperparameters)))
            self._events.flush()
        except OSError as error:
            self._end_events(error)
        self._write_history()

    def step(
        self, step: int, loss: float, learning_rate: float, images_per_s: float, waiting: float
    ) -> None:
        """Tells of a step, every 2 seconds of them.

        Args:
            step: counted from 0 over the whole run.
            loss: mean over its photos; not written where it is not a number.
            learning_rate: of this step.
            images_per_s: photos per second.
            waiting: share of the time in which training waited for photos, 0 to 1.
        """
        self._last_step = step
        now = time.monotonic()
        if now - self._written < STEP_SECONDS:
            return
        self._written = now
        self._scalars(
            {
                "step/loss": loss,
                "step/learning_rate": learning_rate,
                "step/images_per_s": images_per_s,
                "step/waiting": waiting,
            },
            flush=now - self._flushed >= FLUSH_SECONDS,
        )

    def epoch(self, epoch: Epoch, *, magnitude: float | None = None) -> None:
        """Tells of an epoch that is done.

        Args:
            epoch: what it gave.
            magnitude: how strongly its photos were changed, as RandAugment counts it.
        """
        self._history.append(epoch)
        self._write_history()
        self._scalars(
            {
                "epoch/train_loss": epoch.train_loss,
                f"epoch/val_{self._metric.key}": epoch.val_score,
                "epoch/images_per_s": epoch.images_per_s,
                "epoch/waiting": epoch.waiting,
                "epoch/resolution": epoch.resolution,
                "epoch/magnitude": magnitude,
            },
            flush=True,
        )

    def close(self) -> None:
        """Ends the event file; afterwards nothing is written to it."""
        try:
            if self._events:
                self._events.flush()
        except OSError as error:
            self._end_events(error)
        self._end_events()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _scalars(self, values: Mapping[str, float | None], *, flush: bool) -> None:
        if self._events is None:
            return
        known = {tag: v for tag, v in values.items() if v is not None and math.isfinite(v)}
        marks = [Summary.Value(tag=tag, simple_value=value) for tag, value in known.items()]
        try:
            self._events.write(self._last_step, Summary(value=marks))
            if flush:
                self._events.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            self._end_events(error)

    def _write_history(self) -> None:
        # Written anew each time: a table of epochs is small, and so it is whole after any crash.
        file = io.StringIO()
        columns = self._metric.to_record(dict.fromkeys(COLUMNS))
        table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(epoch.to_record(self._metric) for epoch in self._history)
        try:
            write_bytes(self.folder / TABLE, file.getvalue().encode())
        except OSError as error:
            self._tell(error)

    def _end_events(self, error: OSError | None = None) -> None:
        if self._events:
            with suppress(OSError):  # closing writes what the disk had no room for
                self._events.close()
        self._events = None
        if error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._warned:
            self._warn(
                f"the training log in {self.folder} cannot be written "
                f"({error.strerror or error}); training goes on"
            )
        self._warned = True


class EventFile:
    """A new file of TensorBoard events, written at once by the caller's thread.

    tensorboardX's own ``SummaryWriter`` writes in a thread of its own, which dies of a full disk
    unseen, and then blocks the caller for ever.

    Args:
        folder: where the file goes.
        start_step: events of this step and later in the folder's older files become void.

    Raises:
        OSError: from any method: the file cannot be written.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        # TensorBoard reads the files in the order of their names, and so in that of time.
        name = f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.{start_step}"
        self._records = RecordWriter(os.fspath(folder.resolve() / name))
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(step=start_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, summary: Summary) -> None:
        """Appends a summary."""
        self._add(Event(step=step, summary=summary))

    def flush(self) -> None:
        """Sees to it that everything is on the disk."""
        self._records.flush()

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def _table(values: Mapping[str, Any]) -> str:
    """A table in Markdown."""
    rows = [f"| {name} | {value} |".replace("\n", " ") for name, value in values.items()]
    return "\n".join(["| hyperparameter | value |", "| --- | --- |", *rows])
