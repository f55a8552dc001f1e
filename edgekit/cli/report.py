"""``edgekit report FILE...``: what a target's compiler said, or a run's rows, as tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from edgekit.cli.options import Json
from edgekit.errors import CompileError, UsageError
from edgekit.targets import registry

if TYPE_CHECKING:
    from edgekit.report.document import Document

LARGEST = 16 << 20  # bytes; a log has a few thousand
MOST_MODELS = 1000  # in one captured output
_HINT = "give a compiler's .log, what it printed, a folder of edgekit build, or its report.json"


def command(
    files: Annotated[
        list[str],
        typer.Argument(help="Compiler logs or captured output, or runs' folders; - for stdin."),
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print runs as Markdown, for a job's summary.")
    ] = False,
    json: Json = False,
) -> int:
    """Show what {title}'s compiler wrote, or again the table of a run.

    For the compiler: which operators were mapped, which were not, why, and what to do about it.
    Ends with 6 where a compilation failed, and with 2 where the text ends before its outcome.
    """
    from edgekit.system.console import CONTROLS, Console

    found = [_read(file) for file in files]
    models = [model for entry in found for model in entry.get("models", [])]
    code = max(map(_exit_code, models), default=0)
    if markdown:
        _as_markdown(found)
        return code
    if json:
        from json import dumps

        for entry in found:
            entry.pop("reader", None)
            entry.pop("document", None)
        print(dumps({"schema_version": 1, "files": found}, indent=2, ensure_ascii=False))
        return code
    console = Console()
    for number, entry in enumerate(found):
        lines = [*([""] if number else []), entry["path"]]
        for model in entry.get("models", []):
            lines += entry["reader"].lines(model)
        print("\n".join(lines).translate(CONTROLS))
        if "rows" in entry:
            _table(entry, console)
    return code


command.__doc__ = (command.__doc__ or "").format(title=registry.find(registry.DEFAULT).title)


def _as_markdown(found: list[dict[str, Any]]) -> None:
    from edgekit.report.markdown import markdown

    for entry in found:
        if "document" not in entry:
            raise UsageError(f"{entry['path']} is no run", hint="leave --markdown out")
    for entry in found:
        try:
            print(markdown(entry["document"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{entry['path']} is damaged", cause=repr(error)) from error


def _exit_code(model: dict[str, Any]) -> int:
    if model["failure"]:
        return CompileError.exit_code
    return UsageError.exit_code if model["mapped"] is None else 0


def _read(file: str) -> dict[str, Any]:
    """One argument as JSON values: ``path`` and either ``rows``, or ``models`` and ``reader``."""
    path = Path(file)
    if file != "-" and path.is_dir():
        path = path / "report.json"
    data, compilers = _bytes(path, file == "-"), []
    for target in registry.usable():
        if (reader := target.log_reader()) is None:
            continue
        text = reader.decode(data)
        first = text.lstrip().partition("\n")[0]
        if first[:1] == "{" and not reader.is_log_line(first):
            return {"path": str(path), **_rows(text, path)}
        if models := reader.read(text):
            if len(models) > MOST_MODELS:
                raise UsageError(f"{file} is about more than {MOST_MODELS} models", hint="split it")
            return {"path": "stdin" if file == "-" else file, "models": models, "reader": reader}
        compilers.append(f"{target.title}'s compiler")
    raise UsageError(
        f"{file} is not from {' or '.join(compilers)}",
        cause="no line of it is one that the compiler prints: neither its version, nor a table of "
        "operators, nor a failure",
        hint=_HINT,
    )


def _bytes(path: Path, stdin: bool) -> bytes:
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


def _limited(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(
            f"{name} is no report", cause=f"it is larger than {LARGEST >> 20} MiB", hint=_HINT
        )
    return data


def _rows(text: str, path: Path) -> dict[str, Any]:
    """The rows of a ``report.json``, and their task where it names one."""
    from json import loads

    try:
        document: Document = loads(text)
        rows, task = document["rows"], document.get("preprocessing", {}).get("task")
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise ValueError("its rows are no list of objects")
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no report of a run", cause=str(error), hint=_HINT) from error
    more = {"task": task, "chips": document.get("chips")}
    return {
        "rows": rows,
        "document": document,
        **{name: value for name, value in more.items() if value},
    }


def _table(entry: dict[str, Any], console: Any) -> None:
    from functools import partial

    from edgekit.data.preprocessing import DEFAULT_TASK
    from edgekit.report.table import chips_table, result_table
    from edgekit.tasks.registry import find_task

    try:
        task = find_task(entry.get("task", DEFAULT_TASK))
        console.table(partial(result_table, task, entry["rows"]))
        if chips := entry.get("chips"):
            print()
            console.table(partial(chips_table, task, chips))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"{entry['path']} is no report of a run",
            cause=f"a row lacks a figure, or has one of another type: {error}",
            hint="edgekit build writes one",
        ) from error
