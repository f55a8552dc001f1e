"""The runs of a folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.report.diagnosis import emitted
from edgekit.report.document import REFERENCE, task_of
from edgekit.runs import REPORT, STAGES
from edgekit.system.files import read_json
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class ListedRun:
    """A run in a list.

    Attributes:
        folder: of it.
        model: its network's name.
        created: when it ended.
        score: of the float network, a fraction; None where it was not measured.
        int8_score: of the int8 file, likewise.
        drop_pp: points that int8 loses.
        file_bytes: of the int8 file.
        stage_bytes: of the stages, which a build goes on from.
    """

    folder: Path
    model: str
    created: datetime
    score: float | None
    int8_score: float | None
    drop_pp: float | None
    file_bytes: int | None
    stage_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            **vars(self),
            "folder": str(self.folder),
            "created": self.created.isoformat(),
        }


def find_runs(folder: StrPath) -> list[ListedRun]:
    """The finished runs in a folder, the newest first; other folders are left out.

    Raises:
        UsageError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}", hint="one in which `edgekit build` left runs"
        )
    found = [_read(path) for path in sorted(folder.iterdir()) if (path / REPORT).is_file()]
    return sorted((run for run in found if run), key=lambda run: run.created, reverse=True)


def remove_stages(run: ListedRun) -> None:
    """Removes what a build would go on from; files and reports stay.

    Raises:
        EdgekitError: it cannot be removed.
    """
    try:
        shutil.rmtree(run.folder / STAGES)
    except OSError as error:
        raise EdgekitError(f"cannot remove {run.folder / STAGES}", cause=error.strerror) from error


def _read(folder: Path) -> ListedRun | None:
    """A run; None where its report is of something else."""
    try:
        document = read_json(folder / REPORT)
        metric, rows = task_of(document).metric, document["rows"]
        fp32 = next((row for row in rows if row["stage"] == REFERENCE), None)
        int8 = emitted(rows)
        return ListedRun(
            folder,
            str(document["model"]),
            datetime.fromisoformat(document["created"]).astimezone(),
            None if fp32 is None else metric.value(fp32),
            None if int8 is None else metric.value(int8),
            None if int8 is None else int8["drop_pp"],
            None if int8 is None else int8["size_bytes"],
            sum(one.stat().st_size for one in (folder / STAGES).rglob("*") if one.is_file()),
        )
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
