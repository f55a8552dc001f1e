"""The sources with which an Android app runs a model: Kotlin, of a classifier C++ too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.apis import AppApi, record_for
from edgekit.targets.deploy.install import Installer
from edgekit.targets.deploy.model import RECORD, Description, Source, labels_text, record_text
from edgekit.targets.deploy.programs import JAVA, program_of
from edgekit.targets.deploy.record import Check, Deployed
from edgekit.targets.deploy.templates import render
from edgekit.targets.devices.hosts import LocalHost

ASSETS = "app/src/main/assets"
NOT_RUN = "not run on the phone"


def write_bundle(
    source: Source, description: Description, folder: StrPath, check: Check | None, api: AppApi
) -> Deployed:
    """Writes the model, its labels and the sources into a folder of this machine.

    Raises:
        UsageError: the file is compiled for an accelerator, the API cannot read its outputs, or
            the folder holds something else.
        DeviceError: there is no room.
    """
    folder = Path(folder)
    if source.target:
        raise UsageError(
            f"{source.path} is compiled for {source.target.title}, which no phone has",
            hint="give the file before compilation",
        )
    program = program_of(description)
    sources = {
        **program.app,
        f"{JAVA}/Photo.kt": "Photo.kt.j2",
        f"{JAVA}/Model.kt": api.template,
        **(program.app_in_c if api.has_c else {}),
    }
    asset = asset_name(source.path.name)
    model = f"{ASSETS}/{asset}"
    labels = labels_text(description.labels).encode("utf-8", "replace")
    files: dict[str, Path | bytes] = {model: source.path, f"{ASSETS}/labels.txt": labels}
    if colors := description.record.get("colors"):
        files[f"{ASSETS}/colors.txt"] = colors_text(colors, description.labels).encode()
    record: dict[str, Any] = record_for(api, source, description.record) | {
        "file": model,
        "asset": asset,
        "files": [*files, *sources, RECORD],
    }
    files |= {path: render(template, record, api=api) for path, template in sources.items()}
    files[RECORD] = record_text(record).encode()
    host = LocalHost()
    said = NOT_RUN
    with host.folder() as work:
        target = folder.absolute()

        def try_it(new: str) -> None:
            nonlocal said
            said = check(Path(new) / model) if check else NOT_RUN

        Installer(host, work).install(str(target), files, try_it)
    return Deployed(host.name, str(target), tuple(files), said, None, description.labels_note)


def colors_text(colors: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """A line for each class: its colour as #rrggbb, and its name where it has one."""
    names = [" ".join(label.split()) for label in labels]
    names += [""] * (len(colors) - len(names))
    pairs = zip(colors, names, strict=True)
    return "".join(f"#{r:02x}{g:02x}{b:02x} {name}".rstrip() + "\n" for (r, g, b), name in pairs)


def asset_name(name: str) -> str:
    """A name that Android's packager takes: it ignores hidden files and stumbles over others."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-")
    return plain if plain.removesuffix(".tflite") not in ("", "tflite") else "model.tflite"
