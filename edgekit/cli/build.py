"""``edgekit build``: its options are the fields of `BuildOptions`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.cli.from_options import command_from_options
from edgekit.errors import INTERRUPTED
from edgekit.options.build import BuildOptions
from edgekit.system.console import Console, safe


@command_from_options()
def command(options: BuildOptions, json_output: bool = False, quiet: bool = False) -> int:
    """Build a verified model for one or more targets, and report what each step cost."""
    from edgekit.pipeline.build import run_build
    from edgekit.report.document import task_of
    from edgekit.report.table import chips_table, result_table

    console = Console(quiet=quiet)
    try:
        run = run_build(options, console)
    except KeyboardInterrupt:
        console.note("interrupted: finished work is kept; the same command goes on from there")
        return INTERRUPTED
    if run.document is None:
        print("\n".join(run.planned))
        return 0
    if json_output:
        print(json.dumps(run.document, indent=2, ensure_ascii=False))
    else:
        console.table(partial(result_table, task_of(run.document), run.rows))
        if chips := run.document.get("chips"):
            print()
            console.table(partial(chips_table, task_of(run.document), chips))
        if devices := run.document["devices"]:
            from edgekit.cli.bench_devices import table

            print(safe("\n".join(["", *table(devices, task_of(run.document).metric)]), sys.stdout))
        for line in summary(run.folder, run.document):
            console.note(line)
    if run.problem is not None:
        console.error(run.problem)
        return run.problem.exit_code
    console.footer(next_commands(run.files))
    return 0


def summary(folder: Path, document: Any) -> list[str]:
    """The verdict, what the report warns of, and where everything lies."""
    from edgekit.report.diagnosis import verdict
    from edgekit.report.document import task_of

    lines = [verdict(document["rows"], task_of(document).metric)]
    lines += [f"warning: {line}" for text in document["warnings"] for line in text.splitlines()]
    lines += [f"{t['name']}: {t['status']}, {t['message']}" for t in document["targets"]]
    return [*lines, f"report: {folder / 'report.html'}"]


def next_commands(files: dict[str, Path]) -> list[str]:
    """Commands to try after a build."""
    quantized = next(files[name] for name in ("w8a8-static", "w8a8-mixed") if name in files)
    return [f"edgekit inspect {quantized}"]
