"""``edgekit deploy RUN --device URL``: a finished model, put where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.from_options import add_projects
from edgekit.cli.options import Json, Std

if TYPE_CHECKING:
    from edgekit.targets.deploy.record import Deployed

_DEVICE = "local:, ssh://[user@]host[:port], adb://SERIAL, or adb: for the only phone."


@add_projects
def command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a .tflite file.", metavar="RUN")],
    device: Annotated[str | None, typer.Option(help=_DEVICE, metavar="URL")] = None,
    devices: Annotated[
        Path | None,
        typer.Option(
            help="File of URLs, one a line: all of them, a few first.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    first: Annotated[int, typer.Option(help="So many of --devices before the others.", min=1)] = 2,
    to: Annotated[
        str | None,
        typer.Option(help="[edgekit-MODEL in the login folder; Android: RUN/android]"),
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="A file of the run. [its int8 file]", metavar="NAME")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="The device's Python. [found there]", metavar="PATH")
    ] = None,
    android: Annotated[
        bool, typer.Option("--android", help="Write sources for an Android app, without a phone.")
    ] = False,
    android_api: Annotated[
        str | None,
        typer.Option(
            help="The same for interpreter or compiled-model of LiteRT. [interpreter]",
            metavar="NAME",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Of a float input, one number or three, of 0 to 255. [as the file says]",
            metavar="R,G,B",
        ),
    ] = None,
    std: Std = None,
    benchmark_binary: Annotated[
        Path | None,
        typer.Option(help="benchmark_model, to try the model on a phone.", metavar="FILE"),
    ] = None,
    json: Json = False,
    projects: dict[str, Path] | None = None,
) -> int:
    """Put a model and a program that runs it on a device, or into sources for an app or a chip.

    With --devices it goes to a list of them: to the first few one after the other, and to the
    others only where these answer as this host does. The same command goes on with the rest.
    """
    import sys

    from edgekit.data.normalization import parse_normalization
    from edgekit.system.console import Console, safe
    from edgekit.targets.deploy.apis import INTERPRETER
    from edgekit.targets.deploy.deploy import deploy
    from edgekit.targets.deploy.phone import on_phone

    normalization = parse_normalization(mean, std)
    if devices is not None:
        others = {
            "--device": device,
            "--android": android or None,
            "--android-api": android_api,
            **(projects or {}),
        }
        options = {"to": to, "file": file, "python": python, "normalization": normalization}
        return _roll_out(run, devices, first, others, options, as_json=json)
    where = device or ("sources" if projects else "an Android bundle")
    with Console().stage(1, 1, f"deploy to {where}"):
        if projects:
            others = {
                "--device": device,
                "--to": to,
                "--python": python,
                "--android": android or None,
                "--android-api": android_api,
                "--benchmark-binary": benchmark_binary,
            }
            done = _project(projects, others, run, file=file, normalization=normalization)
        else:
            check = None
            if device is not None and device.startswith("adb:"):
                check = on_phone(device, python, benchmark_binary, normalization)
            done = deploy(
                run,
                device,
                to=to,
                file=file,
                python=python,
                android=android_api or (INTERPRETER if android else None),
                check=check,
                normalization=normalization,
            )
    if json:
        from json import dumps

        print(dumps(done.to_dict(), indent=2))
    else:
        print(safe("\n".join(_lines(done)), sys.stdout))
    return 0


def _roll_out(
    run: Path,
    listed: Path,
    first: int,
    others: dict[str, Any],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    """Deploys to a list of devices; returns the exit code of the worst outcome."""
    import sys
    from functools import partial

    from edgekit.errors import UsageError
    from edgekit.system.console import Console, safe
    from edgekit.system.hashing import file_hash
    from edgekit.targets.deploy import fleet
    from edgekit.targets.deploy.deploy import deploy
    from edgekit.targets.deploy.model import find_source

    if given := [name for name, value in others.items() if value is not None]:
        raise UsageError(f"--devices and {given[0]} exclude each other")
    urls, console = fleet.read_devices(listed), Console()
    model = file_hash(find_source(run, options["file"]).path)
    journal = fleet.RollOut.open(listed.with_name(f"{listed.name}.deployed.json"), model)
    with console.stage(1, 1, f"deploy to {len(urls)} devices") as stage:

        def tell(outcome: fleet.Outcome) -> None:
            console.note(safe(f"{outcome.url}: {outcome.state}", sys.stderr))

        found = fleet.roll_out(urls, partial(deploy, run, **options), journal, tell, first)
        have = sum(one.state in (fleet.DONE, fleet.EARLIER) for one in found)
        stage.detail = f"{have} of {len(urls)} have it"
    if as_json:
        print(fleet.document(found))
    else:
        width = max(map(len, urls))
        rows = [f"{one.url:<{width}}  {one.state:<15}  {one.detail}".rstrip() for one in found]
        print(safe("\n".join(rows), sys.stdout))
    if any(one.state == fleet.WAITING for one in found):
        console.warn("one of the first devices failed: the others were left alone")
    return max(one.exit_code for one in found)


def _project(
    projects: dict[str, Path], others: dict[str, Any], run: Path, **options: Any
) -> Deployed:
    """Sources for a chip; ``others`` are what only devices and apps take."""
    from edgekit.errors import UsageError
    from edgekit.targets import registry
    from edgekit.targets.deploy.project import write_project

    flags = [f"--{name}" for name in projects]
    given = [flag for flag, value in others.items() if value is not None]
    if len(flags) > 1 or given:
        raise UsageError(
            f"{flags[0]} writes a folder on this machine",
            cause=f"{', '.join([*flags[1:], *given])} is for something else",
            hint=f"leave {(flags[1:] + given)[0]} out",
        )
    ((name, folder),) = projects.items()
    return write_project(registry.find(name), run, folder, **options)


def _lines(done: Deployed) -> list[str]:
    lines = [f"{done.folder} on {done.host}:", *(f"  {name}" for name in done.files)]
    lines.append(f"check: {done.checked}")
    if done.labels_note:
        lines.append(f"labels: {done.labels_note}")
    return lines if done.command is None else [*lines, "run it:", f"  {done.command}"]
