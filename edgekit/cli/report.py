"""``edgekit report FILE...``: what the Edge TPU's compiler said, or a run's rows, as tables."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from edgekit.errors import CompileError, UsageError

if TYPE_CHECKING:
    from edgekit.report.document import Row
    from edgekit.targets.edgetpu.log import CompilerOutput

LARGEST = 16 << 20  # bytes; a log has a few thousand
MOST_MODELS = 1000  # in one captured output
_HINT = "give a compiler's .log, what it printed, a folder of edgekit build, or its report.json"


def command(
    files: Annotated[
        list[str],
        typer.Argument(help="Compiler logs or captured output, or runs' folders; - for stdin."),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show what the Edge TPU's compiler wrote, or again the table of a run.

    For the compiler: which operators were mapped, which were not, why, and what to do about it.
    Ends with 6 where a compilation failed, and with 2 where the text ends before its outcome.
    """
    from edgekit.system.console import CONTROLS, Console

    found = [_read(file) for file in files]
    models = [model for entry in found for model in entry.get("models", [])]
    code = max(map(_exit_code, models), default=0)
    if json:
        from json import dumps

        print(dumps({"schema_version": 1, "files": found}, indent=2, ensure_ascii=False))
        return code
    console = Console()
    for number, entry in enumerate(found):
        lines = [*([""] if number else []), entry["path"]]
        for model in entry.get("models", []):
            lines += _lines(model)
        print("\n".join(lines).translate(CONTROLS))
        if "rows" in entry:
            _table(entry, console)
    return code


def _exit_code(model: dict[str, Any]) -> int:
    if model["failure"]:
        return CompileError.exit_code
    return UsageError.exit_code if model["mapped"] is None else 0


def _read(file: str) -> dict[str, Any]:
    """One argument as JSON values: ``path`` and either ``rows`` or ``models``."""
    from edgekit.targets.edgetpu.text import unpacked

    path = Path(file)
    if file != "-" and path.is_dir():
        path = path / "report.json"
    text = _text(path, file == "-")
    first = text.lstrip().partition("\n")[0]
    if first[:1] == "{" and unpacked(first) == first:  # else it is a log of JSON lines
        return {"path": str(path), "rows": _rows(text, path)}
    return {"path": "stdin" if file == "-" else file, "models": _models(text, file)}


def _text(path: Path, stdin: bool) -> str:
    if stdin:
        return _limited(sys.stdin.buffer, "what stdin holds")
    if not path.is_file():
        cause = "it is not a regular file" if path.exists() else "there is no such file"
        raise UsageError(f"cannot read {path}", cause=cause, hint=_HINT)
    try:
        with path.open("rb") as stream:
            return _limited(stream, str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror) from error


def _limited(stream: BinaryIO, name: str) -> str:
    from edgekit.targets.edgetpu.text import decode

    data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(
            f"{name} is no report", cause=f"it is larger than {LARGEST >> 20} MiB", hint=_HINT
        )
    return decode(data)


def _rows(text: str, path: Path) -> list[Row]:
    """The rows of a ``report.json``."""
    from json import loads

    try:
        rows: list[Row] = loads(text)["rows"]
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise ValueError("its rows are no list of objects")
    except (ValueError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} is no report of a run", cause=str(error), hint=_HINT) from error
    return rows


def _table(entry: dict[str, Any], console: Any) -> None:
    from functools import partial

    from edgekit.report.table import result_table

    try:
        console.table(partial(result_table, entry["rows"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"{entry['path']} is no report of a run",
            cause=f"a row lacks a figure, or has one of another type: {error}",
            hint="edgekit build writes one",
        ) from error


def _models(text: str, file: str) -> list[dict[str, Any]]:
    """The compiler's words on every model that the text is about."""
    from edgekit.targets.edgetpu.log import parse_outputs

    outputs = parse_outputs(text)
    if len(outputs) > MOST_MODELS:
        raise UsageError(f"{file} is about more than {MOST_MODELS} models", hint="split it")
    if not outputs:
        raise UsageError(
            f"{file} is not from the Edge TPU's compiler",
            cause="no line of it is one that the compiler prints: neither its version, nor a "
            "table of operators, nor a failure",
            hint=_HINT,
        )
    return [_model(output) for output in outputs]


def _model(output: CompilerOutput) -> dict[str, Any]:
    """The figures of one model, and what they mean."""
    from edgekit.targets.edgetpu.status import MEANINGS

    mapped, on_cpu = output.mapped, output.on_cpu
    total = None if mapped is None or on_cpu is None else mapped + on_cpu
    meanings = {row.status: MEANINGS.get(row.status) for row in output.rows}
    failure = output.failure
    return {
        **output.to_dict(),
        "failure": {"cause": failure.cause, "fix": failure.fix} if failure else None,
        "missing": output.missing,
        "mapped": mapped,
        "on_cpu": on_cpu,
        "share_mapped": mapped / total if total and mapped is not None else None,
        "statuses": [
            {
                "status": status,
                "count": count,
                "meaning": meaning.text if (meaning := meanings[status]) else None,
                "fix": meaning.fix if meaning else None,
            }
            for status, count in _by_status(output).items()
        ],
    }


def _by_status(output: CompilerOutput) -> dict[str, int]:
    """Operators by status: those on the Edge TPU first, then the commonest."""
    from edgekit.targets.edgetpu.status import MAPPED

    counts: Counter[str] = Counter()
    for row in output.rows:
        counts[row.status] += row.count
    return dict(sorted(counts.items(), key=lambda item: (item[0] != MAPPED, -item[1])))


def _lines(model: dict[str, Any]) -> list[str]:
    lines = ["", *_head(model)]
    if model["rows"]:
        lines += ["", *_operators(model), "", *_statuses(model)]
    if model["failure"]:
        lines += ["", f"failed       {model['failure']['cause']}"]
        lines.append(f"             {model['failure']['fix']}")
    elif model["mapped"] is None:
        lines += ["", "cut off      the text ends before it says how many operators are mapped"]
        lines.append("             give all that the compiler printed, or the .log that it wrote")
    return lines


def _head(model: dict[str, Any]) -> list[str]:
    """The figures; those that a .log does not hold are left out."""
    from edgekit.system.text import size

    input_size, output_size = size(model["input_bytes"]), size(model["output_bytes"])
    cache = (
        f"{size(model['on_chip_bytes'])} used, {size(model['on_chip_free_bytes'])} free; "
        f"{size(model['off_chip_bytes'])} streamed for every inference"
    )
    known = (
        ("compiler", model["version"], model["version"]),
        ("input", model["input_model"], f"{model['input_model']}, {input_size}"),
        ("output", model["output_model"], f"{model['output_model']}, {output_size}"),
        ("took", model["milliseconds"], f"{model['milliseconds']} ms"),
        ("cache", model["on_chip_bytes"], cache),
        ("subgraphs", model["subgraphs"], model["subgraphs"]),
        ("mapped", model["mapped"], _share(model)),
    )
    return [
        f"{name:<12} {text}".removesuffix(f", {size(None)}")
        for name, figure, text in known
        if figure is not None
    ]


def _share(model: dict[str, Any]) -> str:
    if model["share_mapped"] is None:
        return f"{model['mapped']} operators"
    total = model["mapped"] + model["on_cpu"]
    lacking = f"; the text lacks {model['missing']} more" if model["missing"] else ""
    return f"{model['mapped']} of {total} operators ({100 * model['share_mapped']:.1f} %){lacking}"


def _operators(model: dict[str, Any]) -> list[str]:
    """The compiler's table, in its form, by status."""
    rank = {entry["status"]: place for place, entry in enumerate(model["statuses"])}
    rows = sorted(model["rows"], key=lambda row: (rank[row["status"]], -row["count"]))
    return [
        f"{'Operator':<31}{'Count':<11}Status",
        *(f"{row['name']:<31}{row['count']:<11}{row['status']}" for row in rows),
    ]


def _statuses(model: dict[str, Any]) -> list[str]:
    """The totals, each with what it means and what to do."""
    lines = []
    for entry in model["statuses"]:
        lines.append(f"{entry['count']:>6}  {entry['status']}")
        lines += [f"        {entry[key]}" for key in ("meaning", "fix") if entry[key]]
    return lines
