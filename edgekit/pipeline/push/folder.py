"""The folder that a run is on a hub: card, weights, files of all targets, report."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgekit.converters.weights.export import CONFIG, MODEL, export_weights
from edgekit.errors import UsageError
from edgekit.pipeline.push.card import Published, model_card, without_folders
from edgekit.pipeline.push.licence import Licence, find_licence
from edgekit.report.document import Document
from edgekit.runs import MANIFEST, REPORT, FinishedRun, open_run
from edgekit.system.files import read_json, write_bytes, write_json
from edgekit.system.paths import StrPath

CARD, PAGE = "README.md", "report.html"
#: What a later push knows a repository of ours by.
MARK = "edgekit.json"
TIMM, EDGEKIT = "timm", "edgekit"


@dataclass(frozen=True)
class Prepared:
    """A folder that can be sent.

    Attributes:
        folder: of its files.
        model: the network's name.
        licence: of its weights.
        files: names in it, sorted.
        notes: what its sender should know, a sentence each.
    """

    folder: Path
    model: str
    licence: Licence
    files: tuple[str, ...]
    notes: tuple[str, ...]


def prepare_folder(
    run: StrPath, name: str, folder: StrPath, *, licence: str | None = None, report: bool = True
) -> Prepared:
    """Writes what a repository shall hold into an empty folder.

    Args:
        run: a run's folder.
        name: of the repository, ``ORG/NAME``, which the card names.
        folder: for the files; it is made.
        licence: what the user says of the weights.
        report: whether the page of the run goes along, which shows photos and names their folders;
            ``report.json`` does, without these folders.

    Raises:
        UsageError: the folder holds no finished run, or one of its files is gone.
        MissingToolError: huggingface_hub is not installed.
    """
    found, folder = open_run(run), Path(folder)
    document = _read_report(found)
    manifest = read_json(found.folder / MANIFEST)
    said = find_licence(manifest["weights"], manifest["model"]["name"], licence)
    folder.mkdir(parents=True, exist_ok=True)
    loading = _write_weights(found, said, name, folder)
    notes = (
        [] if loading else ["timm does not have this network: its weights are as edgekit has them"]
    )
    for file in document["files"]:
        _copy(found.folder, str(file["path"]), folder)
    write_json(folder / REPORT, _without_folders(document))
    if report:
        _copy(found.folder, PAGE, folder)
        notes.append(
            f"{PAGE} shows photos of the data, and names its folders: --no-report leaves it out"
        )
    if not said.is_known:
        notes.append(f"the card says that the licence is unknown. {said.why} --license names one")
    held = sorted(_names(folder))
    mark = {"schema_version": 1, "model": found.name, "files": [*held, CARD, MARK]}
    write_json(folder / MARK, mark)
    published = Published(
        name,
        document,
        said,
        tuple((one, (folder / one).stat().st_size) for one in held),
        loading,
        TIMM if loading else EDGEKIT,
        manifest["options"].get("data"),
    )
    write_bytes(folder / CARD, model_card(published).encode())
    return Prepared(folder, found.name, said, tuple(sorted(_names(folder))), tuple(notes))


def _without_folders(value: Any) -> Any:
    """JSON values in which no text names a folder of this computer."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    return without_folders(value) if isinstance(value, str) else value


def _read_report(found: FinishedRun) -> Document:
    try:
        return cast(Document, read_json(found.folder / REPORT))
    except (OSError, ValueError) as error:
        raise UsageError(f"{found.folder} holds no {REPORT}", cause=str(error)) from error


def _write_weights(found: FinishedRun, licence: Licence, name: str, folder: Path) -> str | None:
    """Writes the float weights as timm has them; returns how timm loads them, None if it cannot."""
    try:
        done = export_weights(found.trained(), found.preprocessing, TIMM, folder)
    except UsageError:  # a network, or a task, that timm does not have
        write_json(folder / CONFIG, {"preprocessing": found.preprocessing.to_dict()})
        found.trained().save(folder / MODEL)  # which is a file of that kind, too
        return None
    config: dict[str, Any] = read_json(folder / CONFIG)
    if licence.is_known:
        config["pretrained_cfg"]["license"] = licence.name
    write_json(folder / CONFIG, config)
    if not (folder / MODEL).is_file() or not done.architecture:
        raise AssertionError("timm's weights were not written")
    return f'timm.create_model("hf-hub:{name}", pretrained=True)'


def _copy(run: Path, name: str, folder: Path) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(run / name, target)
    except OSError as error:
        raise UsageError(
            f"{run} has lost its file {name}",
            cause=error.strerror,
            hint="build it again with the same --out",
        ) from error


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]
