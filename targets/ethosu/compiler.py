"""Runs Vela on a file, reads what it made and said, and writes it with the file's labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.container import copy_files
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.errors import CompileError, EdgekitError, UsageError
from edgekit.system.files import write_bytes
from edgekit.targets.base import Compiled, NothingMappedError
from edgekit.targets.ethosu.log import VelaLog, parse_log
from edgekit.targets.ethosu.mapping import (
    Mapped,
    VelaPrediction,
    map_operators,
    why_refused,
)
from edgekit.targets.ethosu.options import CUSTOM_OP, ENDING, VelaOptions
from edgekit.targets.ethosu.summary import figures, parse_summary
from edgekit.targets.ethosu.tools import VELA
from edgekit.targets.executions import ChipFigures
from edgekit.targets.toolchains.work import Done, Job, run_job

#: The memory mode in which the constants are in SRAM too, and what Vela calls them there.
ALL_IN_SRAM, _ALIAS = "Sram_Only", "on-chip flash"
WORKER = Path(__file__).with_name("worker.py")


def run_vela(path: Path, model: TFLiteModel, options: VelaOptions) -> VelaPrediction:
    """Compiles a file in memory.

    Args:
        path: of the file.
        model: what it holds.
        options: what Vela is asked for.

    Raises:
        UsageError: Vela does not take the options.
        MissingToolError: Vela is not installed.
        CompileError: Vela does not take the model, or its output is damaged.
        EdgekitError: Vela failed, crashed or hung.
    """
    arguments = {"model": str(path.resolve()), "words": options.words()}
    done = run_job(VELA, Job(WORKER, "compile", arguments), timeout_s=options.timeout_s)
    return read_outcome(path, model, options, done)


def read_outcome(
    path: Path, model: TFLiteModel, options: VelaOptions, done: Done
) -> VelaPrediction:
    """Reads what Vela made and said.

    Args:
        path: of the file.
        model: what it holds.
        options: what Vela was asked for.
        done: what the worker gave back.

    Raises:
        UsageError: Vela does not take the options.
        CompileError: its output is damaged.
    """
    if "misuse" in done.values:
        raise UsageError(
            f"{VELA.title} does not take the options for {options.config}",
            cause=done.values["misuse"],
            hint=f"{options.system} with {options.memory}: see --system-config and --memory-mode",
        )
    contents = done.arrays["model"].tobytes()
    try:
        compiled = tflite_file.parse(contents, name=f"what Vela made of {path}")
    except UsageError as error:
        raise CompileError(error.message, cause=error.cause) from error
    log = parse_log(done.log)
    operators = map_operators(model, compiled, log.reasons)
    record = _record(options, parse_summary(done.values["summary"]), log)
    return VelaPrediction(
        operators,
        why_refused(operators),
        _chip(options, record, operators),
        record,
        contents,
        done.log,
        done.values["summary"],
    )


def _record(options: VelaOptions, summary: dict[str, Any], log: VelaLog) -> dict[str, Any]:
    """All of Vela's figures as JSON values, with the options behind them."""
    own = Counter((processor, kind) for processor, kind, _ in log.operators)
    found = figures(summary)
    if options.memory == ALL_IN_SRAM and (constants := found["memory_bytes"].pop(_ALIAS, 0)):
        found["memory_bytes"]["SRAM"] += constants
    return {
        "accelerator": options.config,
        "system_config": options.system,
        "memory_mode": options.memory,
        "optimise": options.optimise,
        "sram_limit_bytes": options.sram_bytes,
        "vela": VELA.version,
        **found,
        # Vela rewrites a network before it maps it: its operators are not those of the file.
        "vela_operators_on_npu": log.mapped,
        "vela_operators_on_cpu": log.on_cpu,
        "vela_operators": [
            {"processor": processor, "name": kind, "count": count}
            for (processor, kind), count in sorted(own.items())
        ],
        "notes": list(log.notes),
        "summary": summary,
    }


def _chip(
    options: VelaOptions, record: dict[str, Any], operators: tuple[Mapped, ...]
) -> ChipFigures:
    mapped = sum(op.is_mapped for op in operators)
    limit, memory = options.sram_bytes, record["memory_bytes"]
    ms = record["milliseconds"]
    return ChipFigures(
        latency_ms=ms,
        latency_by=None if ms is None else f"Vela's estimate for {options.config}",
        memory=memory,
        mapped=mapped,
        on_cpu=len(operators) - mapped,
        fits=None if limit is None or not mapped else memory.get("SRAM", 0) <= limit,
    )


def write_compiled(path: Path, made: VelaPrediction, out_dir: Path) -> Compiled:
    """Writes ``NAME_vela.tflite``, its log and its table of figures.

    Vela drops the label file behind a model; it is put back.

    Raises:
        NothingMappedError: nothing of it runs on the NPU.
        EdgekitError: ``out_dir`` cannot be written.
    """
    if made.refused:
        cause, hint = made.obstacle
        raise NothingMappedError(
            f"{path} holds nothing for the NPU", cause=made.refused[0] or cause, hint=hint
        )
    output, log, table = (
        out_dir / f"{path.stem}{ENDING}{suffix}" for suffix in (".tflite", ".log", ".csv")
    )
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_bytes(log, made.log.encode())
        write_bytes(table, made.summary.encode())
        write_bytes(output, copy_files(path.read_bytes(), made.compiled))
    except OSError as error:
        raise EdgekitError(f"cannot compile into {out_dir}", cause=str(error)) from error
    record = {
        **made.figures,
        "summary_file": str(table),
        "operators": made.to_dict()["operators"],
    }
    lines = (
        str(path),
        *(f"  {line}".rstrip() for line in made.lines(every=False)),
        f"  {output}",
    )
    summary = f"{path.name}: {made}"
    return Compiled(
        path,
        (output,),
        log,
        made.mapped,
        made.on_cpu,
        (record,),
        lines,
        summary,
        chip=made.chip,
    )


def is_compiled(model: TFLiteModel) -> bool:
    """Whether Vela has made a file."""
    return CUSTOM_OP in model.custom_codes
