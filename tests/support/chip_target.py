"""A target with a chip: its tool is LiteRT, in a process of its own like any maker's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgekit.targets.base import Examination, Target, option
from edgekit.targets.executions import Answers, ChipFigures, Execution
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Job, run_job

WORKER = Path(__file__).with_name("chip_worker.py")
PLAIN = {"package": "ai-edge-litert", "licence": "Apache-2.0", "requirements": WORKER}
HERE = Toolchain("chip", "The chip's tool", modules=("ai_edge_litert",), extra="chip", **PLAIN)
ABSENT = Toolchain("absent", "The absent tool", modules=("no_such_module",), **PLAIN)


@dataclass(frozen=True)
class ChipOptions:
    """How the tool behaves."""

    mode: str = option("right", "right, wrong, crash, refuse or absent.")
    most: int | None = option(None, "Photos at the most.")


class ChipTarget(Target):
    """A chip that computes as LiteRT's reference kernels do."""

    name = "chip"
    scheme = "w8a8-static"
    compiler_options = ChipOptions
    toolchains = (HERE, ABSENT)

    def examine(self, path, model=None):
        """Takes any file."""
        return Examination(Path(path), model, ())

    def executions(self, options):
        """One execution."""
        tool = ABSENT if self.options.mode == "absent" else HERE
        run = partial(execute, tool, self.options.mode)
        reads = (("mode", self.options.mode),)
        most = self.options.most
        return (
            Execution("w8a8-chip", "w8a8", "Chip 1", "simulator", tool, run, most, True, reads),
        )


def execute(tool, mode, path, pixels, advance):
    """Runs the worker."""
    job = Job(WORKER, "answer", {"model": str(path), "mode": mode}, {"pixels": pixels})
    done = run_job(tool, job, timeout_s=60, advance=advance)
    figures = ChipFigures(None, None, {"file": done.values["bytes"]})
    return Answers(done.arrays["outputs"], figures)
