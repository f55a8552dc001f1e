"""``edgekit push RUN hf://ORG/NAME``: a run with its model card on a model hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.pipeline.push.folder import Prepared
    from edgekit.pipeline.push.send import Sent


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    to: Annotated[str, typer.Argument(help="The repository: hf://ORG/NAME.", metavar="TO")],
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who sees a new repository.")
    ] = True,
    revision: Annotated[
        str | None,
        typer.Option(help="The branch. [main]", metavar="BRANCH", show_default=False),
    ] = None,
    message: Annotated[
        str | None, typer.Option(help="Of the commit.", metavar="TEXT", show_default=False)
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            help="Of the weights, as the hub spells it: mit. [that of the weights it began with]",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="With report.html, which shows photos.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also into one that holds something else.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder, and send nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Of --dry-run. [RUN/to-hub]", metavar="FOLDER", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Send a run to a model hub: its card, its files of all targets, its weights for timm.

    It is private unless --public is given. Who sends is known by `hf auth login` or by the
    environment variable HF_TOKEN.
    """
    from edgekit.networks.efficientnet.hub.reference import find_reference
    from edgekit.pipeline.push.folder import prepare_folder
    from edgekit.pipeline.push.send import Destination, send
    from edgekit.system.console import Console
    from edgekit.system.hub.server import Hub

    reference = find_reference(to)
    if reference is None or reference.revision:
        hint = "hf://ORG/NAME, and --revision BRANCH for another branch"
        raise UsageError(f"{to} does not name a repository to write to", hint=hint)
    if out is not None and not dry_run:
        raise UsageError("--out is where --dry-run writes", hint="--dry-run, or leave it out")
    console, name = Console(), reference.repository
    if dry_run:
        folder = out or run / "to-hub"
        if folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise UsageError(f"{folder} holds something already", hint="-o FOLDER")
        done = prepare_folder(run, name, folder, licence=license, report=report)
        _show(done, None, name, json)
    else:
        hub = Hub.open()
        where = Destination(name, private, revision, message or "", overwrite)
        with tempfile.TemporaryDirectory(prefix="edgekit-push-") as folder_name:
            done = prepare_folder(run, name, folder_name, licence=license, report=report)
            with console.stage(1, 1, f"push {name}") as stage:
                sent = send(hub, where, done)
                stage.detail = f"{len(done.files)} files"
        _show(done, sent, name, json)
    if not json:
        for note in done.notes:
            console.note(note)


def _show(done: Prepared, sent: Sent | None, name: str, as_json: bool) -> None:
    if as_json:
        from json import dumps

        document = {
            "schema_version": 1,
            "repository": name,
            "folder": None if sent else str(done.folder),
            "files": list(done.files),
            "licence": done.licence.name,
            "url": sent.url if sent else None,
            "commit": sent.commit if sent else None,
            "created": sent.created if sent else None,
            "notes": list(done.notes),
        }
        print(dumps(document, indent=2, ensure_ascii=False))
        return
    if sent is None:
        print("\n".join(str(done.folder / one) for one in done.files))
        return
    print(f"{'created' if sent.created else 'updated'} {sent.url}, commit {sent.commit}")
