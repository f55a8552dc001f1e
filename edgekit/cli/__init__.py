"""The command line: one file per command, and nothing heavy imported before a command runs."""

from __future__ import annotations

import functools
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from edgekit.cli import (
    bench,
    build,
    check,
    choose,
    compile,
    deploy,
    devices,
    doctor,
    drift,
    export_weights,
    init,
    inspect,
    latency_table,
    manual,
    models,
    parity,
    pretrained,
    push,
    report,
    run_model,
    runs,
    scale,
    search,
    sensitivity,
    targets,
    toolchain,
    train,
    val,
    weights,
)
from edgekit.cli.grouped import GroupedCommand
from edgekit.errors import INTERRUPTED, EdgekitError, UsageError
from edgekit.options.fields import option_name
from edgekit.options.files import OPTIONS_FILE, read_options
from edgekit.system.console import Console
from edgekit.system.extras import missing_of_ours
from edgekit.version import __version__

#: The commands that take options of a file in their folder.
TAKE_FILE = ("build", "train")

app = typer.Typer(
    name="edgekit",
    help="Takes an EfficientNet from images to a verified int8 model on an edge device.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 missing tool or extra, 4 device unreachable, "
    "5 gate not met, 6 compile rejected, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich alone would cost half of the time that --help may take
    pretty_exceptions_enable=False,
)
app.command("bench")(bench.command)
app.command("build", cls=GroupedCommand)(build.command)
app.command("manual")(manual.command)
app.command("models")(models.command)
app.command("check")(check.check)
app.command("choose")(choose.command)
app.command("compile")(compile.command)
app.command("deploy")(deploy.command)
app.command("devices")(devices.command)
app.command("doctor")(doctor.command)
app.command("drift")(drift.command)
app.command("init")(init.command)
app.command("inspect")(inspect.inspect)
app.command("latency-table")(latency_table.command)
app.command("parity")(parity.parity)
app.command("push")(push.command)
app.command("report")(report.command)
app.command("run")(run_model.command)
app.command("scale")(scale.command)
app.command("search")(search.command)
app.command("sensitivity")(sensitivity.command)
app.command("targets")(targets.command)
app.command("train", cls=GroupedCommand)(train.command)
app.command("val")(val.command)
weights.app.command("list")(pretrained.list_weights)
weights.app.command("export")(export_weights.export_weights)
weights.app.command("fetch")(pretrained.fetch_weights)
app.add_typer(runs.app, name="runs")
app.add_typer(toolchain.app, name="toolchain")
app.add_typer(weights.app, name="weights")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edgekit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    pass


def main(args: list[str] | None = None) -> None:
    """Runs the command line and exits with a documented code."""
    arguments = sys.argv[1:] if args is None else args
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(arguments))


@functools.cache
def _parser() -> Any:
    """The commands with their options: made of their signatures, which takes 0.1 s."""
    return get_command(app)


def run(arguments: list[str]) -> int:
    """Runs the command line on these arguments and returns the exit code."""
    console = Console()
    # The option of the root command, taken wherever it stands.
    debug = "--debug" in arguments
    arguments = (
        ["--debug", *(word for word in arguments if word != "--debug")] if debug else arguments
    )
    try:
        result: Any = _parser()(
            arguments,
            prog_name="edgekit",
            standalone_mode=False,
            default_map=_from_file(arguments, console),
        )
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        console.note("interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        if hasattr(error, "format_message"):  # the parser's; its class moves between releases
            error = UsageError(error.format_message(), hint="edgekit --help")
        if isinstance(error, ModuleNotFoundError):
            error = missing_of_ours(error) or error
        console.error(error)
        if not isinstance(error, EdgekitError) and not debug:
            console.note("try:   the same command with --debug, and report what it prints")
        return getattr(error, "exit_code", EdgekitError.exit_code)


def _from_file(arguments: list[str], console: Console) -> dict[str, Any]:
    """What options of ``edgekit.toml`` in this folder are instead of their defaults."""
    word = next((word for word in arguments if not word.startswith("-")), None)
    is_help = any(word.startswith("--help") for word in arguments)
    if word not in TAKE_FILE or is_help or not Path(OPTIONS_FILE).is_file():
        return {}
    values = read_options(OPTIONS_FILE)
    if not {"--quiet", "-q"} & set(arguments):
        console.note(f"options of {OPTIONS_FILE}: {', '.join(map(option_name, values)) or 'none'}")
    return {word: values}


def _terminate(signum: int, frame: object) -> None:
    """A request to stop is handled like Ctrl-C: what is finished stays."""
    raise KeyboardInterrupt
