"""What the terminal shows: results on stdout, everything else on stderr.

On a terminal a stage is a live bar; in a pipe or a log it is one line when it has finished, and a
sign of life every 30 seconds. Rich is imported when a terminal is drawn on, and not before.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.table import Table

    #: Lays a table out for a console; the second argument makes a cell fit for its encoding.
    Layout = Callable[[RichConsole, Callable[[str], str]], Table]

REDRAW = 0.1  # seconds between updates of a bar
HEARTBEAT = 30.0  # seconds between lines of a long stage in a log
STYLES = {
    "error:": "bold red",
    "cause:": "bold",
    "try:": "bold",
    "warning:": "bold yellow",
    "next:": "bold",
}
# A file name may hold control characters, and a terminal would obey them.
CONTROLS = dict.fromkeys(set(range(32)) - {ord("\n"), ord("\t")} | {127}, "?")
PLAIN = {0x2013: "-", 0x2212: "-", 0xB1: "+-", 0xD7: "x", 0x2026: "...", 0xA0: " "}


class Progress(Protocol):
    """What long work calls as it goes: ``progress("epoch 3/8", 46, 92, "loss 0.41")``."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Reports that ``done`` of ``total`` of a task are done."""


class Stage:
    """One stage of a run, as the body of ``with console.stage(...) as stage`` sees it.

    Attributes:
        detail: what stands behind the time on the finished line, for example ``5.3 MB``.
        cached: set where the stage was reused, so that there is no time to show.
    """

    def __init__(self, label: str, started: float) -> None:
        self.detail = ""
        self.cached = False
        self._label = label
        self._started = started
        self._bar: TaskID | None = None
        self._task: str | None = None
        self._task_began = (started, 0)  # time, and what had been done by then


class Console:
    """Writes progress to stderr and results to stdout.

    Args:
        out: where results go; by default ``sys.stdout`` as it is when something is written.
        err: where the rest goes; by default ``sys.stderr`` as it is when something is written.
        quiet: leave out progress, notes and the footer; warnings, errors and results remain.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quiet = quiet
        self._out, self._err, self._clock = out, err, clock
        self._stages: list[Stage] = []
        self._live: RichProgress | None = None
        self._shown = float("-inf")  # when a bar was last updated, or a sign of life last given
        self._lock = threading.RLock()  # progress may come from a worker thread

    @contextmanager
    def stage(self, index: int, total: int, name: str, *, beside: bool = False) -> Iterator[Stage]:
        """Shows a stage while its body runs, and one line about it when it ends.

        Stages may nest. Whatever ends the body, the bar is closed and the cursor is back.

        Args:
            index: its number, counted from 1.
            total: how many stages the run has.
            name: what it does, for example ``quantize w8a8-static``.
            beside: whether other threads have stages of their own at the same time.
        """
        indent = "" if beside else "  " * len(self._stages)
        stage = Stage(f"{indent}[{index}/{total}] {name}", self._clock())
        outcome = "failed after "
        try:
            self._open(stage)
            yield stage
            outcome = ""
        except KeyboardInterrupt:
            outcome = "interrupted after "
            raise
        finally:
            self._close(stage, outcome)

    def progress(
        self, task: str, done: int, total: int, note: str = "", *, stage: Stage | None = None
    ) -> None:
        """Shows how far the work of a stage is; cheap enough to call for every photo.

        Args:
            task: what is being done; another name begins another count.
            done: how much of it.
            total: of how much; 0 where that is not known.
            note: a word on its state, for example ``loss 0.41``.
            stage: of which stage; by default the innermost.
        """
        if self.quiet or not self._stages:
            return
        now = self._clock()
        with self._lock:
            stage = stage or self._stages[-1]
            fresh = stage._task != task
            if fresh:
                stage._task, stage._task_began = task, (now, done)
            if self._live is not None:
                if fresh or now - self._shown >= REDRAW or done >= total:
                    self._shown = now
                    self._draw(stage, done, total, note, fresh)
            elif now - self._shown >= HEARTBEAT:
                self._shown = now
                began, before = stage._task_began
                pace = (now - began) / (done - before) if done > before else 0.0
                self._say(sign_of_life(task, done, total, note, pace))

    def note(self, text: str) -> None:
        """Says something that is good to know."""
        if not self.quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """Says something that should worry."""
        self._say(f"warning: {text}")

    def error(self, exc: BaseException) -> None:
        """Says what went wrong, and as far as they are known why and what to try."""
        from edgekit.errors import EdgekitError

        text = str(exc)
        if not isinstance(exc, EdgekitError):
            text = f"error: {type(exc).__name__}" + (f": {text}" if text else "")
        self._say(text)

    def footer(self, commands: Sequence[str]) -> None:
        """Names the commands to try next."""
        if commands and not self.quiet:
            self._say("\n".join(["next:", *(f"  {command}" for command in commands)]))

    def table(self, layout: Layout) -> None:
        """Writes a table to stdout, with as many columns as a terminal is wide."""
        stream = self._out or sys.stdout
        console = _rich(stream, width=None if is_terminal(stream) else 1000)
        if self._live is not None:
            self._live.stop()  # a bar and a table on one terminal would overwrite each other
        try:
            console.print(layout(console, lambda text: safe(text, stream)))
        finally:
            if self._live is not None:
                self._live.start()

    def _open(self, stage: Stage) -> None:
        self._shown = stage._started
        with self._lock:
            self._stages.append(stage)
            stream = self._err or sys.stderr
            if len(self._stages) == 1 and not self.quiet and is_terminal(stream):
                self._live = _bars(stream)
                self._live.start()
            if self._live is not None:
                label = safe(stage._label, stream)
                stage._bar = self._live.add_task(label, total=None, count="", note="")

    def _close(self, stage: Stage, outcome: str) -> None:
        with self._lock:
            if stage in self._stages:
                self._stages.remove(stage)
            if self._live is not None and stage._bar is not None:
                self._live.remove_task(stage._bar)
            if self._live is not None and not self._stages:
                live, self._live = self._live, None
                live.stop()
        if not self.quiet:
            from edgekit.system.text import seconds

            took = "cached" if stage.cached else seconds(self._clock() - stage._started)
            self._say("  ".join(filter(None, [stage._label, outcome + took, stage.detail])))

    def _draw(self, stage: Stage, done: int, total: int, note: str, fresh: bool) -> None:
        if self._live is None or stage._bar is None:
            return
        stream = self._err or sys.stderr
        # A new task resets the clock, so that what was done before does not count as speed.
        change = self._live.reset if fresh else self._live.update
        change(
            stage._bar,
            description=safe(f"{stage._label}  {stage._task}", stream),
            completed=done,
            total=total or None,
            count=f"{done}/{total}" if total else str(done),
            note=safe(note, stream),
        )

    def _say(self, text: str) -> None:
        """Writes lines to stderr, above the bar if there is one; a closed pipe stops nothing."""
        stream = self._err or sys.stderr
        text = safe(text, stream)
        with suppress(OSError, ValueError):
            if self._live is None and not is_terminal(stream):
                stream.write(text + "\n")
                stream.flush()
                return
            from rich.text import Text

            styled = Text(text)
            for word, style in STYLES.items():
                styled.highlight_regex(rf"(?m)^{word}", style)
            console = self._live.console if self._live is not None else _rich(stream)
            console.print(styled, soft_wrap=True)


class NullConsole(Console):
    """Shows nothing at all: what the Python API uses unless it is given another."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def _say(self, text: str) -> None:
        """Keeps warnings and errors back too: they are in the report, or raised."""

    def table(self, layout: Layout) -> None:
        """Shows nothing."""


def is_terminal(stream: TextIO) -> bool:
    """Says whether a stream is a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    except ValueError:  # the stream is closed
        return False


def safe(text: str, stream: TextIO) -> str:
    """Replaces what the stream's encoding lacks, and what a terminal would obey."""
    text = text.translate(CONTROLS)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def sign_of_life(task: str, done: int, total: int, note: str, pace: float) -> str:
    """Returns the line of a long stage in a log; ``pace`` is seconds per unit, 0 if not known."""
    from edgekit.system.text import seconds

    parts = [f"{done} of {total} ({100 * done // total} %)" if total else str(done)]
    if total > done and pace:
        parts.append(f"{seconds(pace * (total - done))} left")
    return f"      {task}: " + ", ".join([*parts, *filter(None, [note])])


def _rich(stream: TextIO, width: int | None = None) -> RichConsole:
    """Makes a rich console that takes text as it is; it honours NO_COLOR by itself."""
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, width=width, markup=False, emoji=False, highlight=False)


def _bars(stream: TextIO) -> RichProgress:
    """Makes the live bars: stage and task, bar, count, time left, note."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column

    console = _rich(stream)
    spinner = "line" if console.options.ascii_only else "dots"

    def text(field: str) -> TextColumn:
        column = Column(no_wrap=True, overflow="crop")  # the ellipsis is not ASCII
        return TextColumn(field, markup=False, table_column=column)

    return RichProgress(
        SpinnerColumn(spinner),
        text("{task.description}"),
        BarColumn(bar_width=24),
        text("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
        text("{task.fields[note]}"),
        console=console,
        transient=True,
        redirect_stdout=False,  # results go where they were sent
    )
