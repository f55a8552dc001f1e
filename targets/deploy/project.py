"""Sources with which a program of the user's own runs a model on a chip, in a folder here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.errors import CompileError, UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.install import Installer
from edgekit.targets.deploy.material import Material
from edgekit.targets.deploy.model import (
    RECORD,
    describe,
    expect,
    find_source,
    labels_text,
    record_text,
)
from edgekit.targets.deploy.record import Deployed
from edgekit.targets.devices.hosts import LocalHost

if TYPE_CHECKING:
    from edgekit.targets.base import Target


def write_project(
    target: Target,
    run: StrPath,
    folder: StrPath,
    *,
    file: str | None = None,
    normalization: Normalization | None = None,
) -> Deployed:
    """Writes a target's sources for a model into a folder, whole or not at all.

    Args:
        target: that has sources.
        run: a run's folder, or a .tflite file.
        folder: on this machine.
        file: the name of another file of the run than its int8 one.
        normalization: of a float input whose file does not state it.

    Raises:
        UsageError: the model is no image classifier, or the folder cannot be used.
        CompileError: the model does not suit the target.
        MissingToolError: what measures it for the sources is not installed.
        DeviceError: there is no room.
    """
    source = find_source(run, file, normalization)
    refusals = target.examine(source.path, source.model).refusals
    if refusals:
        raise CompileError(
            f"{source.path} is not for {target.title}",
            cause="; ".join(f"{f.where}: {f.message}" for f in refusals[:3]),
            hint=refusals[0].fix,
        )
    host, absolute = LocalHost(), str(Path(folder).expanduser().absolute())
    with host.folder() as work:
        installer = Installer(host, work)
        installer.refuse_foreign(absolute)  # said before anything takes time
        description = describe(source)
        if description.task != DEFAULT_TASK:
            raise UsageError(
                f"there are no sources of {target.title} for {source.path}",
                cause=f"they are for classifiers, and its task is {description.task}",
                hint="edgekit deploy RUN --device URL",
            )
        material = Material(source, description, expect(source, description.preprocessing))
        project = target.project(material)
        labels = labels_text(description.labels).encode("utf-8", "replace")
        files: dict[str, Path | bytes] = {**project.files, "labels.txt": labels}
        record = description.record | {"files": [*files, RECORD]}
        files[RECORD] = record_text(record).encode()
        installer.install(absolute, files, lambda new: None)
    note = description.labels_note
    return Deployed(host.name, absolute, tuple(files), project.checked, None, note)
