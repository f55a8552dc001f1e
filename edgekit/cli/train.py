"""``edgekit train``: the options of ``edgekit build`` that decide the trained network."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

from edgekit.cli.from_options import command_from_options
from edgekit.errors import INTERRUPTED
from edgekit.options.build import BUILD_ONLY, BuildOptions
from edgekit.system.console import Console


@command_from_options(without=BUILD_ONLY)
def command(options: BuildOptions, json_output: bool = False, quiet: bool = False) -> int:
    """Train a network, on one machine or with torchrun on many, and report how well it learned."""
    from edgekit.pipeline.report_data import command_line
    from edgekit.pipeline.train import run_training
    from edgekit.report.document import task_of
    from edgekit.report.table import result_table

    console = Console(quiet=quiet)
    try:
        training = run_training(options, console)
    except KeyboardInterrupt:
        console.note("interrupted: the run is saved; the same command goes on from there")
        return INTERRUPTED
    if training is None:  # the first process tells
        return 0
    if json_output:
        print(json.dumps(training.document, indent=2, ensure_ascii=False))
    else:
        document = training.document
        console.table(partial(result_table, task_of(document), document["rows"]))
    for text in training.document["warnings"]:
        console.warn(text)
    console.note(f"report: {training.folder / 'report.html'}")
    console.footer([command_line(dataclasses.replace(options, out=training.folder))])
    return 0
